"""The Streamlit page: it lays out what the other modules of this package and the reports compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from models_ml.app import other_limits
from models_ml.app.one_customer import decision_facts, example_customers, read_customer
from models_ml.decisions.decide import Decisions
from models_ml.decisions.what_if import MonthLimit, WhatIfInputs, decide_again, read_what_if_inputs
from models_ml.errors import BayesPilotError, naming_source
from models_ml.paths import published_run_folder
from models_ml.reports.earnings import QUESTION, earning_section
from models_ml.reports.monitoring_findings import MonitoringData, read_monitoring
from models_ml.reports.monitoring_page import monitoring_page
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text
from models_ml.reports.policy_page import read_policy_page
from models_ml.warehouse import open_warehouse

PLAN, LIMITS, CUSTOMER, EARNED, MONITORING = "Plan", "Other limits", "One customer", "Earnings", "Monitoring"
CARD_WIDTH = 185  # pixels: two side by side on a phone
KEPT_RUNS = 2  # in the cache: a reader of the run before still works on its own figures


def show(source: str) -> None:
    """Show the page of a source; an error is shown in its place, with the next command."""
    st.set_page_config(page_title=f"BayesPilot: {source}", layout="wide")
    try:
        run = published_run_folder(source)
        _show_run(source, run)
    except BayesPilotError as error:
        lines = naming_source(str(error), source).splitlines()
        st.error("  \n".join(map(_plain, lines)))  # each line stays one


def _show_run(source: str, run: Path) -> None:
    chosen = st.radio(
        "Page", [PLAN, LIMITS, CUSTOMER, EARNED, MONITORING], horizontal=True, label_visibility="collapsed"
    )
    file = run / "retention.duckdb"
    version = file.stat().st_mtime_ns  # an erasure writes the file of a run anew
    if chosen == PLAN:
        _report(_policy_page(source, file, version))
    elif chosen == LIMITS:
        _other_limits(source, file, version)
    elif chosen == CUSTOMER:
        _one_customer(source, file, version)
    elif chosen == EARNED:
        st.title(QUESTION)
        _section(earning_section(_monitoring(source, file, version)), titled=False)
    else:
        page = monitoring_page(_monitoring(source, file, version))
        _report(page, without=QUESTION)


@contextmanager
def _opened(source: str, file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published copy for one answer: an open connection would keep what was erased or replaced since."""
    with open_warehouse(source, file) as connection:
        yield connection


@st.cache_resource(max_entries=KEPT_RUNS, show_spinner="reading the last plan")
def _policy_page(source: str, file: Path, version: int) -> Page:
    with _opened(source, file) as connection:
        return read_policy_page(connection, source=source)


@st.cache_resource(max_entries=KEPT_RUNS, show_spinner="reading the last run")
def _monitoring(source: str, file: Path, version: int) -> MonitoringData:
    return read_monitoring(file, source, None)  # dbt's results are not published


@st.cache_resource(max_entries=KEPT_RUNS, show_spinner="valuing the customers")
def _inputs(source: str, file: Path, version: int) -> tuple[WhatIfInputs, Decisions]:
    with _opened(source, file) as connection:
        inputs = read_what_if_inputs(connection)
    return inputs, decide_again(inputs, inputs.month)


def _other_limits(source: str, file: Path, version: int) -> None:
    inputs, present = _inputs(source, file, version)
    currency = inputs.decision.policy.currency
    st.title("Under other limits")
    st.write(
        "Move a limit: all customers are decided on again, by the same rules, effects and draws as last night."
        " Nothing is changed."
    )
    amounts = _sliders(inputs.month.limits, currency)
    comparison = other_limits.compare(inputs, present, amounts)
    _facts(other_limits.facts(comparison, currency))
    st.write(
        f"Compared with the present plan, {comparison.gained:,} more customers are contacted, {comparison.lost:,} are"
        f" not contacted any more, and {comparison.switched:,} get another offer (holdouts apart, trial included)."
        " Expected values add up to somewhat more than a plan is worth, because it chooses what looks best; the first"
        " page takes this off for the last plan."
    )
    _table(other_limits.offers_table(inputs, comparison, currency))
    _table(other_limits.policies_table(comparison, currency))
    edits = other_limits.seed_edits(amounts, source)
    if edits:
        st.write("To keep these limits for good:")
        st.code("\n".join(edits), language=None)


def _sliders(limits: Sequence[MonthLimit], currency: str) -> dict[MonthLimit, float]:
    """Show one slider per limit, the budget above the others, and return the chosen amounts."""
    ordered = sorted(limits, key=lambda limit: (limit.kind != "budget", limit.kind != "channel", limit.name))
    top, columns = st.container(), st.columns(2)
    amounts = {}
    for number, limit in enumerate(ordered):
        with top if limit.kind == "budget" else columns[(number + 1) % 2]:
            chosen = st.slider(
                other_limits.limit_label(limit, currency),
                0,
                int(other_limits.highest_amount(limit)),
                round(limit.monthly),
                key=f"{limit.kind} {limit.name}",
            )
        # A limit that is no whole number stays exactly as it is until its slider moves.
        amounts[limit] = limit.monthly if chosen == round(limit.monthly) else float(chosen)
    return amounts


def _one_customer(source: str, file: Path, version: int) -> None:
    st.title("One customer")
    with _opened(source, file) as connection:
        first, second = st.columns(2)
        example = first.selectbox(
            "One of the first by priority", example_customers(connection), key="example"
        )
        chosen = second.text_input("Or the id of any customer", key="customer").strip() or example
        if not chosen:
            return
        found = read_customer(connection, chosen, _inputs(source, file, version)[0].decision)
    if found is None:
        st.warning(_plain(f"Nobody of the id {chosen} is at risk tonight."))
        return
    action = found.action
    st.subheader(_plain(f"{action['action_label']}, {action['as_of_date']}"))
    st.write(_plain(action["rationale"]))
    _facts([Fact(label, text) for label, text in decision_facts(action)])
    reasons = [action[f"reason_{rank}"] for rank in (1, 2, 3) if action[f"reason_{rank}"]]
    if reasons:
        st.subheader("What raises the risk")
        st.markdown("\n".join(f"{rank}. {_plain(reason)}" for rank, reason in enumerate(reasons, 1)))
    st.subheader("All offers compared")
    _table(found.offers)
    st.subheader("Decisions and outcomes")
    _table(found.history)


def _report(page: Page, without: str = "") -> None:
    """Show a report page: verdict, warning, facts, and all sections but one."""
    st.title(page.title)
    st.caption(_plain(page.subtitle))
    st.markdown(f"**{_plain(page.verdict)}**")
    if page.warning:
        st.warning(_plain(page.warning))
    _facts(page.facts)
    for section in page.sections:
        if section.title != without:
            _section(section)
    st.caption(_plain(page.footer))


def _section(section: Section, *, titled: bool = True) -> None:
    if titled:
        st.header(section.title)
    if section.intro:
        st.write(_plain(section.intro))
    for row in section.rows:
        places = st.columns(max(len(row), 2)) if isinstance(row[0], Figure) else [st.container()]
        for place, block in zip(places, row, strict=False):
            with place:
                _block(block)


def _block(block: Text | Table | Figure) -> None:
    if isinstance(block, Figure):
        st.image(block.svg, width="stretch")
        st.caption(_plain(block.caption))
    elif isinstance(block, Table):
        _table(block)
    else:
        st.write(_plain(block.text))


def _table(table: Table) -> None:
    if table.caption:
        st.caption(_plain(table.caption))
    frame = pd.DataFrame(
        [list(map(_plain, row)) for row in table.rows],
        columns=[name or " " for name in table.columns],
    )
    if frame.empty:
        st.write("Nothing.")
        return
    marked = [] if table.highlight is None else [table.highlight]
    styled = frame.style.set_properties(subset=pd.IndexSlice[marked, :], **{"font-weight": "bold"})
    st.table(styled, border="horizontal", hide_index=True)


def _facts(facts: Sequence[Fact]) -> None:
    with st.container(horizontal=True):
        for fact in facts:
            with st.container(border=True, width=CARD_WIDTH):
                st.caption(fact.label)
                st.markdown(f"**{_plain(fact.value)}**")
                if fact.note:
                    st.caption(_plain(fact.note))


def _plain(text: Any) -> str:  # noqa: ANN401 - a cell
    """Return a text in which no sign has a meaning of Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#$~|:" else sign for sign in str(text))
