"""Intervals of estimates that are sums of many small, skewed contributions: for one look, and for every look.

A 95 % interval holds for one look that was planned beforehand. Read every month, some month's interval leaves out
the truth in far more than 5 % of programmes. The boundary at every look holds at all looks together: the truth ever
leaves it in at most 5 % of programmes, however often it is read and whatever is decided from it. It is the normal
mixture boundary of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), "Time-uniform central limit theory and
asymptotic confidence sequences":

    θ ± s · (t_ν / 1.96) · √((1 + 1/x)(ln(1 + x) + 2 ln 20)),   x = 8.2 · I / I₁₂

s is the standard error, t_ν / 1.96 its own uncertainty, I the information so far and I₁₂ that planned for month 12. I
is 1 / s² for a mean of ever more outcomes, and s² for a sum that grows with time: how long the sequence has run.
The interval is narrowest, relative to that of a single look, near x = 8.2: where the plan puts the twelfth month.
The sequence begins with the first look that has the minimum evidence: with fewer leavers, errors are too skewed for
a boundary three standard errors away. I₁₂ is fixed there and then kept, because a plan that followed the results
would void the guarantee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from models_ml.errors import BayesPilotError

LEVEL = 0.95
ROUNDING = 1e-12  # relative; what is left of numbers that are equal but for their last digits
STEADYING_ROWS = 30.0  # enough to bring intervals with 30 customers left alone to their 95 %

NARROWEST = 8.2  # x at which the boundary is closest to the quantile of a single look
PLANNED_MONTH = 12  # month in which the sequence is to be closest to the interval of a single look
NORMAL_QUANTILE = 1.959963984540054  # of a two-sided 95 % interval
CHANCE_MARGIN = (
    0.8416212335729143  # normal quantile of 0.8: standard errors that a truth must lie beyond a limit
)
LONGEST_WAIT_MONTHS = 120  # beyond ten years the present rate is no forecast

MINIMUM_CONTROLS = 100  # below it a standard error depends on a handful of customers
MINIMUM_LEAVERS = 20  # in each group: below it the number of leavers is too skewed for any interval here

EARNS = "earns"
LOSES = "loses"
NOT_YET = "not yet distinguishable"
TOO_LITTLE = "too little evidence"


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and interval (95 %), all in the unit of the estimate.

    ``degrees_of_freedom`` say how well the standard error itself is known.
    """

    value: float
    standard_error: float
    low: float
    high: float
    degrees_of_freedom: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def times(self, factor: float) -> Estimate:
        """Return the estimate in another unit, such as a total instead of a mean; ``factor`` is > 0."""
        scaled = {name: getattr(self, name) * factor for name in ("value", "standard_error", "low", "high")}
        return replace(self, **scaled)


def student_interval(value: float, influence: np.ndarray, *, scale: float = 0.0) -> Estimate:
    """Return the interval of an estimate from what each independent unit adds to its error.

    Parameters
    ----------
    value : float
    influence : ndarray of shape (m,)
        u, centred at zero, with any correction for small samples in it.
    scale : float, >= 0
        As in `interval_from_sums`.

    Raises
    ------
    BayesPilotError
        As `interval_from_sums`.

    Examples
    --------
    Four numbers -3, -1, 1, 3 have the mean 0 and the squared standard error (20 / 3) / 4 = 5 / 3.

    >>> numbers = np.array([-3.0, -1.0, 1.0, 3.0])
    >>> estimate = student_interval(0.0, numbers / 4 * (4 / 3) ** 0.5)
    >>> round(estimate.standard_error**2, 9), estimate.degrees_of_freedom
    (1.666666667, 3.0)
    """
    square = influence**2
    # Sums rather than dot products, which go through BLAS: the same bits on any thread count.
    return interval_from_sums(
        value, float(square.sum()), float((square**2).sum()), len(influence), scale=scale
    )


def interval_from_sums(
    value: float, variance: float, fourth: float, units: int, *, scale: float = 0.0
) -> Estimate:
    """Return the interval of an estimate from Σ u² and Σ u⁴ over its m independent units.

    The standard error is (Σ u²)^½. Where a few units carry nearly all of it — customers left alone, weighted
    by 20, most of which stayed — the normal quantile is too small: t is taken with the degrees of freedom of
    the χ² whose relative variance is that of Σ u², 2 (Σ u²)² / (Σ u⁴ − (Σ u²)² / m) (Satterthwaite, 1946,
    with the observed fourth moment instead of the normal one).

    Parameters
    ----------
    value : float
    variance, fourth : float, >= 0
        Σ u² and Σ u⁴.
    units : int, >= 2
    scale : float, >= 0
        Size of the numbers that the estimate was made from: a standard error below its rounding is none.

    Raises
    ------
    BayesPilotError
        If nothing varies: numbers that are all alike do not say how far their mean may be off.
    """
    if not variance > (ROUNDING * scale) ** 2:
        raise BayesPilotError(
            "all outcomes of a group are alike: they do not say how far the estimate may be off",
            values=[f"standard error {variance:g}"],
            next_step="wait for more outcomes, such as a customer who left",
        )
    spread = fourth - variance**2 / units
    most = max(units - 1.0, 1.0)
    degrees = most if spread <= 0 else float(np.clip(2.0 * variance**2 / spread, 1.0, most))
    error = float(np.sqrt(variance))
    reach = error * float(stdtrit(degrees, (1.0 + LEVEL) / 2.0))
    return Estimate(value, error, value - reach, value + reach, degrees)


@dataclass(frozen=True)
class Evidence:
    """What a figure rests on: units (customers or episodes) in both groups, and how many of them have left.

    ``contaminated_controls`` are controls that were contacted all the same; they stay controls.
    """

    treated: int
    controls: int
    treated_leavers: int
    control_leavers: int
    contaminated_controls: int

    @property
    def is_enough(self) -> bool:
        """Whether a verdict may be given at all."""
        return self.reached == 1.0

    @property
    def reached(self) -> float:
        """Share of the minimum evidence that has been collected, 0 to 1: that of its scarcest part."""
        fewest = min(self.treated, self.controls) / MINIMUM_CONTROLS
        leavers = min(self.treated_leavers, self.control_leavers) / MINIMUM_LEAVERS
        return min(1.0, fewest, leavers)


@dataclass(frozen=True)
class Sequence:
    """One look at a sequence of estimates: the estimate, its interval at every look, I and I₁₂."""

    estimate: Estimate
    low: float
    high: float
    information: float
    planned: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def boundary(x: float) -> float:
    """Return how many standard errors the interval reaches to each side; 1.96 for a single look.

    Parameters
    ----------
    x : float, > 0
        ``NARROWEST`` · information so far / information planned for month 12.

    Examples
    --------
    >>> round(boundary(8.2), 3)  # √(9.2 / 8.2 · (ln 9.2 + 2 ln 20))
    3.035
    """
    if not 0 < x < math.inf:
        raise BayesPilotError("a share of the planned information is not a finite number above 0", values=[x])
    return math.sqrt((1.0 + 1.0 / x) * (math.log1p(x) + 2.0 * math.log(1.0 / (1.0 - LEVEL))))


def planned_information(information: float, months: int) -> float:
    """Return I₁₂, the information that month 12 would bring at the rate of the first ``months``.

    Examples
    --------
    >>> planned_information(0.5, months=2)
    3.0
    """
    if not 0 < information < math.inf or months < 1:
        raise BayesPilotError("no plan without information and months above 0", values=[information, months])
    return information * PLANNED_MONTH / months


def at_every_look(estimate: Estimate, information: float, planned: float) -> Sequence:
    """Return the interval that holds at this look and at every other one.

    Parameters
    ----------
    estimate : Estimate
        With its interval for a single look, from which t_ν and the standard error are taken.
    information : float, > 0
        I, in the unit of ``planned``; it grows with evidence.
    planned : float, > 0
        I₁₂, from `planned_information` at the first look with enough evidence and the same at every later one.

    Examples
    --------
    In the month that was planned, the interval of one look is 1.549 times as wide:

    >>> look = at_every_look(Estimate(5.0, 1.0, 3.0, 7.0, 60.0), information=4.0, planned=4.0)
    >>> round((look.high - look.low) / 4.0, 3)
    1.549
    """
    inflation = boundary(NARROWEST * information / planned) / NORMAL_QUANTILE
    reach = (estimate.high - estimate.low) / 2.0 * inflation
    return Sequence(estimate, estimate.value - reach, estimate.value + reach, information, planned)


def verdict(sequence: Sequence | None, evidence: Evidence) -> str:
    """Say what a total shows: ``EARNS``, ``LOSES``, ``NOT_YET`` or ``TOO_LITTLE``.

    Parameters
    ----------
    sequence : Sequence or None
        None where nothing can be estimated.
    evidence : Evidence

    Examples
    --------
    >>> look = at_every_look(Estimate(9.0, 1.0, 7.0, 11.0, 60.0), information=4.0, planned=4.0)
    >>> verdict(look, Evidence(900, 100, 60, 20, 0)), verdict(look, Evidence(900, 99, 60, 20, 0))
    ('earns', 'too little evidence')
    """
    if sequence is None or not evidence.is_enough:
        return TOO_LITTLE
    if not sequence.is_distinguishable:
        return NOT_YET
    return EARNS if sequence.low > 0 else LOSES


def months_needed(sequence: Sequence | None, evidence: Evidence, months: int) -> int | None:
    """How many more months until a verdict is to be expected, if the truth is what is estimated now.

    Each further month is taken to bring as much evidence as the average one so far. A truth that lies exactly on the
    boundary is found by half of all programmes; the answer asks for four in five. It also waits for
    the minimum evidence.

    Parameters
    ----------
    sequence : Sequence or None
    evidence : Evidence
    months : int, >= 1
        Months that the estimate rests on.

    Returns
    -------
    int or None
        0 where the verdict stands; None where ten years would not be enough, or nothing can be said yet.

    Examples
    --------
    2 standard errors after 6 months, in the middle of the plan: after 6 + 17 they are 3.9, which is 0.84 more than
    the 3.1 of the boundary.

    >>> look = at_every_look(Estimate(2.0, 1.0, 0.04, 3.96, 1e6), information=0.5, planned=1.0)
    >>> months_needed(look, Evidence(900, 100, 60, 20, 0), months=6)
    17
    """
    if sequence is None or evidence.reached == 0.0:
        return None
    if evidence.is_enough and sequence.is_distinguishable:
        return 0
    estimate = sequence.estimate
    errors_now = abs(estimate.value) / estimate.standard_error
    inflation = (estimate.high - estimate.low) / 2.0 / estimate.standard_error / NORMAL_QUANTILE
    for total in range(months + 1, months + LONGEST_WAIT_MONTHS + 1):
        growth = total / months
        limit = boundary(NARROWEST * sequence.information / sequence.planned * growth) * inflation
        has_evidence = growth * evidence.reached >= 1.0 or evidence.is_enough
        if has_evidence and errors_now * math.sqrt(growth) >= limit + CHANCE_MARGIN:
            return total - months
    return None
