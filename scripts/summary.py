"""Print what the last run decided: customers, actions, money beside naive policies, quarantine, examples.

python scripts/summary.py --source demo
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.table import Table

from models_ml.errors import BayesPilotError
from models_ml.paths import published_folder, reports_folder, warehouse_path

EXAMPLES = 5
REFERENCES = {
    "greedy by value per cost": "reference_greedy_value",
    "break-even rule": "reference_break_even_value",
    "top-risk list": "reference_top_risk_value",
    "fixed thresholds": "reference_fixed_thresholds_value",
}

RUN = """
    select policy_runs.*, deployed_pipeline.candidate, deployed_pipeline.judged_auc,
        deployed_pipeline.judged_calibration_ratio
    from policy_runs, deployed_pipeline
    where policy_runs.as_of_date = (select max(as_of_date) from retention_actions)
"""
ACTIONS = """
    select action_label, channel, count(*) as contacts, sum(expected_cost) as spend,
        sum(incremental_expected_value) as value
    from retention_actions
    where action <> 'no_action'
    group by action_label, channel
    order by value desc
"""
LEFT_ALONE = """
    select coalesce(suppression_reason, arm) as why, count(*) as customers
    from retention_actions
    where action = 'no_action'
    group by 1
    order by 2 desc, 1
"""
QUARANTINE = """
    select staging_model, quarantine_reason, count(*) as set_aside
    from quarantine
    group by 1, 2
    order by 3 desc, 1, 2
"""
FIRST_ACTIONS = f"""
    select priority, customer_id, action_label, churn_probability, incremental_expected_value,
        concat_ws('; ', reason_1, reason_2, reason_3) as reasons
    from retention_actions
    where action <> 'no_action'
    order by priority
    limit {EXAMPLES}
"""


def read_run(warehouse: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each section, read from the warehouse.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing, locked, or holds no decisions yet.
    """
    if not warehouse.is_file():
        raise BayesPilotError("there is no warehouse yet", where=str(warehouse), next_step="dbt build")
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            sections = {
                "run": RUN,
                "actions": ACTIONS,
                "left_alone": LEFT_ALONE,
                "quarantine": QUARANTINE,
                "examples": FIRST_ACTIONS,
            }
            rows = {name: _rows(connection, sql) for name, sql in sections.items()}
    except (duckdb.IOException, duckdb.CatalogException) as error:
        raise BayesPilotError(
            f"the last run cannot be read: {error}", where=str(warehouse), next_step="dbt build"
        ) from error
    if not rows["run"]:
        raise BayesPilotError(
            "the warehouse holds no decisions", where=str(warehouse), next_step="dbt build (without --empty)"
        )
    return rows


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def print_run(console: Console, rows: Mapping[str, list[dict[str, Any]]], source: str) -> None:
    """Print all sections."""
    run = rows["run"][0]
    console.rule(f"[bold]{source}, decisions of {run['as_of_date']}")
    console.print(
        f"{run['customers_at_risk']:,} customers scored by {run['candidate']} "
        f"(judged AUC {run['judged_auc']:.3f}, predicted over observed churn {run['judged_calibration_ratio']:.2f})."
    )
    console.print(_actions_table(rows["actions"], run["currency"]))
    console.print(_money_table(run))
    reasons = ", ".join(f"{row['customers']:,} {row['why'].replace('_', ' ')}" for row in rows["left_alone"])
    console.print(f"Left alone: {reasons or 'nobody'}.")
    console.print(_quarantine_line(rows["quarantine"]))
    console.print(_examples_table(rows["examples"], run["currency"]))


def _actions_table(actions: list[dict[str, Any]], currency: str) -> Table:
    table = Table("Action", "Channel", title="Actions", title_justify="left")
    for heading in ("Contacts", f"Expected spend {currency}", f"Expected net value {currency}"):
        table.add_column(heading, justify="right")
    for row in actions:
        table.add_row(
            row["action_label"],
            row["channel"],
            f"{row['contacts']:,}",
            f"{row['spend']:,.2f}",
            f"{row['value']:,.2f}",
        )
    return table


def _money_table(run: Mapping[str, Any]) -> Table:
    table = Table("Policy", title="What it is worth, by the same effects and limits", title_justify="left")
    table.add_column(f"Expected net value {run['currency']}", justify="right")
    trial = run["trial_value"] or 0.0
    table.add_row("this plan (pick-holdouts included)", f"{run['planned_value'] - trial:,.2f}")
    for name, column in REFERENCES.items():
        table.add_row(name, f"{run[column]:,.2f}")
    table.add_row("contact nobody", "0.00")
    if run["trial_contacts"]:
        table.add_row(f"beside the plan: {run['trial_contacts']:,} trial contacts", f"{trial:,.2f}")
    table.caption = (
        f"{run['planned_contacts']:,} contacts planned for {run['planned_spend']:,.2f} of "
        f"{run['available_budget']:,.2f} {run['currency']}; at most {100 * run['plan_gap']:.2g} % below the best"
        " possible plan;"
        f" one more {run['currency']} of budget would return {run['budget_price']:.2f}"
    )
    return table


def _quarantine_line(quarantine: list[dict[str, Any]]) -> str:
    total = sum(row["set_aside"] for row in quarantine)
    detail = ", ".join(
        f"{row['set_aside']:,} {row['quarantine_reason']} in {row['staging_model']}" for row in quarantine
    )
    return f"Quarantine: {total:,} raw rows set aside{': ' + detail if detail else ''}."


def _examples_table(examples: list[dict[str, Any]], currency: str) -> Table:
    table = Table("#", "Customer", "Action", title="First in the queue", title_justify="left")
    table.add_column("Churn", justify="right")
    table.add_column(f"Net value {currency}", justify="right")
    table.add_column("Reasons")
    for row in examples:
        table.add_row(
            str(row["priority"]),
            row["customer_id"],
            row["action_label"],
            f"{100 * row['churn_probability']:.0f} %",
            f"{row['incremental_expected_value']:,.2f}",
            row["reasons"],
        )
    return table


def main(
    source: Annotated[str, typer.Option(help="Folder of dbt_project/sources.")] = "demo",
) -> None:
    """Print what the last run decided."""
    console = Console()
    try:
        print_run(console, read_run(warehouse_path(source)), source)
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        sys.exit(1)
    console.print(
        f"Next: retention_actions in {published_folder(source) / 'retention.duckdb'}; what a CRM may execute in"
        f" retention_actions_deliverable; what people read in {reports_folder(source)}; `dbt docs generate` for every"
        " column; seeds/ to change offers and limits.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    typer.run(main)
