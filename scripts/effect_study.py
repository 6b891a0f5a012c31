"""Check the estimates of offer effects where these are known: coverage of intervals, and bias.

    python scripts/effect_study.py --worlds 200

A row misses its target when an offer that does nothing is held for one that does something in more than 9 % of worlds,
when 95 % intervals hold effects drawn from the prior in less than 91 % or more than 99 %, or when estimates are off by
more than 0.3 of their sd on average. The worlds have episodes with wrong churn probabilities and partial reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich import box
from rich.progress import track
from rich.table import Table
from scipy.special import expit

from models_ml.effects.effect_posterior import (
    EffectPriors,
    Floats,
    Integers,
    RandomisedEpisodes,
    calibration_covariance,
    effect_posterior,
    shares_reached,
)
from models_ml.effects.effect_settings import EffectSettings, load_settings
from models_ml.terminal import table_console

OFFERS = ("nudge", "discount", "call")
SIGNALS = ("payment_failing", "price_shock", "dormant")
NULL_OFFER = 0
OFFER_CORRELATION = 0.5
PRIOR_SD = (0.3, 0.4, 0.4, 0.4)  # a business that knows nothing of its offers
SIGNAL_VALUES = (0.0, 0.0, 0.0, 0.5, 1.0, 2.0)
MONTHS = 6

NULL_COVERAGE = 0.91
PRIOR_COVERAGE = (0.91, 0.99)
LARGEST_MEAN_Z = 0.3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = table_console()


@dataclass(frozen=True)
class Scenario:
    """One kind of world; every number is a fact of it, none is known to the estimate.

    ``picked`` customers per offer are chosen by the policy; a ``holdout`` share of them is left alone, and
    ``on_trial`` customers get an offer or nothing by chance. ``error`` (cells, 1 + s) is how log-odds of churn differ
    from those predicted, drawn from the prior where it is None. The first offer does nothing where ``has_null_offer``;
    other effects are drawn from the prior. An assigned offer reaches ``reach`` of its customers, and an offer of
    another team ``contamination`` of all others; a contact comes up to ``days_to_contact`` of the 28 days after the
    assignment, and customers who have left by then are not reached.
    """

    name: str
    picked: int = 700
    holdout: float = 0.1
    on_trial: int = 600
    error: Floats | None = None
    has_null_offer: bool = False
    reach: float = 1.0
    contamination: float = 0.0
    days_to_contact: float = 0.0


@dataclass(frozen=True)
class Found:
    """Errors of the posterior mean over its sd (k, 1 + s), and whether the 95 % interval holds the truth (k, 1 + s)."""

    z: Floats
    covered: npt.NDArray[np.bool_]


def cells() -> tuple[str, ...]:
    """Return the names of the cells: one per compared offer, and the trial."""
    return (*(f"policy: {offer}" for offer in OFFERS), "trial")


def error_along_a_signal(*by_cell: float) -> Floats:
    """Return errors along the second signal, one per cell."""
    error = np.zeros((len(cells()), 1 + len(SIGNALS)))
    error[:, 2] = by_cell
    return error


SCENARIOS = (
    Scenario(
        "null, churn model off by 0.3 along a signal",
        error=error_along_a_signal(*[0.3] * 4),
        has_null_offer=True,
    ),
    Scenario(
        "null, error differs by compared offer",
        error=error_along_a_signal(0.3, -0.3, 0.3, 0.0),
        has_null_offer=True,
    ),
    Scenario("effects and errors drawn from the prior"),
    Scenario("half of those assigned are reached", reach=0.5),
    Scenario("15 % of controls contacted by others", contamination=0.15),
    Scenario("half reached, 15 % contacted by others", reach=0.5, contamination=0.15),
    Scenario(
        "null, half reached, 15 % contacted by others", reach=0.5, contamination=0.15, has_null_offer=True
    ),
    Scenario("contacts within a week, earlier leavers missed", days_to_contact=7.0),
)


def flat_priors(correlation: float) -> EffectPriors:
    """Return the beliefs of a business that knows nothing of its offers."""
    shape = (len(OFFERS), 1 + len(SIGNALS))
    return EffectPriors(OFFERS, SIGNALS, np.zeros(shape), np.tile(PRIOR_SD, (len(OFFERS), 1)), correlation)


def play(
    scenario: Scenario,
    rng: np.random.Generator,
    settings: EffectSettings,
    correlation: float = OFFER_CORRELATION,
) -> Found:
    """Draw one world, estimate its effects, and compare them with the truth."""
    priors = flat_priors(correlation)
    effects = (np.linalg.cholesky(priors.covariance) @ rng.standard_normal(priors.mean.size)).reshape(
        priors.mean.shape
    )
    if scenario.has_null_offer:
        effects[NULL_OFFER] = 0.0
    error = scenario.error
    if error is None:
        spread = calibration_covariance(len(cells()), 1 + len(SIGNALS), settings)
        error = (np.linalg.cholesky(spread) @ rng.standard_normal(len(spread))).reshape(len(cells()), -1)
    found = effect_posterior(_episodes(scenario, effects, error, rng, settings), priors, settings).beliefs
    sd = np.sqrt(np.diag(found.covariance)).reshape(effects.shape)
    z = (found.mean - effects) / sd
    return Found(z, np.abs(z) <= 1.96)


def _episodes(
    scenario: Scenario, effects: Floats, error: Floats, rng: np.random.Generator, settings: EffectSettings
) -> RandomisedEpisodes:
    count = len(OFFERS)
    cell = np.repeat(np.arange(count + 1), [scenario.picked] * count + [scenario.on_trial])
    assigned = np.where(rng.random(len(cell)) < scenario.holdout, -1, cell)
    on_trial = cell == count
    assigned[on_trial] = rng.integers(-1, count, on_trial.sum())
    signals = rng.choice(SIGNAL_VALUES, (len(cell), len(SIGNALS)))
    design = np.column_stack([np.ones(len(cell)), signals])
    predicted = rng.normal(-2.0, 1.0, len(cell))
    alone = predicted + np.einsum("ij,ij->i", design, error[cell])
    intended = _intended(scenario, assigned, rng)
    day = rng.random(len(cell)) * scenario.days_to_contact / 28.0  # share of the horizon before the contact
    moved = alone + np.where(intended >= 0, np.einsum("ij,ij->i", design, effects[intended]), 0.0)
    survived = rng.exponential(size=len(cell))  # the cumulated hazard at which the customer leaves
    hazard, hazard_after = -np.log1p(-expit(alone)), -np.log1p(-expit(moved))
    is_reached = (intended >= 0) & (survived >= hazard * day)
    total = np.where(is_reached, hazard * day + hazard_after * (1.0 - day), hazard)
    month = rng.integers(0, MONTHS, len(cell))
    assignment = cell * (count + 1) + assigned + 1
    arm = np.unique(assignment * MONTHS + month, return_inverse=True)[1]
    reached = np.where(is_reached, intended, -1)
    share = shares_reached(arm, assignment, reached, count, settings.reach_before_evidence)
    return RandomisedEpisodes(cells(), cell, arm, share, expit(predicted), survived < total, signals)


def _intended(scenario: Scenario, assigned: Integers, rng: np.random.Generator) -> Integers:
    """Return the offer that would reach each customer who stays long enough, −1 for none."""
    executed = (assigned >= 0) & (rng.random(len(assigned)) < scenario.reach)
    other = ~executed & (rng.random(len(assigned)) < scenario.contamination)
    elsewhere = rng.integers(0, len(OFFERS), len(assigned))
    return np.where(executed, assigned, np.where(other, elsewhere, -1))


@dataclass(frozen=True)
class Result:
    """One scenario over all worlds: shares and means of the worst and of all coefficients that it is about."""

    scenario: Scenario
    lowest_coverage: float
    coverage: float
    largest_mean_z: float
    mean_z: float

    @property
    def misses(self) -> list[str]:
        """Name the targets that do not hold."""
        found = []
        if self.scenario.has_null_offer:
            if self.lowest_coverage < NULL_COVERAGE:
                found.append("coverage of 0")
        elif not PRIOR_COVERAGE[0] <= self.coverage <= PRIOR_COVERAGE[1]:
            found.append("coverage")
        if abs(self.mean_z) > LARGEST_MEAN_Z:
            found.append("mean z")
        return found


def study(scenario: Scenario, worlds: int, seed: int) -> Result:
    """Play a scenario in many worlds; of a null offer only its own coefficients count."""
    settings, _ = load_settings()
    found = [
        play(scenario, np.random.default_rng([seed, world]), settings)
        for world in track(range(worlds), scenario.name, console=console, transient=True)
    ]
    offers = slice(NULL_OFFER, NULL_OFFER + 1) if scenario.has_null_offer else slice(None)
    covered = np.mean([each.covered[offers] for each in found], axis=0)
    z = np.mean([each.z[offers] for each in found], axis=0)
    return Result(scenario, covered.min(), covered.mean(), float(z.ravel()[np.abs(z).argmax()]), z.mean())


@app.command()
def main(
    worlds: Annotated[int, typer.Option(min=10, help="Worlds per scenario.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other worlds.")] = 1,
) -> None:
    """Print coverage and bias of every scenario; exit with 1 where one misses its target."""
    results = [study(scenario, worlds, seed) for scenario in SCENARIOS]
    table = Table(title=f"Offer effects in {worlds} worlds each", box=box.SIMPLE_HEAD)
    table.add_column("scenario", no_wrap=True)
    for heading in ("covers", "lowest", "mean z", "largest", "misses"):
        table.add_column(heading, justify="right")
    for each in results:
        table.add_row(
            each.scenario.name,
            f"{each.coverage:.1%}",
            f"{each.lowest_coverage:.1%}",
            f"{each.mean_z:+.2f}",
            f"{each.largest_mean_z:+.2f}",
            ", ".join(each.misses) or "-",
        )
    console.print(table)
    if any(each.misses for each in results):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
