"""What the programme earned: three figures that answer three questions.

*Universal holdout.* What has the programme brought, with everything that it did to everybody? Customers are assigned
once, at enrolment, to be treated by the programme or never touched. For customer i after t months

    Y_it = (margin to date − costs to date) + V_it · (still there) − V_i0

discounted to enrolment, V the value of the margin still to come and V_i0 that at enrolment, fixed then. The figure is
the difference of means, treated minus untouched. A customer who is kept and leaves later loses V then, so is not
counted as kept for ever, nor as lost twice; and V_i0, which assignment cannot change, takes out how much customers
differ from the start.

*Pick-holdout.* What is a contact worth where the policy chose one? Among the chosen, contacted against left alone by
the draw of the episode, weighted by its probability; the total is that of all chosen, as if none had been left alone.

*Doubly robust.* What have all episodes earned as they were run, trials and customers left alone included, against
contacting nobody? What was expected of a customer left alone is taken off first, which makes the interval narrower
and, because the draws are known, cannot bend the result.

An episode counts its own horizon only: Y = (margin within it − costs) + value still to come − V at opening.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models_ml.errors import BayesPilotError
from models_ml.evaluation.contrasts import Moments, contrast_of_moments, pick_holdout_contrast
from models_ml.evaluation.intervals import Estimate, Evidence, Sequence, at_every_look, planned_information
from models_ml.evaluation.policy_value import policy_value

UNIVERSAL_HOLDOUT = "universal_holdout"
PICK_HOLDOUT = "pick_holdout"
DOUBLY_ROBUST = "doubly_robust"

ESTIMANDS = {
    UNIVERSAL_HOLDOUT: (
        "money that the programme, with everything it did, brought per enrolled customer since enrolment, against"
        " customers it never touches"
    ),
    PICK_HOLDOUT: (
        "money per episode of contacting a customer whom the policy chose, against leaving that customer alone;"
        " in total as if none had been left alone"
    ),
    DOUBLY_ROBUST: (
        "money per episode that all episodes earned as they were run, trials and customers left alone included,"
        " against contacting nobody"
    ),
}

CERTAIN = 1.0 - 1e-9


@dataclass(frozen=True)
class Figure:
    """One figure at one look; money in one currency.

    ``units`` are those that the value speaks of, enrolled customers of the programme or episodes; ``customers``
    counts the different customers among them. ``estimate`` is per unit and None where ``reason`` says why;
    ``realised`` and ``to_come`` are the two parts of its value, margin less costs so far and the change of
    the margin still to come, and add up to it.
    """

    name: str
    unit: str
    units: int
    customers: int
    evidence: Evidence
    estimate: Estimate | None
    realised: float | None
    to_come: float | None
    reason: str

    def look(self, months: int, planned: float | None) -> Sequence | None:
        """Return the interval that holds at every look, None without an estimate.

        Parameters
        ----------
        months : int, >= 1
            Months that the figure rests on.
        planned : float or None
            I₁₂ of the sequence; None before it is fixed, where it follows from this look.
        """
        if self.estimate is None:
            return None
        # The clock of a sequence is what its increments add to: 1 / s² for a mean over more and more episodes, the
        # variance s² itself for Y, a sum over more and more months of the same customers.
        variance = self.estimate.standard_error**2
        information = variance if self.unit == "customer" else 1.0 / variance
        if planned is None:
            planned = planned_information(information, months)
        return at_every_look(self.estimate, information, planned)


@dataclass(frozen=True)
class Group:
    """One side of the universal contrast: moments of Y, its realised part as mean per customer, and counts."""

    outcome: Moments
    realised: float
    leavers: int
    contaminated: int

    def merge(self, other: Group) -> Group:
        """Return both parts of the group together."""
        outcome = self.outcome.merge(other.outcome)
        share = other.outcome.count / outcome.count if outcome.count else 0.0
        return Group(
            outcome,
            self.realised + (other.realised - self.realised) * share,
            self.leavers + other.leavers,
            self.contaminated + other.contaminated,
        )


@dataclass(frozen=True)
class Enrolled:
    """Enrolled customers, one row each: arrays of shape (n,), money discounted to enrolment.

    ``realised`` is margin to date less costs to date, ``to_come`` V_it and 0 for customers who have left,
    ``at_enrolment`` V_i0. ``is_contaminated`` marks untouched customers who were contacted all the same.
    """

    is_untouched: np.ndarray
    realised: np.ndarray
    to_come: np.ndarray
    at_enrolment: np.ndarray
    has_left: np.ndarray
    is_contaminated: np.ndarray

    def groups(self) -> tuple[Group, Group]:
        """Return the treated and the untouched group."""
        _check(self, money=("realised", "to_come", "at_enrolment"))
        change = self.to_come - self.at_enrolment
        return self._group(~self.is_untouched, change), self._group(self.is_untouched, change)

    def _group(self, members: np.ndarray, change: np.ndarray) -> Group:
        return Group(
            Moments.of(self.realised[members] + change[members]),
            float(self.realised[members].mean()) if members.any() else 0.0,
            int(self.has_left[members].sum()),
            int((self.is_contaminated & self.is_untouched & members).sum()),
        )


@dataclass(frozen=True)
class Episodes:
    """Episodes whose horizon and grace have passed, one row each: arrays of shape (n,), money in one currency.

    ``propensity_no_action`` is the probability with which the draw left the customer alone, ``is_left_alone``
    whether it did; ``is_chosen`` marks episodes that the policy, not a trial, opened. ``realised`` is margin
    within the horizon less costs, ``to_come`` the value of the margin after it and 0 for customers who have left,
    ``at_opening`` the value when the episode opened, ``predicted_left_alone`` the Y expected then of
    a customer left alone. ``is_contaminated`` marks customers left alone who were contacted all the same.
    """

    customer_id: np.ndarray
    is_chosen: np.ndarray
    is_left_alone: np.ndarray
    propensity_no_action: np.ndarray
    realised: np.ndarray
    to_come: np.ndarray
    at_opening: np.ndarray
    predicted_left_alone: np.ndarray
    has_left: np.ndarray
    is_contaminated: np.ndarray

    def where(self, rows: np.ndarray) -> Episodes:
        """Return the rows of a mask of shape (n,)."""
        return Episodes(**{name: values[rows] for name, values in vars(self).items()})

    @property
    def outcome(self) -> np.ndarray:
        """Y, shape (n,)."""
        return np.asarray(self.realised + (self.to_come - self.at_opening))

    @property
    def propensity(self) -> np.ndarray:
        """Probability of what the draw assigned, contact or not, shape (n,)."""
        return np.where(self.is_left_alone, self.propensity_no_action, 1.0 - self.propensity_no_action)

    @property
    def is_drawn(self) -> np.ndarray:
        """Whether both contact and no contact were possible, shape (n,)."""
        return (self.propensity_no_action < CERTAIN) & (self.propensity_no_action > 1.0 - CERTAIN)

    def evidence(self) -> Evidence:
        """Count what the rows rest on, in customers: a second episode of a customer is no second customer."""

        def customers(rows: np.ndarray) -> int:
            return len(np.unique(self.customer_id[rows]))

        alone = self.is_left_alone
        return Evidence(
            treated=customers(~alone),
            controls=customers(alone),
            treated_leavers=customers(self.has_left & ~alone),
            control_leavers=customers(self.has_left & alone),
            contaminated_controls=customers(self.is_contaminated & alone),
        )


def has_matured(opened_on: np.ndarray, *, horizon_days: int, grace_days: int, known_until: int) -> np.ndarray:
    """Return which episodes count: those whose horizon and grace have passed, shape (n,).

    Nothing about the outcome has a say: were customers who left counted as soon as they left, and the others only
    at the end, the newest episodes would be those of leavers.

    Parameters
    ----------
    opened_on : ndarray of shape (n,), int
        Day numbers.
    horizon_days, grace_days : int, >= 0
        Days in which churn is judged, and further days within which a customer who paused may come back.
    known_until : int
        Last day whose data are complete.

    Examples
    --------
    >>> has_matured(np.array([0, 1, 2]), horizon_days=28, grace_days=31, known_until=60)
    array([ True,  True, False])
    """
    return np.asarray(np.asarray(opened_on) + horizon_days + grace_days <= known_until)


def universal_holdout(treated: Group, untouched: Group) -> Figure:
    """Compare enrolled customers with those never touched, per treated customer.

    Parameters
    ----------
    treated, untouched : Group
        From `Enrolled.groups`, merged over its parts.

    Examples
    --------
    Two treated customers: one stays (V falls from 100 to 90, 12 earned), one has left after 2; two untouched ones left.

    >>> enrolled = Enrolled(
    ...     is_untouched=np.array([False, False, True, True]),
    ...     realised=np.array([12.0, 2.0, 1.0, 3.0]),
    ...     to_come=np.array([90.0, 0.0, 0.0, 0.0]),
    ...     at_enrolment=np.array([100.0, 100.0, 100.0, 110.0]),
    ...     has_left=np.array([False, True, True, True]),
    ...     is_contaminated=np.array([False, False, False, True]),
    ... )
    >>> figure = universal_holdout(*enrolled.groups())
    >>> figure.estimate.value, figure.realised, figure.to_come  # (2 − 98) / 2 + (99 + 107) / 2
    (55.0, 5.0, 50.0)
    >>> figure.evidence
    Evidence(treated=2, controls=2, treated_leavers=1, control_leavers=2, contaminated_controls=1)
    """
    evidence = Evidence(
        treated.outcome.count,
        untouched.outcome.count,
        treated.leavers,
        untouched.leavers,
        untouched.contaminated,
    )
    reason = _too_small(evidence, "in the universal holdout", "outside the universal holdout")
    count = evidence.treated
    bare = Figure(UNIVERSAL_HOLDOUT, "customer", count, count, evidence, None, None, None, reason)
    if reason:
        return bare
    realised = treated.realised - untouched.realised
    return _filled(bare, lambda: contrast_of_moments(treated.outcome, untouched.outcome), realised)


def pick_holdout(episodes: Episodes) -> Figure:
    """Compare chosen customers who were contacted with chosen ones left alone, per chosen episode.

    Parameters
    ----------
    episodes : Episodes
        All that have matured; those opened by a trial, and those without a draw, are left out.
    """
    chosen = episodes.where(episodes.is_chosen)
    drawn = chosen.where(chosen.is_drawn)
    bare = _bare(PICK_HOLDOUT, chosen, drawn)
    if bare.reason:
        return bare

    contacted, weight = ~drawn.is_left_alone, 1.0 / drawn.propensity
    realised = _weighted_mean(drawn.realised, weight * contacted) - _weighted_mean(
        drawn.realised, weight * drawn.is_left_alone
    )
    return _filled(
        bare,
        lambda: pick_holdout_contrast(drawn.outcome, contacted, drawn.propensity, customer=drawn.customer_id),
        realised,
    )


def doubly_robust(episodes: Episodes) -> Figure:
    """Value of the episodes as they were run against contacting nobody, per episode.

    Parameters
    ----------
    episodes : Episodes
        All that have matured, trials included; those without a draw are left out.
    """
    drawn = episodes.where(episodes.is_drawn)
    bare = _bare(DOUBLY_ROBUST, episodes, drawn)
    if bare.reason:
        return bare
    as_run = np.column_stack([drawn.propensity_no_action, 1.0 - drawn.propensity_no_action])
    contacted = ~drawn.is_left_alone
    expected = np.repeat(drawn.predicted_left_alone[:, None], 2, axis=1)

    realised = float(drawn.realised.mean()) - _weighted_mean(
        drawn.realised, drawn.is_left_alone / drawn.propensity
    )
    return _filled(
        bare,
        lambda: policy_value(
            contacted.astype(np.int64),
            drawn.propensity,
            drawn.outcome,
            as_run,
            method="dr",
            reference=0,
            predicted_reward=expected,
            cluster=drawn.customer_id,
        ),
        realised,
    )


def _weighted_mean(values: np.ndarray, weight: np.ndarray) -> float:
    return float((values * weight).sum() / weight.sum())


def _bare(name: str, asked: Episodes, drawn: Episodes) -> Figure:
    """Return the figure without its numbers, with the reason why it has none, if there is one."""
    _check(drawn, money=("realised", "to_come", "at_opening", "predicted_left_alone"))
    evidence = drawn.evidence()
    if not len(asked.realised):
        reason = "no episode has matured"
    elif not len(drawn.realised):
        reason = "no draw left a customer alone: pick_holdout_share is 0"
    else:
        reason = _too_small(evidence, "left alone", "contacted")
    customers = len(np.unique(drawn.customer_id))
    return Figure(name, "episode", len(drawn.realised), customers, evidence, None, None, None, reason)


def _too_small(evidence: Evidence, controls: str, treated: str) -> str:
    """Name the group of fewer than two, which cannot tell its own error; empty where there is none."""
    for count, words in ((evidence.controls, controls), (evidence.treated, treated)):
        if count < 2:
            return f"fewer than two {words}"
    return ""


def _filled(bare: Figure, estimate: Callable[[], Estimate], realised: float) -> Figure:
    """Return the figure with its estimate, or with the reason why there is none."""
    try:
        found = estimate()
    except BayesPilotError as error:
        return replace(bare, reason=str(error).splitlines()[0])
    return replace(bare, estimate=found, realised=realised, to_come=found.value - realised)


def _check(rows: Enrolled | Episodes, *, money: tuple[str, ...]) -> None:
    """Refuse columns of different lengths, and money that is not finite."""
    lengths = {name: len(values) for name, values in vars(rows).items()}
    if len(set(lengths.values())) > 1:
        raise BayesPilotError(
            "the columns are not of the same rows", values=[f"{k} {v}" for k, v in lengths.items()]
        )
    for name in money:
        values = getattr(rows, name)
        if not np.isfinite(values).all():
            raise BayesPilotError(
                f"{name} is not a finite number", values=values[~np.isfinite(values)].tolist()
            )
