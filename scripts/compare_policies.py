"""Compare the plan with the reference policies by the demo world's hidden truth, which the build never reads.

    python scripts/compare_policies.py --seeds 1,2,3,4,5 --customers 20000

For each seed a world is generated and built in a temporary folder (features, training, scores, decisions). Then
every policy decides for the same customers with the same beliefs and limits, and the truth gives the value of its
contacts. The exit code is 1 where the plan earns no more than a simple rule, or less than 99 % of greedy, or where a
world is left out because its build fails.

The gap proves that no plan is better under the beliefs; its true value depends on how accurate the beliefs are.
Greedy makes cheap offers first and is affected less by wrong beliefs about expensive ones. Results of small worlds are
noisy: a contact is worth a few euros, with a standard deviation of about ten. simulate_months.py shows the cost of
wrong beliefs, and how they are corrected.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import duckdb
import numpy as np
import typer
from dbt_project_copy import ProjectCopy
from generate_churn_data import raw_chunks, write_parquet
from numpy.typing import NDArray
from option_values import whole_numbers
from rich.console import Console
from rich.table import Table
from simulation.business import SEEDED_CUSTOMERS
from simulation.loop import ENDS_ON, HISTORY_MONTHS
from simulation.true_value import NOBODY, SIMPLE_RULES, read_month, true_values, value_of
from simulation.world import World, start_world

from models_ml.decisions.decide import decide, randomise
from models_ml.decisions.limits import money
from models_ml.decisions.references import REFERENCE_POLICIES
from models_ml.errors import BayesPilotError
from models_ml.terminal import table_console

PLAN = "this plan"
SHARE_OF_GREEDY = 0.99


@dataclass(frozen=True)
class Judged:
    """One policy: number and expected cost of its contacts, their value as believed, and their true value."""

    policy: str
    contacts: int
    spend: float
    believed: float
    true: float


def judge(connection: duckdb.DuckDBPyConnection, world: World, *, limits_times: float) -> list[Judged]:
    """Apply every policy on a built warehouse, with the month's limits times a factor, and value its contacts.

    Parameters
    ----------
    connection : DuckDB connection to the warehouse
    world : World
        The world of the same customers, on the day of the run.
    limits_times : float
        1 for the limits as they stand.
    """
    inputs = read_month(connection, world)
    limits = inputs.limits.scaled(limits_times)
    values = true_values(inputs.truth)
    learning = limits.scaled(inputs.decision.policy.learning_share)
    situation = randomise(inputs.customers, inputs.decision, limits, learning).situation
    planned = decide(inputs.customers, inputs.decision, limits, learning).choice
    plan = np.where(situation.allowed.any(axis=1), planned, -1)  # without the contacts of the trial
    choices: dict[str, NDArray[np.int64]] = {PLAN: plan.astype(np.int64)}
    choices |= {name: follow(situation).choice for name, follow in REFERENCE_POLICIES.items()}
    return [
        Judged(
            name,
            int((choice >= 0).sum()),
            float(money(value_of(choice, situation.expected_cost))),
            float(money(value_of(choice, situation.expected_value))),
            value_of(choice, values),
        )
        for name, choice in choices.items()
    ]


def missed_targets(judged: Sequence[Judged]) -> list[str]:
    """Name the targets that the plan misses: earn more than the simple rules, and 99 % of greedy.

    Examples
    --------
    >>> row = lambda name, true: Judged(name, 1, 1.0, 1.0, true)
    >>> missed_targets([row("this plan", 5.0), row("top risk", 6.0), row("greedy", 5.02)])
    ['top risk is worth 6, the plan 5']
    """
    true = {row.policy: row.true for row in judged}
    plan = true[PLAN]
    missed = [
        f"{name} is worth {true[name]:,.0f}, the plan {plan:,.0f}"
        for name in (NOBODY, *SIMPLE_RULES)
        if name in true and true[name] >= plan
    ]
    if plan < SHARE_OF_GREEDY * true["greedy"]:
        missed.append(f"greedy is worth {true['greedy']:,.0f}, the plan {plan:,.0f}")
    return missed


def build_world(folder: Path, *, customers: int, seed: int) -> Path:
    """Generate a world and build it in ``folder``; return the path of the warehouse."""
    raw = folder / "raw"
    write_parquet(raw_chunks(customers=customers, months=24, seed=seed, clean=False), raw)
    project = ProjectCopy.create(folder / "project", raw)
    project.build()
    return project.warehouse()


def main(
    seeds: Annotated[str, typer.Option(help="Seeds of the worlds, separated by commas.")] = "1,2,3,4,5",
    customers: Annotated[int, typer.Option(min=500, help="Customers that ever signed up.")] = 20_000,
) -> None:
    """Compare the plan with the reference policies by the hidden truth of generated worlds.

    Exits with 1 where the plan earns no more than a simple rule, or less than 99 % of greedy, or a world is left out.
    """
    console, missed = table_console(), []
    for seed in whole_numbers(seeds, "--seeds"):
        try:
            with (
                tempfile.TemporaryDirectory(prefix="bayespilot-compare-") as folder,
                console.status(f"world {seed}: generating, building"),
            ):
                warehouse = build_world(Path(folder), customers=customers, seed=seed)
                with duckdb.connect(str(warehouse), read_only=True) as connection:
                    world = start_world(
                        customers=customers, months=HISTORY_MONTHS, ends_on=ENDS_ON, seed=seed
                    )
                    judged = judge(connection, world, limits_times=customers / SEEDED_CUSTOMERS)
        except BayesPilotError as error:
            Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
            missed.append(f"world {seed} is left out")
            continue
        console.print(_table(f"World {seed}, {customers:,} customers", judged))
        missed += [f"world {seed}: {what}" for what in missed_targets(judged)]
    console.print(
        "\n".join(missed)
        or "In every world the plan earns more than the simple rules and at least 99 % of greedy."
    )
    if missed:
        raise typer.Exit(1)


def _table(title: str, judged: Sequence[Judged]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("policy", "contacts", "spend", "believed value", "true value", "of the plan's"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    plan = judged[0].true
    for row in judged:
        table.add_row(
            row.policy,
            f"{row.contacts:,}",
            f"{row.spend:,.0f}",
            f"{row.believed:,.0f}",
            f"{row.true:,.0f}",
            f"{row.true / plan:.1%}" if plan > 0 else "–",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
