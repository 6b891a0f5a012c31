"""Intervals that hold at every look, and the verdict that may be read from them.

A 95 % interval holds for one look that was planned beforehand. Read every month, some month's interval leaves out
the truth in far more than 5 % of programmes. The boundary used here holds at all looks together: the truth ever
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
from dataclasses import dataclass

from models_ml.errors import BayesPilotError
from models_ml.evaluation.intervals import LEVEL, Estimate

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
