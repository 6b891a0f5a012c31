"""Value the bundled demo's latest decisions by its hidden truth, which no model reads.

    python scripts/true_value_of_demo.py

Reads the demo's warehouse, as the last `bayespilot run` left it, and prints what is done as it was planned and as it
truly is: what contacts change within the horizon, as the plan counts it (simulation.true_value.true_values).
"""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table
from simulation.business import SEEDED_CUSTOMERS
from simulation.loop import ENDS_ON, HISTORY_MONTHS
from simulation.true_value import BEST, best_plan, read_month, true_values, unrestricted, value_of
from simulation.world import start_world

from models_ml.decisions.references import REFERENCE_POLICIES
from models_ml.errors import BayesPilotError
from models_ml.warehouse import open_warehouse

SEED = 7  # of the bundled world
DONE = """
    select customer_id, action, expected_cost, incremental_expected_value
    from retention_actions order by customer_id"""
RUN = "from policy_runs order by as_of_date desc limit 1"


def main() -> None:
    """Print planned and true value and cost of what is done, and the true value of other plans."""
    world = start_world(customers=SEEDED_CUSTOMERS, months=HISTORY_MONTHS, ends_on=ENDS_ON, seed=SEED)
    try:
        with open_warehouse("demo") as connection:
            inputs = read_month(connection, world)
            rows = connection.sql(DONE).to_arrow_table().to_pylist()
            [run] = connection.sql(RUN).to_arrow_table().to_pylist()
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    truth, values = inputs.truth, true_values(inputs.truth)
    cost = truth.contact_cost + truth.acceptance * truth.incentive_cost
    table = Table(title=f"The demo's decisions of {ENDS_ON}, EUR", title_justify="left")
    for name in ("", "contacts", "expected value", "true value", "planned cost", "true cost"):
        table.add_column(name, justify="right" if name else "left", no_wrap=not name)
    offers = [offer.offer for offer in inputs.decision.offers]
    for name in [*offers, "done"]:
        at = [
            (place, offers.index(row["action"]))
            for place, row in enumerate(rows)
            if row["action"] in offers and name in (row["action"], "done")
        ]
        table.add_row(
            name,
            f"{len(at):,}",
            f"{sum(rows[place]['incremental_expected_value'] for place, _ in at):,.0f}",
            f"{sum(values[place, offer] for place, offer in at):,.0f}",
            f"{sum(rows[place]['expected_cost'] for place, _ in at):,.0f}",
            f"{sum(cost[place, offer] for place, offer in at):,.0f}",
        )
    situation = unrestricted(inputs)
    for name, follow in REFERENCE_POLICIES.items():
        table.add_row(name, "", "", f"{value_of(follow(situation).choice, values):,.0f}", "", "")
    table.add_row(BEST, "", "", f"{value_of(best_plan(situation, values).choice, values):,.0f}", "", "")
    interval = f"{run['done_value_low']:,.0f} to {run['done_value_high']:,.0f}"
    table.caption = (
        f"Choosing makes a sum of expected values about {run['done_optimism']:,.0f} too high:"
        f" what is done is said to be worth {run['done_value']:,.0f} (80 %: {interval}), and to cost"
        f" {run['done_cost']:,.0f}."
    )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
