"""Check what `rpt_policy_value` says of a programme where its worth is known, look after look.

    python scripts/programme_value_study.py --programmes 400 --holdout 0.05,0.1,0.2

Programmes of 24 months with a known true value per month are played and read every month. Programmes that do nothing
must hardly ever be called earning or losing; of the others the interval must hold the known worth at every look. Every
figure is held against its own question.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Annotated

import numpy as np
import typer
from option_values import holdout_shares
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.special import expit

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
    Episodes,
    Figure,
    doubly_robust,
    pick_holdout,
    universal_holdout,
)

MEAN_LOG_ODDS = -3.6  # of leaving within a month: about 4 % leave, as in the bundled demo
CHOSEN_SHARE = 0.12  # of the customers who may be contacted, each month
MONTHLY_DISCOUNT = 1.10 ** (-1 / 12)
VALUE_MONTHS = 12  # over which the margin still to come is counted
LEAVER_MARGIN = 0.5  # of a month's margin that a customer brings who leaves in it
TRIAL_PROPENSITY = 0.5  # of being left alone, in the trial

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

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=max(Console().width, WIDTH_OF_TABLE))


@dataclass(frozen=True)
class World:
    """A programme: shares of customers (``holdout`` for both holdouts), money per contact, and its effect.

    ``relative_risk`` multiplies the churn probability of the month of a contact, ``lasting_risk`` that of all later
    months; under ``is_postponed`` a customer that a contact kept leaves the month after. A trial of another offer
    takes ``trial_share`` of the customers before the policy chooses.
    """

    customers: int
    months: int
    holdout: float
    relative_risk: float
    contact_cost: float
    lasting_risk: float = 1.0
    is_postponed: bool = False
    trial_share: float = 0.0
    trial_risk: float = 1.0


NOTHING = World(customers=6000, months=24, holdout=0.1, relative_risk=1.0, contact_cost=0.0)
WORKING = replace(NOTHING, relative_risk=0.7, contact_cost=1.0)


@dataclass(frozen=True)
class Month:
    """What is known at a month's end, and the true worth that each figure estimates, per unit.

    ``enrolled``, ``episodes`` and ``truth`` speak of the programme so far; ``change``, ``opened`` and
    ``monthly_truth`` of the month alone.
    """

    enrolled: Enrolled
    change: Enrolled
    episodes: Episodes
    opened: Episodes
    truth: dict[str, float]
    monthly_truth: dict[str, float]


@dataclass(frozen=True)
class _Path:
    """Customers under one treatment: who is still there, and discounted margin less costs to date, (n,)."""

    is_there: np.ndarray
    realised: np.ndarray

    def after(self, leaves: np.ndarray, margin: np.ndarray, cost: np.ndarray, discount: float) -> _Path:
        brought = margin * np.where(leaves, LEAVER_MARGIN, 1.0) * self.is_there - cost
        return _Path(self.is_there & ~leaves, self.realised + discount * brought)

    def outcome(self, value: np.ndarray, discount: float) -> np.ndarray:
        """Y without the value at enrolment, shape (n,)."""
        return self.realised + discount * value * self.is_there


@dataclass(frozen=True)
class _Customers:
    """n customers: log-odds of leaving within a month, margin per month, V at enrolment, who is never contacted."""

    log_odds: np.ndarray
    margin: np.ndarray
    value: np.ndarray
    is_untouched: np.ndarray

    @classmethod
    def draw(cls, world: World, random: np.random.Generator) -> _Customers:
        count = world.customers
        log_odds = random.normal(MEAN_LOG_ODDS, 0.8, count)
        margin = np.round(random.lognormal(3.0, 0.8, count), 2)
        value = _margin_to_come(margin, expit(log_odds + random.normal(0.0, 0.3, count)))
        return cls(log_odds, margin, value, random.random(count) < world.holdout)


def play(world: World, random: np.random.Generator) -> Iterator[Month]:
    """Let customers live through the programme twice by the same luck: treated by it, and left alone.

    The difference of both lives is what the programme is worth to each customer. Only one of them is observed: the life
    left alone of the universal holdout, the treated life of all others.
    """
    count = world.customers
    customers = _Customers.draw(world, random)
    treated = alone = _Path(np.ones(count, dtype=bool), np.zeros(count))
    mood, lasting_risk = (
        np.zeros(count),
        np.ones(count),
    )  # log-odds of this month; what earlier contacts left behind
    in_episode, leaves_later = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    enrolled, worth = _enrolled(customers, treated, alone, 1.0), 0.0
    pieces: list[Episodes] = []
    effects: list[np.ndarray] = []
    for month in range(1, world.months + 1):
        discount = MONTHLY_DISCOUNT**month
        mood = 0.7 * mood + random.normal(0.0, 0.5, count)
        churn, luck = expit(customers.log_odds + mood), random.random(count)
        believed = expit(customers.log_odds + mood + random.normal(0.0, 0.35, count))

        # The universal holdout draws arms too: its treated life is the one that it would have had.
        may_be_contacted = treated.is_there & ~in_episode
        action, propensity = _draw(world, believed * customers.value, may_be_contacted, random)
        is_contacted, in_episode = action > 0, propensity < 1.0
        is_opened = in_episode & ~customers.is_untouched
        cost = world.contact_cost * is_contacted

        untouched_churn = np.minimum(churn * lasting_risk, 1.0)
        relative_risk = np.array([1.0, world.relative_risk, world.trial_risk])[action]
        leaves = treated.is_there & ((luck < untouched_churn * relative_risk) | leaves_later)
        if world.is_postponed:
            leaves_later = treated.is_there & is_contacted & (luck < untouched_churn) & ~leaves
        opened = _episodes(is_opened, action, propensity, leaves, customers, believed, cost, world)
        effects.append(_effect(world, customers, untouched_churn, propensity)[is_opened])
        pieces.append(opened)

        treated = treated.after(leaves, customers.margin, cost, discount)
        alone = alone.after(alone.is_there & (luck < churn), customers.margin, np.zeros(count), discount)
        lasting_risk = np.where(is_contacted, np.minimum(lasting_risk, world.lasting_risk), lasting_risk)

        episodes = _joined(pieces)
        enrolled_before, enrolled = enrolled, _enrolled(customers, treated, alone, discount)
        outcomes = (life.outcome(customers.value, discount) for life in (treated, alone))
        worth_before, worth = worth, float(np.subtract(*outcomes).mean())
        yield Month(
            enrolled,
            _change(enrolled_before, enrolled),
            episodes,
            opened,
            {UNIVERSAL_HOLDOUT: worth} | _worth(episodes, np.concatenate(effects)),
            {UNIVERSAL_HOLDOUT: worth - worth_before} | _worth(opened, effects[-1]),
        )


def _effect(
    world: World, customers: _Customers, untouched_churn: np.ndarray, propensity: np.ndarray
) -> np.ndarray:
    """Return the expected money of contacting each customer in its arm, net of cost, shape (n,)."""
    at_stake = (customers.value - LEAVER_MARGIN * customers.margin) * untouched_churn
    relative_risk = np.where(_is_trial(world, propensity), world.trial_risk, world.relative_risk)
    return at_stake * (1.0 - relative_risk) - world.contact_cost


def _margin_to_come(margin: np.ndarray, churn: np.ndarray) -> np.ndarray:
    periods = np.arange(1, VALUE_MONTHS + 1)
    return margin * ((MONTHLY_DISCOUNT * (1.0 - churn))[:, None] ** periods).sum(axis=1)


def _draw(
    world: World, at_stake: np.ndarray, may_be_contacted: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return actions (0 none, 1 the policy's offer, 2 the trial's) and the probability of none, both (n,)."""
    count = len(at_stake)
    trial = may_be_contacted & (random.random(count) < world.trial_share)
    free = may_be_contacted & ~trial
    chosen = free & (at_stake > (np.quantile(at_stake[free], 1.0 - CHOSEN_SHARE) if free.any() else np.inf))
    propensity = np.where(trial, TRIAL_PROPENSITY, np.where(chosen, world.holdout, 1.0))
    is_contacted = random.random(count) >= propensity
    return np.where(is_contacted, np.where(trial, 2, 1), 0), propensity


def _is_trial(world: World, propensity: np.ndarray) -> np.ndarray:
    return (propensity == TRIAL_PROPENSITY) & (world.trial_share > 0)


def _episodes(
    rows: np.ndarray,
    action: np.ndarray,
    propensity: np.ndarray,
    leaves: np.ndarray,
    customers: _Customers,
    believed: np.ndarray,
    cost: np.ndarray,
    world: World,
) -> Episodes:
    margin, value = customers.margin, customers.value
    brought = margin * np.where(leaves, LEAVER_MARGIN, 1.0)
    whole = Episodes(
        customer_id=np.arange(len(rows)),
        is_chosen=~_is_trial(world, propensity),
        is_left_alone=action == 0,
        propensity_no_action=propensity,
        realised=brought - cost,
        to_come=np.where(leaves, 0.0, value - brought),
        at_opening=value,
        predicted_left_alone=-believed * (value - LEAVER_MARGIN * margin),
        has_left=leaves,
        is_contaminated=np.zeros(len(rows), dtype=bool),
    )
    return whole.where(rows)


def _joined(pieces: list[Episodes]) -> Episodes:
    return Episodes(
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in vars(pieces[0])}
    )


def _worth(episodes: Episodes, effect: np.ndarray) -> dict[str, float]:
    """Return the expected worth per episode: of contacts to the chosen, and of all episodes as they were run."""
    as_run = (1.0 - episodes.propensity_no_action) * effect
    return {PICK_HOLDOUT: float(effect[episodes.is_chosen].mean()), DOUBLY_ROBUST: float(as_run.mean())}


def _enrolled(customers: _Customers, treated: _Path, alone: _Path, discount: float) -> Enrolled:
    untouched, value = customers.is_untouched, customers.value
    is_there = np.where(untouched, alone.is_there, treated.is_there)
    return Enrolled(
        is_untouched=untouched,
        realised=np.where(untouched, alone.realised, treated.realised),
        to_come=discount * value * is_there,
        at_enrolment=value,
        has_left=~is_there,
        is_contaminated=np.zeros(len(value), dtype=bool),
    )


def _change(earlier: Enrolled, now: Enrolled) -> Enrolled:
    """Return the month alone: V at its start takes the place of V at enrolment."""
    return replace(now, realised=now.realised - earlier.realised, at_enrolment=earlier.to_come)


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
    shares = holdout_shares(holdout)
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
