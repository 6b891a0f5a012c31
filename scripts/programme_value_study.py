"""Check what `rpt_policy_value` says of a programme where its worth is known, look after look.

    python scripts/programme_value_study.py --programmes 400 --holdout 0.05,0.1,0.2

Programmes of 24 months are played and read every month. Programmes that do nothing must hardly ever be called
earning or losing; of the others the interval must hold the known worth at every look. Every figure is held against
its own question. The worlds are in scripts/programme_world.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated

import numpy as np
import typer
from policy_value_study import holdout_shares
from programme_world import Month, World, play
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models_ml.errors import BayesPilotError
from models_ml.evaluation.intervals import (
    EARNS,
    LOSES,
    PLANNED_MONTH,
    verdict,
)
from models_ml.evaluation.programme_value import (
    DOUBLY_ROBUST,
    PICK_HOLDOUT,
    UNIVERSAL_HOLDOUT,
    Enrolled,
    Figure,
    doubly_robust,
    pick_holdout,
    universal_holdout,
)

FIGURES = (UNIVERSAL_HOLDOUT, PICK_HOLDOUT, DOUBLY_ROBUST)
FALSE_VERDICTS = 0.05  # of programmes that do nothing, at most
COVERAGE = 0.95  # of programmes whose worth lies in the interval at every look, at least
MONTHLY_COVERAGE = 0.90  # of months whose worth lies in the interval of a single look, at least
WIDTH = 1.65  # of the interval at every look over that of a single look in month 12, at most
BASELINE = (
    0.75  # of the universal contrast's standard error, with over without the value at enrolment, at most
)

WIDTH_OF_TABLE = 110  # characters
RATIO_PROGRAMMES = 40  # whose mean is that ratio

NOTHING = World(customers=6000, months=24, holdout=0.1, relative_risk=1.0, contact_cost=0.0)
WORKING = replace(NOTHING, relative_risk=0.7, contact_cost=1.0)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=max(Console().width, WIDTH_OF_TABLE))


@dataclass(frozen=True)
class Readings:
    """One figure of many programmes, read every month: arrays of shape (programmes, months), money per unit.

    ``half_width`` is that of a single look, ``reach`` that of every look; ``is_called`` marks the verdicts earns and
    loses. Missing where nothing could be estimated, ``reach`` also before the minimum evidence. ``monthly_`` speaks of
    the month alone.
    """

    error: np.ndarray
    half_width: np.ndarray
    reach: np.ndarray
    is_called: np.ndarray
    monthly_error: np.ndarray
    monthly_half_width: np.ndarray

    @classmethod
    def missing(cls, rows: int, months: int) -> Readings:
        """Return readings of which nothing is known yet."""
        arrays = {field.name: np.full((rows, months), np.nan) for field in fields(cls)}
        return cls(**(arrays | {"is_called": np.zeros((rows, months), dtype=bool)}))

    @classmethod
    def of_figure(cls, programmes: list[Readings], row: int) -> Readings:
        """Gather one figure of readings of shape (figures, months)."""
        return cls(
            *(np.stack([getattr(one, field.name)[row] for one in programmes]) for field in fields(cls))
        )

    @property
    def ever_called(self) -> float:
        """Share of programmes with a verdict at any look."""
        return float(self.is_called.any(axis=1).mean())

    @property
    def always_covered(self) -> float:
        """Share of programmes whose worth lies in the interval at every look, of those with an interval."""
        known = np.isfinite(self.reach).any(axis=1)
        return (
            float((~(np.abs(self.error) > self.reach)).all(axis=1)[known].mean()) if known.any() else np.nan
        )

    @property
    def has_evidence(self) -> float:
        """Share of programmes with the minimum evidence by month 12."""
        return float(np.isfinite(self.reach[:, PLANNED_MONTH - 1]).mean())

    @property
    def ever_left_single(self) -> float:
        """Share of programmes whose worth lies outside the interval of a single look at any look."""
        return float((np.abs(self.error) > self.half_width).any(axis=1).mean())

    @property
    def width(self) -> np.ndarray:
        """Interval at every look over that of a single look in month 12, shape (programmes with both,)."""
        month = PLANNED_MONTH - 1
        width = self.reach[:, month] / self.half_width[:, month]
        return width[np.isfinite(width)] if np.isfinite(width).any() else np.array([np.nan])

    @property
    def monthly_covered(self) -> float:
        """Share of months whose worth lies in their interval."""
        known = np.isfinite(self.monthly_half_width)
        return float((np.abs(self.monthly_error) <= self.monthly_half_width)[known].mean())

    def bias(self, month: int) -> float:
        """Mean error after a month, in standard errors of that mean; beyond ±3.5 there is a bias."""
        error = self.error[:, month - 1]
        error = error[np.isfinite(error)]
        return float(error.mean() / (error.std(ddof=1) / np.sqrt(len(error))))


def figures_of(month: Month, *, alone: bool) -> list[Figure]:
    """Return the three figures so far, or (``alone``) those of the month without the earlier ones."""
    episodes = month.opened if alone else month.episodes
    enrolled = month.change if alone else month.enrolled
    return [universal_holdout(*enrolled.groups()), pick_holdout(episodes), doubly_robust(episodes)]


def read_programme(world: World, seed: list[int], *, month_by_month: bool = True) -> Readings:
    """Play one programme and read its figures every month: arrays of shape (figures, months).

    Without ``month_by_month`` only the totals are read.
    """
    found = Readings.missing(len(FIGURES), world.months)
    planned: dict[str, float] = {}
    for position, month in enumerate(play(world, np.random.default_rng(seed))):
        for row, figure in enumerate(figures_of(month, alone=False)):
            look = figure.look(position + 1, planned.get(figure.name))
            if figure.estimate is None or look is None:
                continue
            if figure.evidence.is_enough:
                planned.setdefault(figure.name, look.planned)
                found.reach[row, position] = (look.high - look.low) / 2
            found.is_called[row, position] = verdict(look, figure.evidence) in (EARNS, LOSES)
            found.half_width[row, position] = (figure.estimate.high - figure.estimate.low) / 2
            found.error[row, position] = figure.estimate.value - month.truth[figure.name]
        for row, figure in enumerate(figures_of(month, alone=True) if month_by_month else ()):
            if figure.estimate is not None:
                half_width = (figure.estimate.high - figure.estimate.low) / 2
                found.monthly_half_width[row, position] = half_width
                found.monthly_error[row, position] = figure.estimate.value - month.monthly_truth[figure.name]
    return found


def study(
    world: World, *, programmes: int, seed: int, advance: Callable[[], None] = lambda: None
) -> dict[str, Readings]:
    """Play and read many programmes; return the readings of each figure."""
    found: list[Readings] = []
    for number in range(programmes):
        keys = [seed, number, round(1000 * world.holdout)]
        found.append(read_programme(world, keys, month_by_month=world.relative_risk != 1.0))
        advance()
    return {name: Readings.of_figure(found, row) for row, name in enumerate(FIGURES)}


def baseline_ratio(world: World, *, programmes: int, seed: int) -> float:
    """Return the standard error of the universal contrast over that without the value at enrolment, on average."""
    ratios = []
    for number in range(programmes):
        *_, last = play(world, np.random.default_rng([seed, number]))
        bare = Enrolled(**(vars(last.enrolled) | {"at_enrolment": np.zeros(world.customers)}))
        figures = [universal_holdout(*rows.groups()) for rows in (last.enrolled, bare)]
        errors = [figure.estimate.standard_error for figure in figures if figure.estimate is not None]
        ratios.append(errors[0] / errors[1])
    return float(np.mean(ratios))


def study_table(share: float, nothing: dict[str, Readings], working: dict[str, Readings]) -> Table:
    """One row per figure."""
    table = Table(title=f"Holdouts of {share:.0%}", box=box.SIMPLE_HEAD)
    table.add_column("figure", no_wrap=True)
    for heading in ("called, null", "one look", "covers", "evidence", "width", "widest", "months", "bias"):
        table.add_column(heading, justify="right")
    for name in FIGURES:
        null, known = nothing[name], working[name]
        table.add_row(
            name,
            f"{null.ever_called:.3f}",
            f"{null.ever_left_single:.3f}",
            f"{known.always_covered:.3f}",
            f"{known.has_evidence:.2f}",
            f"{np.median(known.width):.2f}",
            f"{np.max(known.width):.2f}",
            f"{known.monthly_covered:.3f}",
            " ".join(f"{known.bias(month):+.1f}" for month in (6, 12, known.error.shape[1])),
        )
    table.caption = (
        "called, null: programmes that do nothing, called earning or losing at any look; one look: the same if"
        " intervals of a single look were read every month. covers: intervals that hold the worth at every look, from"
        " the minimum evidence on; evidence: programmes that have it by month 12. width, widest: over the interval of"
        " a single look in month 12, median and largest. months: monthly figures within their interval. bias: mean"
        " error after 6, 12 and all months, in its standard errors."
    )
    return table


def missed_targets(
    share: float, nothing: dict[str, Readings], working: dict[str, Readings], ratio: float
) -> list[str]:
    """Name the targets that the study misses."""
    missed = [] if ratio <= BASELINE else [f"baseline ratio {ratio:.2f} at {share:.0%}"]
    for name in FIGURES:
        null, known = nothing[name], working[name]
        checks = {
            f"{null.ever_called:.3f} called, null": null.ever_called <= FALSE_VERDICTS,
            f"{known.always_covered:.3f} covered": known.always_covered >= COVERAGE,
            f"width {np.max(known.width):.2f}": np.max(known.width) <= WIDTH,
            f"{known.monthly_covered:.3f} of months covered": known.monthly_covered >= MONTHLY_COVERAGE,
        }
        missed += [f"{what} ({name}, {share:.0%})" for what, holds in checks.items() if not holds]
    return missed


@app.command()
def main(
    programmes: Annotated[int, typer.Option(min=2, help="Programmes of each kind and share.")] = 400,
    holdout: Annotated[str, typer.Option(help="Shares of both holdouts, with commas.")] = "0.05,0.1,0.2",
    customers: Annotated[int, typer.Option(min=500, help="Customers enrolled.")] = 6000,
    months: Annotated[int, typer.Option(min=PLANNED_MONTH, max=60, help="Months, and looks.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other programmes.")] = 1,
) -> None:
    """Print false verdicts, coverage and widths of every figure; exit 1 where a target is missed."""
    try:
        shares = holdout_shares(holdout)
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        sys.exit(1)
    missed: list[str] = []
    for share in shares:
        worlds = {
            words: replace(world, customers=customers, months=months, holdout=share)
            for words, world in (("do nothing", NOTHING), ("work", WORKING))
        }
        found: list[dict[str, Readings]] = []
        with Progress(console=console, transient=True) as progress:
            for name, world in worlds.items():
                task = progress.add_task(f"{share:.0%}, programmes that {name}", total=programmes)
                step = lambda task=task: progress.advance(task)  # noqa: E731
                found.append(study(world, programmes=programmes, seed=seed, advance=step))
        ratio = baseline_ratio(worlds["work"], programmes=min(programmes, RATIO_PROGRAMMES), seed=seed)
        console.print(study_table(share, found[0], found[1]))
        console.print(f"Standard error with the value at enrolment over that without: {ratio:.2f}\n")
        missed += missed_targets(share, found[0], found[1], ratio)
    console.print(f"Targets missed: {'; '.join(missed) or 'none'}.")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    app()
