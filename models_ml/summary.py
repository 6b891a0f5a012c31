"""What the last run decided, for a terminal: contacts, money beside naive policies, quarantine, examples.

What is done (contacts that go out) and what was planned (those withheld by chance included) stand in tables of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models_ml.paths import CURRENT, published_folder, reports_folder
from models_ml.reports.policy_data import WHY_NOT_CONTACTED
from models_ml.terminal import ranking_words
from models_ml.warehouse import no_decisions, open_warehouse

EXAMPLES = 5
REFERENCES = {
    "greedy by value per cost": "reference_greedy_value",
    "break-even rule": "reference_break_even_value",
    "top-risk list": "reference_top_risk_value",
    "fixed thresholds": "reference_fixed_thresholds_value",
}

RUN = """
    select policy_runs.*, deployed_pipeline.candidate, deployed_pipeline.judged_auc,
        deployed_pipeline.judged_announced_churn_share, deployed_pipeline.judged_auc_without_notice,
        deployed_pipeline.judged_calibration_ratio, deployed_pipeline.calibration_warning
    from policy_runs, deployed_pipeline
    where policy_runs.as_of_date = (select max(as_of_date) from retention_actions)
"""
DONE = """
    select action_label, channel, count(*) as contacts,
        sum(cast(round(expected_cost * 100) as bigint)) / 100.0 as cost,
        sum(cast(round(incremental_expected_value * 100) as bigint)) / 100.0 as value
    from retention_actions
    where action <> 'no_action'
    group by action_label, channel
    order by value desc, action_label
"""
NOT_CONTACTED = f"""
    select {WHY_NOT_CONTACTED} as why, count(*) as customers
    from retention_actions
    where action = 'no_action'
    group by why
    order by customers desc, why
"""
QUARANTINE = """
    select staging_model, quarantine_reason, count(*) as set_aside
    from quarantine
    group by staging_model, quarantine_reason
    order by set_aside desc, staging_model, quarantine_reason
"""
FIRST_ACTIONS = f"""
    select priority, customer_id, action_label, channel, churn_probability, incremental_expected_value,
        concat_ws('; ', reason_1, reason_2, reason_3) as reasons
    from retention_actions
    where action <> 'no_action'
    order by priority
    limit {EXAMPLES}
"""
SECTIONS = {
    "run": RUN,
    "done": DONE,
    "not_contacted": NOT_CONTACTED,
    "quarantine": QUARANTINE,
    "examples": FIRST_ACTIONS,
}

Row = Mapping[str, Any]


def read_summary(source: str, warehouse: Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each section, read from the warehouse.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing or in use, or holds no decisions yet.
    """
    with open_warehouse(source, warehouse) as connection:
        rows = {}
        for name, sql in SECTIONS.items():
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or []]
            rows[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    if not rows["run"]:
        raise no_decisions(source, "retention_actions")
    return rows


def print_summary(console: Console, rows: Mapping[str, Sequence[Row]], source: str) -> None:
    """Print all sections."""
    run = rows["run"][0]
    console.rule(Text(f"{source}, decisions of {run['as_of_date']}", style="bold"))
    ranking = ranking_words(
        run["judged_auc"], run["judged_announced_churn_share"], run["judged_auc_without_notice"]
    )
    console.print(
        f"{run['customers_at_risk']:,} customers at risk, scored by {run['candidate']}"
        f" (judged {ranking}; predicted over observed churn: {run['judged_calibration_ratio']:.2f})."
    )
    if run["calibration_warning"]:
        console.print(run["calibration_warning"], style="bold")
    console.print(_done_table(rows["done"], run["currency"]))
    console.print(_planned_table(run, rows["done"]))
    console.print(_policies_table(run))
    console.print(_not_contacted_table(rows["not_contacted"]))
    console.print(quarantine_line(rows["quarantine"]))
    if rows["examples"]:
        console.print(_examples_table(rows["examples"], run["currency"]))


def where_next(source: str) -> str:
    """Return where to look next."""
    return (
        f"Next: pages for people in {reports_folder(source)};"
        f" for BI tools and the CRM {published_folder(source) / CURRENT}"
        " (retention_actions; retention_actions_deliverable is what may be executed now); other limits:"
        f" bayespilot what-if --source {source}; every column: bayespilot docs --source {source}."
    )


def _money_columns(table: Table, currency: str) -> Table:
    for heading in ("Contacts", f"Expected cost {currency}", f"Expected net value {currency}"):
        table.add_column(heading, justify="right")
    return table


def _cells(contacts: int, cost: float, value: float) -> tuple[str, str, str]:
    return f"{contacts:,}", f"{cost:,.2f}", f"{value:,.2f}"


def _total(done: Sequence[Row]) -> tuple[int, float, float]:
    contacts, cost, value = (sum(row[name] for row in done) for name in ("contacts", "cost", "value"))
    return contacts, cost, value


def _done_table(done: Sequence[Row], currency: str) -> Table:
    table = Table("Action", "Channel", title="Done: contacts that go out", title_justify="left")
    _money_columns(table, currency)
    for row in done:
        table.add_row(
            row["action_label"], row["channel"], *_cells(row["contacts"], row["cost"], row["value"])
        )
    table.add_section()
    table.add_row("Total", "", *_cells(*_total(done)), style="bold")
    return table


def _planned_table(run: Row, done: Sequence[Row]) -> Table:
    """From the plan to what is done: some planned customers are withheld by chance, a trial comes on top."""
    contacts, cost, value = _total(done)
    trial = run["trial_contacts"] or 0, run["trial_spend"] or 0.0, run["trial_value"] or 0.0
    planned = run["planned_contacts"], run["planned_spend"], run["planned_value"]
    withheld = contacts - planned[0], cost - planned[1], value - planned[2]
    table = _money_columns(
        Table("", title="From the plan to what is done", title_justify="left"), run["currency"]
    )
    plan = (planned[0] - trial[0], planned[1] - trial[1], planned[2] - trial[2])
    table.add_row("planned, best within the limits", *_cells(*plan))
    table.add_row("withheld by chance, to measure effects", *_cells(*withheld))
    if trial[0]:
        table.add_row("trial contacts, drawn by chance", *_cells(*trial))
    table.add_section()
    table.add_row("done", *_cells(contacts, cost, value), style="bold")
    open_now = f"{run['available_budget']:,.2f} of the month's {run['monthly_budget']:,.2f} {run['currency']}"
    table.caption = (
        f"{_worth(run)}Open to this run: {open_now};"
        f" one more {run['currency']} of budget would return {run['budget_price']:.2f} {run['currency']} more than it"
        " costs."
    )
    return table


def _worth(run: Row) -> str:
    """Say what is done is worth after what choosing adds to a sum; nothing for runs that were logged without it."""
    worth, optimism = run.get("done_value"), run.get("done_optimism")
    if worth is None or optimism is None or not run["contacts"]:
        return ""
    low, high = run["done_value_low"], run["done_value_high"]
    cost = run.get("done_cost") or run["done_spend"]  # earlier runs may hold the sum alone
    return (
        f"Choosing what looks best makes such a sum about {optimism:,.2f} too high: what is done is worth"
        f" {worth:z,.2f}, with 80 % probability {low:z,.2f} to {high:z,.2f}, beyond a cost of about {cost:,.2f}. "
    )


def _policies_table(run: Row) -> Table:
    table = Table(
        "Policy, within the same limits", title="The plan beside simpler policies", title_justify="left"
    )
    table.add_column(f"Expected net value {run['currency']}", justify="right")
    table.add_row("this plan", f"{run['planned_value'] - (run['trial_value'] or 0.0):,.2f}")
    for name, column in REFERENCES.items():
        table.add_row(name, f"{run[column]:,.2f}")
    table.add_row("contact nobody", "0.00")
    table.caption = f"The plan is at most {100 * run['plan_gap']:.2g} % below the best possible plan."
    return table


def _not_contacted_table(reasons: Sequence[Row]) -> Table:
    table = Table("Why", title="Not contacted", title_justify="left")
    table.add_column("Customers", justify="right")
    for row in reasons:
        table.add_row(row["why"], f"{row['customers']:,}")
    table.add_section()
    table.add_row("Total", f"{sum(row['customers'] for row in reasons):,}", style="bold")
    return table


def quarantine_line(quarantine: Sequence[Row]) -> str:
    """Return how many raw rows were set aside, and why."""
    total = sum(row["set_aside"] for row in quarantine)
    detail = ", ".join(
        f"{row['set_aside']:,} {row['quarantine_reason']} in {row['staging_model']}" for row in quarantine
    )
    return f"Quarantine: {total:,} raw rows set aside{': ' + detail if detail else ''}."


def _examples_table(examples: Sequence[Row], currency: str) -> Table:
    table = Table("#", "Customer", "Action", "Channel", title="First in the queue", title_justify="left")
    table.add_column("Churn", justify="right")
    table.add_column(f"Net value {currency}", justify="right")
    table.add_column("Reasons")
    for row in examples:
        table.add_row(
            str(row["priority"]),
            row["customer_id"],
            row["action_label"],
            row["channel"],
            f"{100 * row['churn_probability']:.0f} %",
            f"{row['incremental_expected_value']:,.2f}",
            row["reasons"],
        )
    return table
