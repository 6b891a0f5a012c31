"""Champion and challenger: the rules by which the winner of a training replaces what is deployed.

A challenger with another recipe (candidate or hyper-parameters) must earn more than the champion with the
probability that the settings ask for (`models_ml.evaluation.profit.probability_better`). In two cases it
only must not earn *less* with that probability:

- A *refresh*, the champion's own recipe on data at least as new. Judged on a date that neither has seen, the two
  are often the same fit, so that a refresh could never prove to be better. The same version again is no refresh.
- The successor of a *stale* champion, calibrated ``stale_after_days`` or more before the challenger. Otherwise a
  champion whose recipe is never chosen again would stay deployed however often the business trains.

A failed guardrail keeps the champion in every case; calibration fails where a ratio lies outside its bounds and outside
what chance explains. With no champion, or one that cannot compete, the winner is deployed and failed guardrails are
recorded only. The exception is churn probabilities that differ from what happened by more than chance: such a winner is
deployed on request only, and it is said wherever its scores are shown.

A pipeline that is right on both dates still misses on the judged date, because so many customers and no more left on
it, and because its level was learned from the churners of the calibration date. The range of the ratio counts both:
with the judged date alone, one of fourteen pipelines that are right would be refused in a small business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from scipy.stats import norm

from models_ml.errors import BayesPilotError
from models_ml.training.examples import DateCount
from models_ml.training.settings import Promotion
from models_ml.training.stage import TrainingResult
from models_ml.warehouse import build_command

Outcome = Literal["first", "promoted", "kept", "forced"]
# That the first values, row by row, have the larger total than the second; last the variance of each row's difference.
Probability = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
NORMAL_95 = 1.96

ALLOW = "allow_miscalibrated"  # the variable of dbt


@dataclass(frozen=True)
class Guardrail:
    """One measure that a challenger must hold, its bounds (None: open on that side) and whether it does."""

    name: str
    value: float
    low: float | None
    high: float | None
    passes: bool
    note: str


@dataclass(frozen=True)
class Selection:
    """Whether a training's winner is deployed, and why.

    ``outcome`` is "first" (nothing was deployed), "promoted" (better than the champion), "kept" (registered,
    the champion stays) or "forced" (the champion cannot compete any more). ``probability_better`` is the
    probability that the winner's judged profit exceeds the champion's, None where there
    was nothing to compare with.
    """

    version: str
    outcome: Outcome
    reason: str
    champion_version: str | None
    probability_better: float | None
    guardrails: tuple[Guardrail, ...]

    @property
    def deploys(self) -> bool:
        """Whether the winner is deployed."""
        return self.outcome != "kept"

    @property
    def is_unopposed(self) -> bool:
        """Whether the winner is deployed because nothing competes with it."""
        return self.outcome in ("first", "forced")

    @property
    def failed(self) -> tuple[Guardrail, ...]:
        """Guardrails that do not hold."""
        return tuple(guardrail for guardrail in self.guardrails if not guardrail.passes)


@dataclass(frozen=True)
class Contest:
    """Challenger against champion on the judged rows.

    Attributes
    ----------
    gain : money, judged profit of the challenger less the champion's
    probability_better, probability_worse : float, 0 to 1
        That the challenger earns more, and less; ties count in neither.
    judged_as : how the champion was judged, as words
    is_refresh, is_stale : see the module
    """

    champion_version: str
    gain: float
    probability_better: float
    probability_worse: float
    judged_as: str
    is_refresh: bool
    is_stale: bool


@dataclass(frozen=True)
class Judged:
    """The judged rows and a challenger on them.

    Attributes
    ----------
    has_churned : ndarray of shape (n,), bool
    weight : ndarray of shape (n,), > 0
    segment : ndarray of shape (n,), text (missing: None), or None where the business has no segments
    churn_probability : ndarray of shape (n,), 0 to 1
    calibrated : the challenger on its calibration date
    """

    has_churned: np.ndarray
    weight: np.ndarray
    segment: np.ndarray | None
    churn_probability: np.ndarray
    calibrated: Outcomes

    def outcomes(self, rows: np.ndarray) -> Outcomes:
        """Return the rows of a mask of shape (n,)."""
        return Outcomes(self.has_churned[rows], self.churn_probability[rows], self.weight[rows])


@dataclass(frozen=True)
class ContactValues:
    """Value of each row's contact under challenger and champion, money, 0 without a contact, shape (n,).

    ``outcome_variance`` (n,), money²: how far chance spreads the difference of the two (`JudgedDate.outcome_variance`).
    """

    challenger: np.ndarray
    champion: np.ndarray
    outcome_variance: np.ndarray
    challenger_contacts: int
    champion_contacts: int


def select_unopposed(
    version: str, champion_version: str | None, unfit_because: str, guardrails: Sequence[Guardrail]
) -> Selection:
    """Return the selection of a winner that nothing competes with (``unfit_because`` is empty: none is deployed)."""
    reason = f"no champion to beat: {unfit_because or 'nothing is deployed yet'}"
    failed = _names([rail for rail in guardrails if not rail.passes])
    if failed:
        reason += f"; deployed in spite of failed guardrails ({failed})"
    outcome: Outcome = "forced" if unfit_because else "first"
    return Selection(version, outcome, reason, champion_version, None, tuple(guardrails))


def select_same(version: str) -> Selection:
    """Return the selection where a training made the deployed pipeline again, bit for bit."""
    reason = "the champion again: the same data, settings and libraries give the same pipeline"
    return Selection(version, "kept", reason, version, None, ())


def select_against(
    version: str, contest: Contest, guardrails: Sequence[Guardrail], bounds: Promotion
) -> Selection:
    """Decide a contest by the rules of this module.

    Examples
    --------
    >>> from models_ml.training.settings import load_settings
    >>> lucky = Contest("old-1", 250.0, 0.7, 0.3, "as deployed", is_refresh=False, is_stale=False)
    >>> selection = select_against("new-1", lucky, (), load_settings().promotion)
    >>> selection.outcome, selection.reason
    ('kept', 'earns 250.00 more than the champion (as deployed), better with probability 0.70; 0.90 is needed')
    """
    needed = bounds.probability_better_at_least
    earns = (
        f"earns {abs(contest.gain):.2f} {'less' if contest.gain < 0 else 'more'} than the champion"
        f" ({contest.judged_as})"
    )
    failed = _names([rail for rail in guardrails if not rail.passes])
    if contest.is_refresh or contest.is_stale:
        kind = "the champion's recipe, trained again" if contest.is_refresh else "the champion is stale"
        wins = contest.probability_worse < needed
        why = f"{kind}: {earns}, worse with probability {contest.probability_worse:.2f}"
        bar = f"below {needed:.2f} is enough"
    else:
        wins = contest.probability_better >= needed
        why = f"{earns}, better with probability {contest.probability_better:.2f}"
        bar = f"{needed:.2f} is needed"
    if failed:
        why += f"; guardrails fail: {failed}"
    elif not wins:
        why += f"; {bar}"
    outcome: Outcome = "promoted" if wins and not failed else "kept"
    return Selection(
        version, outcome, why, contest.champion_version, contest.probability_better, tuple(guardrails)
    )


def measure_guardrails(
    judged: Judged, contacts: ContactValues | None, bounds: Promotion, probability_better: Probability
) -> tuple[Guardrail, ...]:
    """Measure every guardrail that can be measured; the relative ones need a champion (``contacts``)."""
    found = [_calibration(judged, bounds), *_segment_calibration(judged, bounds)]
    if contacts is not None:
        found.append(_contacts_ratio(contacts, bounds))
        found += _segment_worse(judged, contacts, bounds, probability_better)
    return tuple(found)


def perfect_range(churn_probability: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the range of calibration ratios that contains 95 % of perfectly calibrated forecasts of these rows.

    The observed weighted churn has mean Σ w·p and variance Σ w²·p·(1 − p); normal approximation.

    Examples
    --------
    >>> low, high = perfect_range(np.full(10_000, 0.1), np.ones(10_000))
    >>> round(low, 3), round(high, 3)
    (0.944, 1.062)
    """
    mean = float((weight * churn_probability).sum())
    deviation = float(np.sqrt((weight**2 * churn_probability * (1 - churn_probability)).sum()))
    low, high = mean / (mean + NORMAL_95 * deviation), mean - NORMAL_95 * deviation
    return low, mean / high if high > 0 else float("inf")


def _calibration(judged: Judged, bounds: Promotion) -> Guardrail:
    found = judged.outcomes(np.ones(len(judged.weight), bool))
    low, high = chance_range(found, judged.calibrated, bounds.range_confidence)
    return _guardrail(
        "calibration_ratio",
        found.ratio,
        min(bounds.calibration_ratio_from, low),
        max(bounds.calibration_ratio_to, high),
        f"mean predicted over mean observed churn; with {len(judged.weight):,} customers, chance explains"
        f" {low:.2f} to {high:.2f} {_times(bounds.range_confidence)}",
    )


def _contacts_ratio(contacts: ContactValues, bounds: Promotion) -> Guardrail:
    new, old = contacts.challenger_contacts, contacts.champion_contacts
    note = f"{new:,} contacts against {old:,} of the champion's plan"
    if old == 0:  # a plan without contacts is no measure
        return _guardrail("contacts_ratio", 1.0, None, None, note)
    return _guardrail("contacts_ratio", new / old, bounds.contacts_ratio_from, bounds.contacts_ratio_to, note)


def _segment_calibration(judged: Judged, bounds: Promotion) -> list[Guardrail]:
    found = {name: judged.outcomes(rows) for name, rows in _segments(judged, bounds)}
    if not found:
        return []
    # Bonferroni, as for segments that are worse off
    confidence = 1 - (1 - bounds.range_confidence) / len(found)
    allowed = {}
    for name, of in found.items():
        low, high = chance_range(of, judged.calibrated, confidence)
        allowed[name] = (
            min(bounds.segment_calibration_from, low),
            max(bounds.segment_calibration_to, high),
        )

    def strain(name: str) -> float:
        """Return how much of what is allowed a segment takes up, above 1 where it fails."""
        ratio, (low, high) = max(found[name].ratio, 1e-9), allowed[name]
        return math.log(ratio) / math.log(high if ratio > 1 else low)

    worst = max(sorted(found), key=strain)
    note = f"calibration ratio of the worst segment, {worst}, of {len(found)} with enough churners"
    return [_guardrail("segment_calibration", found[worst].ratio, *allowed[worst], note)]


def _segment_worse(
    judged: Judged, contacts: ContactValues, bounds: Promotion, probability_better: Probability
) -> list[Guardrail]:
    worse = {
        name: probability_better(
            contacts.champion[rows], contacts.challenger[rows], contacts.outcome_variance[rows]
        )
        for name, rows in _segments(judged, bounds)
    }
    if not worse:
        return []
    worst = max(sorted(worse), key=lambda name: worse[name])
    note = f"probability that segment {worst} earns less than under the champion, the highest of {len(worse)}"
    # Bonferroni: with many segments, one is far down by chance
    at_most = 1 - (1 - bounds.segment_worse_at_most) / len(worse)
    return [_guardrail("segment_worse", worse[worst], None, at_most, note)]


def _segments(judged: Judged, bounds: Promotion) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and rows of every segment with enough churners, in order of name."""
    if judged.segment is None:
        return
    names = np.array(["(none)" if name is None else str(name) for name in judged.segment])
    for name in sorted(set(names.tolist())):
        rows = names == name
        if judged.has_churned[rows].sum() >= bounds.segment_churners_at_least:
            yield name, rows


def _guardrail(name: str, value: float, low: float | None, high: float | None, note: str) -> Guardrail:
    passes = (low is None or value >= low) and (high is None or value <= high)
    return Guardrail(name, round(float(value), 9), low, high, passes, note)


def _names(guardrails: Sequence[Guardrail]) -> str:
    return ", ".join(f"{rail.name} {rail.value:.3f}" for rail in guardrails)


@dataclass(frozen=True)
class Outcomes:
    """What was predicted of the customers of one date, and what happened: arrays of shape (n,)."""

    has_churned: np.ndarray
    churn_probability: np.ndarray
    weight: np.ndarray

    @property
    def ratio(self) -> float:
        """Predicted over observed churn."""
        return float((self.weight * self.churn_probability).sum() / (self.weight * self.has_churned).sum())

    @property
    def variance_of_log_churn(self) -> float:
        """Squared relative standard error of the observed churn: Σ w²·p·(1 − p) / (Σ w·p · Σ w·y).

        For probabilities that are right Σ w²·p·(1 − p) is the variance of Σ w·y. That of the churners themselves,
        Σ w²·y·(1 − p), is small exactly where no heavy row has churned and the ratio is high.
        """
        expected = self.weight * self.churn_probability
        variance = (self.weight * expected * (1 - self.churn_probability)).sum()
        return float(variance / (expected.sum() * (self.weight * self.has_churned).sum()))


@dataclass(frozen=True)
class Miscalibration:
    """A calibration ratio that chance does not explain, with the range that it does."""

    candidate: str
    judged_on: date
    ratio: float
    low: float
    high: float
    confidence: float

    @property
    def finding(self) -> str:
        """What is wrong, as words that stand behind the name of the pipeline."""
        return (
            f"predicted {self.ratio:.2f} times the churn that was observed after {self.judged_on}, outside the range"
            f" of {self.low:.2f} to {self.high:.2f} that chance explains {_times(self.confidence)}"
        )

    @property
    def warning(self) -> str:
        """What people read as long as the pipeline is deployed, one sentence."""
        return f"The deployed churn probabilities failed their check: {self.candidate} {self.finding}."


def _times(confidence: float) -> str:
    return f"{100 * confidence:g} times of 100"


def chance_range(judged: Outcomes, calibrated: Outcomes, confidence: float) -> tuple[float, float]:
    """Return the range of calibration ratios of a pipeline whose probabilities are right on both dates.

    The logarithm of the ratio has the variance of the logarithms of both observed churns together, as in the interval
    of a ratio of two rates (Katz et al. 1978, "Obtaining confidence intervals for the risk ratio in cohort studies",
    Biometrics 34); normal approximation. Few churners give a wide range.

    Parameters
    ----------
    judged, calibrated : Outcomes
        Both with at least one churner.
    confidence : float, 0 to 1
        Share of right pipelines that lie within it.

    Examples
    --------
    >>> few = Outcomes(np.arange(1000) < 25, np.full(1000, 0.025), np.ones(1000))
    >>> low, high = chance_range(few, few, 0.99)  # √(0.975/25 + 0.975/25) = 0.279; times 2.576 = 0.719
    >>> round(low, 2), round(high, 2)
    (0.49, 2.05)
    """
    deviation = math.sqrt(judged.variance_of_log_churn + calibrated.variance_of_log_churn)
    reach = float(norm.ppf((1 + confidence) / 2)) * deviation
    return math.exp(-reach), math.exp(reach)


def find_miscalibration(
    candidate: str, judged_on: date, judged: Outcomes, calibrated: Outcomes, bounds: Promotion
) -> Miscalibration | None:
    """Return what is wrong where the ratio fails its guardrail and lies outside what chance explains, else None."""
    ratio = judged.ratio
    low, high = chance_range(judged, calibrated, bounds.range_confidence)
    holds = bounds.calibration_ratio_from <= ratio <= bounds.calibration_ratio_to
    if holds or low <= ratio <= high:
        return None
    return Miscalibration(candidate, judged_on, ratio, low, high, bounds.range_confidence)


def miscalibration_of(result: TrainingResult, bounds: Promotion) -> Miscalibration | None:
    """Return the miscalibration of a training's winner as it was judged, or None."""
    judged_on = result.judged.split.judged_on
    assert judged_on is not None, "a training judges"
    found = result.diagnostics
    return find_miscalibration(
        result.chosen,
        judged_on,
        Outcomes(found.has_churned, found.candidates[result.chosen].churn_probability, found.weight),
        calibrated_outcomes(result),
        bounds,
    )


def refuse_miscalibration(found: Miscalibration, counts: Sequence[DateCount], source: str) -> None:
    """Refuse to deploy where nothing competes.

    Raises
    ------
    BayesPilotError
        With the churn of the dates, the judged one first, and the two ways on.
    """
    latest = sorted(counts, key=lambda count: count.as_of_date, reverse=True)
    raise BayesPilotError(
        f"not deployed: {found.candidate} {found.finding}",
        where=f"training_examples, judged on {found.judged_on}",
        values=[
            f"{count.as_of_date}: {100 * count.churners / count.rows:.2f} % of {count.rows:,} left"
            for count in latest
        ],
        next_step=(
            "find out why churn differs between these dates (missing rows, a changed feed, another churn definition),"
            " correct it and build again; or deploy it as it is, with a warning wherever scores are shown: "
            + build_command(source, f"--vars '{{{ALLOW}: true}}'")
            + f", or bayespilot train --source {source} --allow-miscalibrated"
        ),
    )


def calibrated_outcomes(result: TrainingResult) -> Outcomes:
    """Return the winner, as it was judged, on the date that it was calibrated on."""
    examples = result.judged.calibration
    probability = result.judged.pipelines[result.chosen].score(examples.features)[0]
    return Outcomes(examples.has_churned, probability, examples.example_weight)
