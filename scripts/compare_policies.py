"""Judge the plan and the reference policies by what is true in the demo world, which the build never sees.

    python scripts/compare_policies.py --seeds 1,2,3,4,5 --customers 20000

For each seed a world is generated and built in a temporary folder (features, training, scores, decisions). Then
every policy decides for the same customers with the same beliefs and limits, and the world's hidden truth says what
its contacts are really worth. Exit code 1 where the plan does not hold what it promises.

The plan is the best that the beliefs allow, and its gap proves it; what it is really worth depends on how right the
beliefs are. The demo's business has made its offers for years: what it believes of them is right on average, though
one acceptance rate and one incentive stand for everybody, while those to whom a dear offer pays accept more often and
pay higher fees. Greedy buys cheap offers first, so such errors cost it less. Small worlds say little: one contact is
worth a euro or two, give or take ten. What wrong beliefs cost, and how they are unlearned: simulate_months.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models_ml.decisions.decide import Terms, decide, set_apart
from models_ml.decisions.economics import customer_value, incremental_expected_value
from models_ml.decisions.limits import money
from models_ml.decisions.references import POLICIES
from models_ml.decisions.what_if import read_inputs
from models_ml.errors import BayesPilotError
from models_ml.paths import project_root

PLAN = "this plan"
DEMO_CUSTOMERS = 5_000  # the limits of seeds/demo are those of a business of this size
BEATEN = ("contact nobody", "fixed thresholds", "break-even", "top risk")
SHARE_OF_GREEDY = 0.99
PROJECT = ("dbt_project", "seeds", "dbt_project.yml", "profiles.yml", "selectors.yml")

# One row per customer at risk and offer, in the order of the candidates and of the offers.
TRUTH = """
    select
        truth.offer,
        untouched.churn_probability as p0,
        truth.churn_probability as p_offer,
        truth.acceptance_probability as acceptance,
        truth.contact_cost::double as contact_cost,
        truth.incentive_cost::double as incentive_cost,
        truth.monthly_margin::double as monthly_margin
    from int_decision_candidates as candidates
    inner join read_parquet(?) as truth
        on candidates.customer_id = truth.customer_id::varchar and candidates.as_of_date = truth.as_of_date
    inner join read_parquet(?) as untouched
        on truth.customer_id = untouched.customer_id and untouched.offer = 'no_action'
    where truth.offer <> 'no_action'
    order by candidates.customer_id, truth.offer
"""


@dataclass(frozen=True)
class Judged:
    """One policy: what it plans, what that is believed to be worth, and what it is really worth."""

    policy: str
    contacts: int
    spend: float
    believed: float
    true: float


def judge(connection: Any, truth: Path, *, limits_times: float) -> list[Judged]:  # noqa: ANN401 - a DuckDB connection
    """Let every policy decide on a built warehouse, with the month's limits times a factor, and judge it.

    Parameters
    ----------
    connection : DuckDB connection to the warehouse
    truth : Path of the world's truth.parquet
    limits_times : float
        1 for the limits as they stand.
    """
    inputs = read_inputs(connection)
    limits = inputs.month.left(inputs.terms).scaled(limits_times)
    worth = true_values(connection, truth, inputs.terms)
    situation = set_apart(inputs.candidates, inputs.terms, limits).situation
    plan = decide(inputs.candidates, inputs.terms, limits).choice
    plan = np.where(situation.allowed.any(axis=1), plan, -1)  # the trial is no choice of the plan
    choices: dict[str, NDArray[np.int64]] = {PLAN: plan.astype(np.int64)}
    choices |= {name: follow(situation).choice for name, follow in POLICIES.items()}
    judged = []
    for name, choice in choices.items():
        rows = np.flatnonzero(choice >= 0)
        offers = choice[rows]
        judged.append(
            Judged(
                name,
                len(rows),
                float(money(situation.expected_cost[rows, offers].sum())),
                float(money(situation.expected_value[rows, offers].sum())),
                float(worth[rows, offers].sum()),
            )
        )
    return judged


def true_values(connection: Any, truth: Path, terms: Terms) -> NDArray[np.float64]:  # noqa: ANN401 - DuckDB
    """Return what each offer is really worth for each candidate (n, k): p0 − p_a times V, less true costs.

    Raises
    ------
    BayesPilotError
        If the truth is of another day or world than the candidates.
    """
    columns = connection.sql(TRUTH, params=[str(truth), str(truth)]).to_arrow_table()
    names = [offer.offer for offer in terms.offers]
    customers = connection.execute("select count(*) from int_decision_candidates").fetchall()[0][0]
    if columns.num_rows != customers * len(names) or columns["offer"].to_pylist()[: len(names)] != names:
        raise BayesPilotError(
            f"the truth has {columns.num_rows} rows for {customers} customers and {len(names)} offers",
            where=str(truth),
            next_step="generate the world and build it again",
        )
    cells = {
        name: columns[name].to_numpy().reshape(customers, len(names))
        for name in columns.column_names
        if name != "offer"
    }
    p0 = cells["p0"]
    revenue = cells["monthly_margin"][:, 0] / terms.policy.margin_rate
    value = customer_value(revenue, p0[:, 0], terms.policy)[:, None]
    risk = np.divide(cells["p_offer"], p0, out=np.ones_like(p0), where=p0 > 0)
    return incremental_expected_value(
        p0, risk, value, cells["contact_cost"], cells["acceptance"], cells["incentive_cost"]
    )


def broken_promises(judged: Sequence[Judged]) -> list[str]:
    """Return what the plan does not hold: beat the naive policies, reach 99 % of greedy.

    Examples
    --------
    >>> row = lambda name, true: Judged(name, 1, 1.0, 1.0, true)
    >>> broken_promises([row("this plan", 5.0), row("top risk", 6.0), row("greedy", 5.02)])
    ['top risk is worth 6, the plan 5']
    """
    true = {row.policy: row.true for row in judged}
    plan = true[PLAN]
    broken = [
        f"{name} is worth {true[name]:,.0f}, the plan {plan:,.0f}"
        for name in BEATEN
        if name in true and true[name] >= plan
    ]
    if plan < SHARE_OF_GREEDY * true["greedy"]:
        broken.append(f"greedy is worth {true['greedy']:,.0f}, the plan {plan / true['greedy']:.1%} of it")
    return broken


def build_world(folder: Path, *, customers: int, seed: int) -> tuple[Path, Path]:
    """Generate a world and build it in ``folder``; return the warehouse and the truth."""
    root, raw, project = project_root(), folder / "raw", folder / "project"
    size = ("--customers", str(customers), "--months", "24", "--seed", str(seed), "--out", str(raw))
    _run([sys.executable, str(root / "scripts" / "generate_churn_data.py"), *size], folder, {})
    project.mkdir()
    for entry in PROJECT:
        if (root / entry).is_dir():
            shutil.copytree(
                root / entry, project / entry, ignore=shutil.ignore_patterns("raw", "target", "logs")
            )
        else:
            shutil.copy2(root / entry, project / entry)
    (project / "warehouse").mkdir()
    dbt = str(Path(sysconfig.get_path("scripts")) / "dbt")
    settings = {"DBT_PROFILES_DIR": str(project), "RETENTION_DATA": str(raw)}
    _run([dbt, "--no-use-colors", "build"], project, settings)
    return project / "warehouse" / "demo.duckdb", raw / "truth.parquet"


def _run(command: Sequence[str], folder: Path, settings: dict[str, str]) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "RETENTION_"))}
    finished = subprocess.run(
        command, cwd=folder, env=kept | settings, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise BayesPilotError(
            f"{' '.join(map(str, command[:2]))} ended with exit code {finished.returncode}",
            where=str(folder),
            values=(finished.stdout + finished.stderr).strip().splitlines()[-5:],
        )


def main(
    seeds: Annotated[str, typer.Option(help="Worlds to judge on, separated by commas.")] = "1,2,3,4,5",
    customers: Annotated[int, typer.Option(min=500, help="Customers that ever signed up.")] = 20_000,
) -> None:
    """Judge the plan and the reference policies by the hidden truth of generated worlds."""
    console, broken = Console(), []
    try:
        for seed in [int(part) for part in seeds.split(",")]:
            with (
                tempfile.TemporaryDirectory(prefix="bayespilot-compare-") as folder,
                console.status(f"world {seed}: generating, building"),
            ):
                warehouse, truth = build_world(Path(folder), customers=customers, seed=seed)
                with duckdb.connect(str(warehouse), read_only=True) as connection:
                    judged = judge(connection, truth, limits_times=customers / DEMO_CUSTOMERS)
            console.print(_table(f"World {seed}, {customers:,} customers", judged))
            broken += [f"world {seed}: {what}" for what in broken_promises(judged)]
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    console.print(
        "\n".join(broken) or "On every world the plan beats the naive policies and keeps up with greedy."
    )
    if broken:
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
