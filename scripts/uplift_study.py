"""Check what `learn_policy` says where the truth is known: simulated trials, and a real one with shuffled treatment.

    python scripts/uplift_study.py worlds --replications 100 --customers 4000
    python scripts/uplift_study.py shuffles FOLDER --shuffles 40

The worlds have a randomised trial of two offers with one kind of difference each. The second command reads
train.parquet of a real randomised promotion (10 USD a purchase, 0.15 USD a mailing), shuffles the treatment and counts
how often personalising is called helpful. Exit code 1 where a bound is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich import box
from rich.progress import track
from rich.table import Table
from scipy.special import expit, logit

from models_ml.errors import BayesPilotError
from models_ml.terminal import table_console
from models_ml.training import feature_schema
from models_ml.uplift import LearnedPolicy, learn_policy
from models_ml.uplift.policies import LEARNED

ARMS = ("none", "call", "discount")
SCHEMA = feature_schema({"tenure": "numeric", "usage": "numeric", "plan": "categorical"})
VALUE, COST = 100.0, {"call": 4.0, "discount": 8.0}  # money per customer kept, and per contact

SHOWN_AT_MOST = 0.05  # of the trials in which personalising cannot help
FOUND_AT_LEAST = 0.8  # of those in which it helps
COVERED_AT_LEAST = 0.9  # by 95 % intervals; a hundred replications leave ± 0.04
PROMOTION = feature_schema(
    {"V1": "categorical", "V2": "numeric", "V3": "numeric"}
    | dict.fromkeys(("V4", "V5", "V6", "V7"), "categorical")
)

app = typer.Typer(
    help="Check what `learn_policy` says where the truth is known; exit 1 where a bound is missed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = table_console()

Learners = Annotated[str, typer.Option(help="Learners separated by commas; all without.")]


@dataclass(frozen=True)
class SimulatedTrial:
    """A trial as `learn_policy` reads it, and the expected money of each arm for each row, (n, 3)."""

    frame: pd.DataFrame
    expected_money: np.ndarray

    def true_gain(self, learned: LearnedPolicy, policy: str) -> float:
        """Return the true money per customer of a held-out policy against treating none."""
        judged = self.expected_money[learned.held_out.rows]
        against = judged - judged[:, :1]
        return float((learned.held_out.policies[policy] * against).sum(axis=1).mean())


# From customers and their probability of staying without an offer to that with the call and with the discount.
Effects = Callable[[pd.DataFrame, np.ndarray], tuple[np.ndarray, np.ndarray]]


def no_effect(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave everybody as without an offer."""
    return alone, alone


def break_even(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let both offers earn exactly what they cost, for everybody: every policy is worth the same."""
    return alone + COST["call"] / VALUE, alone + COST["discount"] / VALUE


def same_for_all(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let the call help everybody alike, the discount less than it costs."""
    return alone + 0.15, alone + 0.05


def some_harmed(customers: pd.DataFrame, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let the call help long tenures and drive short ones away, the discount help those on the basic plan."""
    call = np.where(customers["tenure"] > 0, 1.2, -0.8)
    discount = np.where(customers["plan"] == "basic", 1.2, -0.2)
    return expit(logit(alone) + call), expit(logit(alone) + discount)


WORLDS: Mapping[str, Effects] = {
    "no effect": no_effect,
    "break even": break_even,
    "same for all": same_for_all,
    "some harmed": some_harmed,
}


def simulate_trial(effects: Effects, customers: int, seed: int) -> SimulatedTrial:
    """Draw a trial in which each arm has the probability one third.

    The outcome is whether the customer stays; without an offer 40 to 80 % do, more of the frequent users.
    """
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "tenure": random.normal(size=customers),
            "usage": random.normal(size=customers),
            "plan": random.choice(["basic", "plus", "pro"], customers),
        }
    )
    alone = 0.4 + 0.4 * expit(frame["usage"].to_numpy())
    stays = np.column_stack([alone, *effects(frame, alone)])
    arm = random.integers(0, len(ARMS), customers)
    frame["offer"] = np.array(ARMS)[arm]
    frame["stayed"] = (random.random(customers) < stays[np.arange(customers), arm]).astype(int)
    costs = np.array([0.0, *(COST[offer] for offer in ARMS[1:])])
    return SimulatedTrial(frame, VALUE * stays - costs)


@app.command()
def worlds(
    replications: Annotated[int, typer.Option(min=1, help="Trials per world.")] = 50,
    customers: Annotated[int, typer.Option(min=600, help="Customers per trial.")] = 4000,
    learners: Learners = "",
) -> None:
    """Learn from simulated trials: how often personalising is called helpful, and whether intervals hold."""
    table = Table("world", "called helpful", "learned covers", "true gain", "best alike", box=box.SIMPLE_HEAD)
    missed = []
    for name, effects in WORLDS.items():
        found = []
        for seed in track(range(replications), name, console=console, transient=True):
            world = simulate_trial(effects, customers, seed)
            learned = learn_policy(
                world.frame, SCHEMA, treatment="offer", control="none", outcome="stayed",
                value=VALUE, cost=COST, propensity=dict.fromkeys(("none", "call", "discount"), 1 / 3),
                learners=_named(learners),
            )  # fmt: skip
            gains = {policy: world.true_gain(learned, policy) for policy in learned.worth}
            gain = gains.pop(LEARNED)
            found.append((learned.verdict.is_shown, _covers(learned, gain), gain, max(gains.values())))
        shown, covered, gain, best = np.mean(np.array(found, dtype=float), axis=0)
        table.add_row(name, f"{shown:.3f}", f"{covered:.3f}", f"{gain:.2f}", f"{best:.2f}")
        helps = name == "some harmed"
        if (shown < FOUND_AT_LEAST if helps else shown > SHOWN_AT_MOST) or covered < COVERED_AT_LEAST:
            missed.append(name)
    console.print(table)
    _finish(missed)


@app.command()
def shuffles(
    folder: Annotated[Path, typer.Argument(help="Holds train.parquet of the promotion.")],
    shuffles: Annotated[int, typer.Option(min=1, help="How often the treatment is shuffled.")] = 40,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first shuffle.")] = 0,
    rows: Annotated[int, typer.Option(min=0, help="Rows drawn of the file; 0 = all.")] = 0,
    learners: Learners = "",
) -> None:
    """Shuffle the treatment of a real trial and count how often personalising is called helpful."""
    table = read_promotion(folder, rows)
    called = 0
    for seed in range(first, first + shuffles):
        learned = learn_promotion(shuffled(table, seed), _named(learners))
        called += learned.verdict.is_shown
        console.print(f"shuffle {seed}: {learned.verdict.sentence('USD')}", highlight=False, soft_wrap=True)
    console.print(f"called helpful in {called} of {shuffles} shuffles")
    _finish(["shuffles"] if called > SHOWN_AT_MOST * shuffles else [])


def read_promotion(folder: Path, rows: int) -> pa.Table:
    """Read the promotion, or a random part of it.

    Raises
    ------
    BayesPilotError
        If the file is not there.
    """
    path = folder / "train.parquet"
    if not path.is_file():
        raise BayesPilotError("the promotion is not there", where=str(path), next_step="name its folder")
    table = pq.read_table(path)
    if not rows:
        return table
    drawn = np.random.default_rng(0).choice(table.num_rows, min(rows, table.num_rows), replace=False)
    return table.take(pa.array(np.sort(drawn)))


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    """Return the trial with its treatment in a random order."""
    position = table.schema.get_field_index("Promotion")
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return table.set_column(position, "Promotion", table["Promotion"].take(pa.array(order)))


def learn_promotion(table: pa.Table, learners: list[str] | None) -> LearnedPolicy:
    """Learn from the promotion."""
    return learn_policy(
        table, PROMOTION, treatment="Promotion", control="No", outcome="purchase", value=10.0, cost=0.15,
        propensity=0.5, learners=learners,
    )  # fmt: skip


def _covers(learned: LearnedPolicy, gain: float) -> bool:
    found = learned.worth[LEARNED].against_none
    return gain == 0.0 if found is None else found.low <= gain <= found.high


def _named(learners: str) -> list[str] | None:
    return [name.strip() for name in learners.split(",") if name.strip()] or None


def _finish(missed: list[str]) -> None:
    if missed:
        console.print(f"bound missed: {', '.join(missed)}", style="red")
        raise typer.Exit(1)
    console.print("Every bound holds.")


if __name__ == "__main__":
    try:
        app()
    except BayesPilotError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(1)
