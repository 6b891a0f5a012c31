"""Study whether learning pays: months of the demo business with flat, wrong and good priors, valued by the truth.

    python scripts/learning_study.py --seeds 1,2,3 --customers 20000 --months 6
    python scripts/learning_study.py --seeds 1,2,3 --customers 8000 --priors good --pick-holdout-share 0.05

For each seed, a world is built once; each set of priors then plays its months on a copy (simulation.built_world).
`good` priors are drawn around what unlimited randomised data would give, as in planned_value_study.py; `frozen`
decides with the same priors, without trials, and never learns. A world whose first pipeline is refused is named and
left out. Exit code 1 where a target is missed or a world is left out; targets that cannot be judged are named.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

import typer
from option_values import whole_numbers
from rich.console import Console
from rich.table import Table
from simulation.built_world import BuiltWorld, built_world, prior_stream
from simulation.compiled_project import CompiledProject
from simulation.loop import Month, Setting, run_months
from simulation.results import write_rows
from simulation.true_value import BEST, OWN
from simulation.world import World

from models_ml.errors import BayesPilotError

PRIORS = FLAT, WRONG, GOOD, FROZEN = "none", "wrong", "good", "frozen"
EARLY, LATE = (1, 2), (4, 5, 6)
RECOVERED_BY = 3  # the first month in which wrong priors may not lose any more
WORST_LOSS = 0.05  # of the best possible plan: what learning may cost in one world


@dataclass(frozen=True)
class Played:
    """One month of one setting: true values of what was done and of the best possible plan, money."""

    seed: int
    priors: str
    month: int
    value: float
    best: float
    greedy: float
    believed: float
    contacts: int
    offers_tried: int


def play_world(
    built: BuiltWorld, names: Sequence[str] = PRIORS, policy: Mapping[str, float] | None = None
) -> Iterator[Played]:
    """Play the months of a built world with each set of priors; ``policy`` changes parameters of the policy."""
    for priors in names:
        with fork_believing(built, priors, policy or {}) as fork:
            yield from played_months(fork, built.world, built.setting, priors)


def fork_believing(
    built: BuiltWorld, priors: str, policy: Mapping[str, float]
) -> AbstractContextManager[CompiledProject]:
    """Return a copy of the business that believes ``priors``; good ones are the same draw, frozen or not."""
    if priors not in (GOOD, FROZEN):
        return built.fork(priors, policy=policy)
    drawn_by = prior_stream(built.setting.seed)
    if priors == GOOD:
        return built.fork(drawn_by=drawn_by, policy=policy)
    return built.fork(drawn_by=drawn_by, policy={**policy, "learning_share": 0.0}, learns=False)


def played_months(fork: CompiledProject, world: World, setting: Setting, priors: str) -> Iterator[Played]:
    """Run the months and yield what each is worth."""
    tried: set[str] = set()
    for month, _ in run_months(setting, fork.project, world, compiled=fork):
        rows = fork.project.read("select distinct action from retention_actions_deliverable")
        tried |= set(rows["action"].to_pylist())
        yield _played(month, priors, len(tried))


def _played(month: Month, priors: str, offers_tried: int) -> Played:
    values = month.value.by_policy
    return Played(
        month.seed,
        priors,
        month.number,
        values[OWN],
        values[BEST],
        values["greedy"],
        month.value.expected,
        month.value.contacts,
        offers_tried,
    )


def share_of_best(rows: Sequence[Played], policy: str = "value") -> float:
    """Return what was earned over what the best possible plan would have earned; not a number where that is 0.

    Examples
    --------
    >>> played = Played(seed=1, priors="none", month=1, value=4.0, best=10.0, greedy=0.0, believed=0.0, contacts=1,
    ...                 offers_tried=1)
    >>> share_of_best([played, played])
    0.4
    """
    best = math.fsum(row.best for row in rows)
    return math.fsum(getattr(row, policy) for row in rows) / best if best > 0 else math.nan


def gains_of_learning(rows: Sequence[Played]) -> list[float]:
    """Return per seed how much of the best possible plan learning adds to the same priors frozen."""
    seeds = sorted({row.seed for row in rows})
    return [share_of_best(_of(rows, GOOD, seed)) - share_of_best(_of(rows, FROZEN, seed)) for seed in seeds]


def missed_targets(rows: Sequence[Played], offers: int) -> list[str]:
    """Name the targets that are missed: flat priors learn and try every offer, wrong ones recover, learning pays.

    Only priors that were played are judged.
    """
    played = {row.priors for row in rows}
    missed = _missed_by_flat(_of(rows, FLAT, None), offers) if FLAT in played else []
    missed += _missed_by_wrong(_of(rows, WRONG, None)) if WRONG in played else []
    return missed + (_missed_by_good(rows) if {GOOD, FROZEN} <= played else [])


def not_judged(rows: Sequence[Played]) -> list[str]:
    """Name the targets that these priors, months and worlds cannot show: they are neither met nor missed."""
    played, months = {row.priors for row in rows}, _months(rows)
    missing = [f"priors {name}: not played" for name in PRIORS if name not in played]
    if FLAT in played and not set(EARLY + LATE) <= months:
        missing.append(f"flat priors: months 4 to 6 against months 1 and 2, with {max(months)} played")
    if WRONG in played and max(months) < RECOVERED_BY:
        missing.append(f"wrong priors: losses from month {RECOVERED_BY} on, with {max(months)} played")
    if {GOOD, FROZEN} <= played and len({row.seed for row in rows}) == 1:
        missing.append("good priors: two standard errors of one world")
    return missing


def _missed_by_flat(rows: Sequence[Played], offers: int) -> list[str]:
    missed, months = [], _months(rows)
    if set(EARLY + LATE) <= months and _mean_of(rows, LATE) <= _mean_of(rows, EARLY):
        missed.append("flat priors: months 4 to 6 earn no more than months 1 and 2")
    return missed + [
        f"flat priors, seed {row.seed}: {row.offers_tried} of {offers} offers tried"
        for row in rows
        if row.month == max(months) and row.offers_tried < offers
    ]


def _missed_by_wrong(rows: Sequence[Played]) -> list[str]:
    missed = []
    if math.fsum(row.value for row in rows) <= 0:
        missed.append("wrong priors: the total is not positive")
    return missed + [
        f"wrong priors: month {month} loses {-_mean_of(rows, [month]):,.0f} on average"
        for month in sorted(_months(rows))
        if month >= RECOVERED_BY and _mean_of(rows, [month]) < 0
    ]


def _missed_by_good(rows: Sequence[Played]) -> list[str]:
    missed = []
    gains = gains_of_learning(rows)
    if len(gains) > 1 and not fmean(gains) > 2 * stdev(gains) / math.sqrt(len(gains)):
        missed.append(
            f"good priors: learning adds {100 * fmean(gains):.1f} points, within two standard errors"
        )
    if min(gains) < -WORST_LOSS:
        missed.append(f"good priors: learning costs {-100 * min(gains):.1f} points in one world")
    return missed


def _months(rows: Sequence[Played]) -> set[int]:
    return {row.month for row in rows}


def _mean_of(rows: Sequence[Played], months: Sequence[int]) -> float:
    return fmean(row.value for row in rows if row.month in months)


def print_study(console: Console, rows: Sequence[Played]) -> None:
    """Print a row per seed and priors, and the means over seeds."""
    months = sorted({row.month for row in rows})
    table = Table(title="True value, money", title_justify="left")
    for name in (
        "seed",
        "priors",
        *(f"month {month}" for month in months),
        "share of best",
        "greedy",
        "tried",
    ):
        table.add_column(name, justify="right")
    for seed in [*sorted({row.seed for row in rows}), None]:
        for priors in dict.fromkeys(row.priors for row in rows):
            own = _of(rows, priors, seed)
            by_month = (fmean(row.value for row in own if row.month == month) for month in months)
            table.add_row(
                "mean" if seed is None else str(seed),
                priors,
                *(f"{value:,.0f}" for value in by_month),
                f"{100 * share_of_best(own):.1f} %",
                f"{100 * share_of_best(own, 'greedy'):.0f} %",
                str(min(row.offers_tried for row in own if row.month == months[-1])),
            )
    console.print(table)


def _of(rows: Sequence[Played], priors: str, seed: int | None) -> list[Played]:
    return [row for row in rows if row.priors == priors and seed in (None, row.seed)]


def main(
    seeds: Annotated[str, typer.Option(help="Seeds of the worlds, separated by commas.")] = "1,2,3",
    customers: Annotated[int, typer.Option(min=500, help="Customers that ever signed up.")] = 20_000,
    months: Annotated[int, typer.Option(min=1, max=36, help="Months to play.")] = 6,
    priors: Annotated[str, typer.Option(help="Sets of priors, separated by commas.")] = ",".join(PRIORS),
    learning_share: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the month's money and contacts for trials.")
    ] = 0.1,
    pick_holdout_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.5, help="Share of the chosen customers that is not contacted; default: the demo's."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file with a row a month.")] = None,
) -> None:
    """Play months with flat, wrong and good priors, and compare learning with the same good priors frozen.

    Exits with 1 where a target is missed or a world is left out.
    """
    names = priors.split(",")
    if unknown := sorted(set(names) - set(PRIORS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: name some of {', '.join(PRIORS)}")
    console = Console(width=None if sys.stdout.isatty() else 150)
    policy = {} if pick_holdout_share is None else {"pick_holdout_share": pick_holdout_share}
    found: list[Played] = []
    left_out: list[str] = []
    for seed in whole_numbers(seeds, "--seeds"):
        setting = Setting(customers, months, seed, "demo", learning_share, past_trial=True)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="bayespilot-") as folder,
                console.status(f"seed {seed}: building the world and playing {months} months"),
            ):
                found += list(play_world(built_world(setting, Path(folder)), names, policy))
        except BayesPilotError as error:
            Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
            left_out.append(f"seed {seed} is left out")
            continue
        print_study(console, found)
        if out is not None:
            write_rows(out, found)
    missed = left_out + missed_targets(found, offers=5)
    unknown = not_judged(found)
    console.print("\n".join(missed) or ("No target is missed." if unknown else "Every target is met."))
    if found and unknown:
        console.print("Not judged: " + "; ".join(unknown) + ".")
    if missed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
