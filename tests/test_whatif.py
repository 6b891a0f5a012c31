"""What-ifs and the policy report on a built project: the same answer as the build, in tables and pages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import DECIDE, Project
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.decisions.what_if import (
    WhatIfInputs,
    ask,
    draw_curve,
    read_what_if_inputs,
)
from models_ml.reports.figures import money
from models_ml.warehouse import open_warehouse

pytestmark = pytest.mark.build


@pytest.fixture
def here(built_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The built project as the project of this process."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(built_project.folder))
    for name in ("RETENTION_DB", "RETENTION_DATA"):
        monkeypatch.delenv(name, raising=False)
    return built_project


@pytest.fixture
def inputs(here: Project) -> Iterator[WhatIfInputs]:
    with open_warehouse("demo") as connection:
        yield read_what_if_inputs(connection)


def run(*arguments: str) -> tuple[int, str]:
    finished = CliRunner().invoke(app, list(arguments), env={**os.environ, "COLUMNS": "200"})
    return finished.exit_code, finished.output


def test_present_limits_give_the_plan_of_the_build(inputs: WhatIfInputs, here: Project) -> None:
    money = inputs.month.find("budget")
    answer = ask(inputs, money, money.monthly)
    built = here.query(
        "select planned_value - trial_value, planned_spend - trial_spend, planned_contacts - trial_contacts, plan_value_bound, plan_gap, budget_price,"
        " reference_top_risk_value, reference_break_even_value, reference_greedy_value,"
        " reference_fixed_thresholds_value from policy_runs"
    )[0]
    summary = answer.summary
    references = summary.references
    assert (
        summary.value, summary.spend, sum(summary.contacts), summary.bound, summary.gap, summary.budget_price,
        references["top risk"], references["break-even"], references["greedy"], references["fixed thresholds"],
    ) == pytest.approx(built)  # fmt: skip
    assert references["contact nobody"] == 0.0


def test_another_budget_gives_what_the_build_would_decide(inputs: WhatIfInputs, fresh_copy: Project) -> None:
    answer = ask(inputs, inputs.month.find("budget"), 45.5)
    scores = fresh_copy.query("select * from churn_scores order by customer_id")
    [(spent_before,)] = fresh_copy.query("select planned_spend from policy_runs")
    fresh_copy.dbt("build", *DECIDE, "--vars", "{monthly_budget: 45.5}")
    assert fresh_copy.query("select * from churn_scores order by customer_id") == scores
    built = fresh_copy.query(  # trials stand beside the plan
        "select sum(actions.planned_value), sum(planned_cost), count(*), any_value(plan_gap)"
        " from retention_actions as actions inner join policy_runs using (as_of_date) where planned_action <> 'no_action' and arm <> 'trial'"
    )
    summary = answer.summary
    assert (summary.value, summary.spend, sum(summary.contacts), summary.gap) == pytest.approx(built[0])
    assert summary.spend <= 45.5 < spent_before
    unexplained = """
        select count(*) from retention_actions
        where reason_1 is null and customer_id in (select customer_id from int_churn_reasons)
    """
    assert fresh_copy.query(unexplained) == [(0,)]


def test_limits_left_are_those_of_the_build(inputs: WhatIfInputs, here: Project) -> None:
    available = here.query("select limit_type, limit_name, available from int_month_limits order by all")
    ours = sorted((one.kind, one.name, one.available(inputs.month.open_days)) for one in inputs.month.limits)
    assert ours == available


def test_more_of_a_limit_is_never_worth_less(inputs: WhatIfInputs) -> None:
    policy = replace(inputs.decision.policy, learning_share=0.0)  # a trial takes customers out of the plan
    inputs = replace(inputs, decision=replace(inputs.decision, policy=policy))
    for name in ("budget", "call", "channel:email"):
        limit = inputs.month.find(name)
        curve = draw_curve(inputs, limit, [2 * limit.monthly])
        bounds = [answer.summary.bound for answer in curve.drawn]
        assert bounds == sorted(bounds)
        assert len(curve.drawn) >= 10
        assert curve.asked[0].monthly == 2 * limit.monthly
        assert all(
            answer.summary.spend <= inputs.month.left(inputs.decision.offers).budget or name == "budget"
            for answer in curve.drawn
        )


def test_whatif_prints_tables_and_draws_a_page(here: Project) -> None:
    code, output = run("what-if", "--budget", "20,60.5", "--capacity", "call=0,5")
    assert code == 0, output
    for expected in (
        "60.50",
        "another monthly capacity of offer call",
        "greedy",
        "contact nobody",
        "prices of",
        "whatif.html",
    ):
        assert expected in output
    page = (here.folder / "reports" / "demo" / "whatif.html").read_text(encoding="utf-8")
    assert "Another monthly budget" in page
    assert "Another monthly capacity of offer call" in page
    assert page.count("<svg") == 3
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", page), "self-contained"


def test_the_policy_report_says_what_the_plan_does(here: Project) -> None:
    code, output = run("report")
    assert code == 0, output
    page = (here.folder / "reports" / "demo" / "policy.html").read_text(encoding="utf-8")
    value, gap = here.query("select planned_value - trial_value, plan_gap from policy_runs")[0]
    assert money(value, "EUR") in page
    for expected in (
        "Customers not contacted, and why",
        "universal holdout",
        "break-even",
        "Contacts made",
        "held out",
        "at stake",
    ):
        assert expected in page
    assert gap < 1
    customers = {str(name) for (name,) in here.query("select customer_id from retention_actions")}
    words = set(re.findall(r"[\w-]+", re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)))
    assert not customers & words, "no customer is named"


def test_a_trial_stands_beside_the_plan_that_is_compared(
    fresh_copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(fresh_copy.folder))
    fresh_copy.dbt("build", *DECIDE, "--vars", "{learning_share: 0.5}")
    code, output = run("report")
    assert code == 0, output
    value, trial, contacts, greedy = fresh_copy.query(
        "select planned_value, trial_value, trial_contacts, reference_greedy_value from policy_runs"
    )[0]
    assert contacts > 3
    assert value - trial >= greedy, "the plan keeps up with greedy"
    page = (fresh_copy.folder / "reports" / "demo" / "policy.html").read_text(encoding="utf-8")
    assert f"expected to return {money(value - trial, 'EUR')} net" in page.replace("\n", " ")
    assert "to measure offers, expected to return" in page


def test_two_reports_of_one_plan_are_the_same(here: Project) -> None:
    path = here.folder / "reports" / "demo" / "policy.html"
    run("report")
    first = path.read_bytes()
    run("report")
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("what-if", "--budget", "a lot"), 2, "numbers separated by commas"),
        (("what-if", "--budget", "-5"), 2, "at least 0"),
        (("what-if", "--capacity", "call"), 2, "must name an offer"),
        (("what-if", "--capacity", "call=2.5"), 2, "whole numbers"),
        (("what-if", "--capacity", "fax=3"), 1, "no capacity of the name fax"),
        (("what-if", "--source", "nowhere"), 1, "bayespilot run --source nowhere"),
        (("report", "--source", "nowhere"), 1, "there is no warehouse yet"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_answered_says_so(arguments: tuple[str, ...], code: int, message: str) -> None:
    found, output = run(*arguments)
    assert (found, message in " ".join(output.replace("│", " ").split())) == (code, True), output


def test_a_warehouse_without_decisions_says_so(
    here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    empty = tmp_path / "empty.duckdb"
    duckdb.connect(str(empty)).close()
    monkeypatch.setenv("RETENTION_DB", str(empty))
    code, output = run("what-if")
    assert code == 1
    assert "the warehouse lacks a table or column" in output
    assert "next: bayespilot run --source demo" in output


def test_rationales_name_money_and_risk_and_no_placeholder(here: Project) -> None:
    sentences = here.query("select action, arm, rationale, customer_id from retention_actions")
    for action, arm, sentence, customer_id in sentences:
        assert sentence.endswith(".")
        assert " % risk of leaving within 28 days, with " in sentence
        assert "_" not in sentence
        assert "None" not in sentence
        assert customer_id not in re.findall(r"\w+", sentence)
        if action == "no_action":
            assert re.match("Not contacted|Never contacted|Left alone", sentence), arm
        else:
            assert "expected to cost" in sentence
            assert "this offer helps" not in sentence or "randomised contacts show" in sentence
            assert ("chosen at random" in sentence) == (arm == "trial")
