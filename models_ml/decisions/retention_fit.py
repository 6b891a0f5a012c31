r"""The parameters of :class:`~models_ml.decisions.retention_curves.RetentionCurves`, from the business's own labels.

They are the mode of a weighted likelihood of later periods without contact, with the priors α ~ N(logit of the mean
churn rate, level_sd²), α′ ~ N(0, level_sd²), β, β′ ~ N(0, slope_sd²) and φ ~ Beta(2, 2): where labels are few, all
customers have the hazard of the whole population (discrete-time survival: Singer & Willett 1993, *Journal of
Educational Statistics* 18).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from models_ml.decisions.retention_curves import (
    HAZARD,
    PARAMETERS,
    RENEWAL_HAZARD,
    RETENTION_CURVES_SCHEMA,
    Floats,
    Integers,
    RetentionCurves,
    loss_over,
)
from models_ml.decisions.settings import RetentionCurveSettings
from models_ml.errors import BayesPilotError

DIGITS = 9  # beyond them, sums may differ with the linear algebra library
PACES = (
    0.02,
    0.98,
)  # outside, φ^k is practically 0 or 1 and the two parts of the hazard cannot be told apart
NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-10
TENTHS = 10


@dataclass(frozen=True)
class FollowUp:
    """Periods in which customers who had stayed so far were observed without contact, in n groups.

    Attributes
    ----------
    churn_probability : ndarray of shape (n,)
        In [0, 1], at the as_of_date, by a pipeline that did not see the customer.
    period : ndarray of int of shape (n,)
        ≥ 1: how many horizons after the as_of_date the period begins.
    at_risk, left : ndarray of shape (n,)
        Sums of weights of the customers who could leave in that period and of those who left, 0 ≤ left ≤ at_risk.
    """

    churn_probability: Floats
    period: Integers
    at_risk: Floats
    left: Floats


@dataclass(frozen=True)
class Renewals:
    """Customers billed for longer than a horizon, one row per billing interval.

    ``interval_days`` (n,) is its length, ``renewals`` (n,) how many fell into periods without contact and ``left``
    (n,) how many of them were lost, 0 ≤ left ≤ renewals; both are sums of weights, each renewal counted once.
    """

    interval_days: Integers
    renewals: Floats
    left: Floats


def grouped_follow_up(
    churn_probability: ArrayLike,
    period: ArrayLike,
    has_left: ArrayLike,
    weight: ArrayLike,
    settings: RetentionCurveSettings,
) -> FollowUp:
    """Add up single customer-periods of the same period and nearly the same risk.

    Parameters
    ----------
    churn_probability, period, has_left, weight : array-like of shape (n,)
        One row per customer, as_of_date and later period without contact in which the customer could leave.
        A customer who has left, or was contacted, has no row for later periods.
    settings : RetentionCurveSettings
        ``log_odds_step`` is how far apart risks of one group may lie.

    Examples
    --------
    >>> settings = RetentionCurveSettings(1.0, 0.5, 10.0, 0.5, 0.01, 1e-6)
    >>> found = grouped_follow_up([0.2, 0.2001, 0.2], [1, 1, 2], [True, False, False], [1.0, 2.0, 1.0], settings)
    >>> found.period.tolist(), found.at_risk.tolist(), found.left.tolist()
    ([1, 2], [3.0, 1.0], [1.0, 0.0])
    """
    low = settings.smallest_probability
    log_odds = logit(np.clip(np.asarray(churn_probability, dtype=np.float64), low, 1.0 - low))
    step = np.rint(log_odds / settings.log_odds_step).astype(np.int64)
    later = np.asarray(period, dtype=np.int64)
    weights = np.asarray(weight, dtype=np.float64)
    keys, group = np.unique(np.column_stack([later, step]), axis=0, return_inverse=True)
    at_risk, left = (
        np.bincount(group.ravel(), weights=each, minlength=len(keys)).astype(np.float64)
        for each in (weights, weights * np.asarray(has_left))
    )
    return FollowUp(expit(keys[:, 1] * settings.log_odds_step), keys[:, 0], at_risk, left)


def fit_retention_curves(
    follow_up: FollowUp,
    renewals: Renewals,
    *,
    mean_churn: float,
    horizon_days: int,
    repeats: float,
    settings: RetentionCurveSettings,
) -> RetentionCurves:
    """Fit hazards after the horizon to what happened in later periods without contact.

    Parameters
    ----------
    follow_up : FollowUp
        Customers billed at least once a horizon; may be empty.
    renewals : Renewals
        The other customers; may be empty.
    mean_churn : float
        In (0, 1): share of all customers that leaves within a horizon, around which hazards are expected.
    horizon_days : int
        ≥ 1.
    repeats : float
        ≥ 1: in how many rows one customer's one period occurs on average, because as_of_dates lie closer together than
        follow-up reaches. Evidence is divided by it before it meets the prior.
    settings : RetentionCurveSettings

    Raises
    ------
    BayesPilotError
        When counts contradict each other or ``mean_churn`` is not within (0, 1).

    Examples
    --------
    Half of those at risk leave in every period, whatever their risk was:

    >>> settings = RetentionCurveSettings(1.0, 0.5, 10.0, 0.5, 0.01, 1e-6)
    >>> risk, period = np.tile([0.2, 0.5, 0.8], 3), np.repeat([1, 2, 3], 3)
    >>> everyone = FollowUp(risk, period, np.full(9, 1000.0), np.full(9, 500.0))
    >>> none = Renewals(np.empty(0, int), np.empty(0), np.empty(0))
    >>> curves = fit_retention_curves(
    ...     everyone, none, mean_churn=0.5, horizon_days=28, repeats=1.0, settings=settings)
    >>> curves.hazard(0.2, [1, 3, 9]).round(3).tolist()
    [0.5, 0.5, 0.5]
    """
    _check(follow_up, renewals, mean_churn)
    low = settings.smallest_probability
    log_odds = logit(np.clip(follow_up.churn_probability, low, 1.0 - low))
    at_risk = follow_up.at_risk.sum()
    mean_log_odds = float(log_odds @ follow_up.at_risk / at_risk) if at_risk else float(logit(mean_churn))
    likelihood = _Likelihood(
        log_odds - mean_log_odds, follow_up, float(logit(mean_churn)), max(repeats, 1.0), settings
    )
    pace = _best_pace(likelihood)
    level, slope, passing_level, passing_slope = np.round(likelihood.mode(pace), DIGITS).tolist()
    mean_hazard = _shrunk(
        follow_up.left.sum(), at_risk, mean_churn, settings.exposures_before_evidence * repeats
    )
    return RetentionCurves(
        persistent_level=level,
        persistent_slope=slope,
        passing_level=passing_level,
        passing_slope=passing_slope,
        pace=pace,
        mean_log_odds=round(mean_log_odds, DIGITS),
        lowest=round(float(min(likelihood.u.min(initial=0.0), 0.0)), DIGITS),
        highest=round(float(max(likelihood.u.max(initial=0.0), 0.0)), DIGITS),
        last_period=int(follow_up.period[follow_up.at_risk > 0].max(initial=1)),
        mean_hazard=mean_hazard,
        horizon_days=horizon_days,
        renewal_hazard={
            int(days): _shrunk(
                left,
                count,
                loss_over(mean_hazard, days, horizon_days),
                settings.exposures_before_evidence,
            )
            for days, count, left in zip(
                renewals.interval_days, renewals.renewals, renewals.left, strict=True
            )
        },
        hidden_variance=_hidden_variance(likelihood.u, follow_up, settings.seen_share),
    )


def _hidden_variance(u: Floats, follow_up: FollowUp, seen_share: float) -> float:
    """Return the variance of log-odds that no feature shows, from the spread of the scores themselves."""
    weight = np.where(follow_up.period == 1, follow_up.at_risk, 0.0)
    if not weight.sum():
        return 0.0
    mean = u @ weight / weight.sum()
    seen = np.square(u - mean) @ weight / weight.sum()
    return round(float(seen) * (1.0 - seen_share) / seen_share, DIGITS)


def _shrunk(left: float, exposed: float, expected: float, prior_exposed: float) -> float:
    return round(float((left + prior_exposed * expected) / (exposed + prior_exposed)), DIGITS)


def _check(follow_up: FollowUp, renewals: Renewals, mean_churn: float) -> None:
    if not 0.0 < mean_churn < 1.0:
        raise BayesPilotError(
            "the mean churn rate must lie between 0 and 1",
            where="churn_labels",
            values=[mean_churn],
            next_step="dbt build -s +churn_labels",
        )
    wrong = ~(
        (follow_up.left >= 0)
        & (follow_up.left <= follow_up.at_risk)
        & (follow_up.period >= 1)
        & (follow_up.churn_probability >= 0)
        & (follow_up.churn_probability <= 1)
    )
    wrong_renewals = ~(
        (renewals.left >= 0) & (renewals.left <= renewals.renewals) & (renewals.interval_days > 0)
    )
    if wrong.any() or wrong_renewals.any():
        raise BayesPilotError(
            "the follow-up after a horizon counts more leavers than customers at risk, or lacks a number",
            where="the follow-up of customers without contact",
            values=[*follow_up.left[wrong].tolist(), *renewals.left[wrong_renewals].tolist()],
            next_step="dbt build -s +retention_curves",
        )


class _Likelihood:
    """Log posterior of (α, β, α′, β′) at a given φ."""

    def __init__(
        self,
        u: Floats,
        follow_up: FollowUp,
        mean_log_odds: float,
        repeats: float,
        settings: RetentionCurveSettings,
    ) -> None:
        self.u = u
        self.period = follow_up.period.astype(np.float64)
        self.at_risk = follow_up.at_risk / repeats
        self.left = follow_up.left / repeats
        self.prior_mean = np.array([mean_log_odds, 0.0, 0.0, 0.0])
        self.precision = np.square(1.0 / np.tile([settings.level_sd, settings.slope_sd], 2))

    def _design(self, pace: float) -> Floats:
        fading = pace**self.period
        return np.column_stack([np.ones_like(self.u), self.u, fading, self.u * fading])

    def height(self, parameters: Floats, design: Floats) -> float:
        log_odds = np.einsum("ij,j->i", design, parameters)
        away = parameters - self.prior_mean
        data = self.left * log_odds - self.at_risk * np.logaddexp(0.0, log_odds)
        return float(data.sum() - 0.5 * np.sum(self.precision * away * away))

    def mode(self, pace: float) -> Floats:
        """Return the mode by Newton's method with step halving; the log posterior is concave."""
        design, parameters = self._design(pace), np.array(self.prior_mean)
        height = self.height(parameters, design)
        for _ in range(NEWTON_STEPS):
            hazard = expit(np.einsum("ij,j->i", design, parameters))
            gradient = np.einsum("ij,i->j", design, self.left - self.at_risk * hazard)
            gradient -= self.precision * (parameters - self.prior_mean)
            curvature = np.einsum("ij,i,ik->jk", design, self.at_risk * hazard * (1.0 - hazard), design)
            step = np.linalg.solve(curvature + np.diag(self.precision), gradient)
            if np.abs(step).max() < NEWTON_TOLERANCE:
                break
            while (reached := self.height(parameters + step, design)) < height and np.abs(step).max() > 1e-8:
                step *= 0.5
            parameters, height = parameters + step, reached
        return parameters

    def best_height(self, pace: float) -> float:
        """Return the height of the log posterior at the mode for this φ, Beta(2, 2) prior included."""
        return self.height(self.mode(pace), self._design(pace)) + math.log(pace * (1.0 - pace))


def _best_pace(likelihood: _Likelihood) -> float:
    """Return the φ of the highest log posterior: the best of a coarse grid, then refined between its neighbours."""
    grid = np.linspace(*PACES, 13)
    best = int(np.argmax([likelihood.best_height(pace) for pace in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda pace: -likelihood.best_height(pace), bounds=around, method="bounded", options={"xatol": 1e-4}
    )
    return round(float(found.x), 4)


def retention_curves_table(curves: RetentionCurves, follow_up: FollowUp, renewals: Renewals) -> pa.Table:
    """Return ``retention_curves``: the parameters and, for readers, fitted beside observed hazards.

    Risk tenths are cut by churn probability over all periods followed, each holding a tenth of the weight.
    """
    parameters: list[dict[str, Any]] = [
        {"quantity": name, "fitted": float(getattr(curves, name))} for name in PARAMETERS
    ]
    at_renewal = [
        {
            "quantity": RENEWAL_HAZARD,
            "renewal_interval_days": int(days),
            "fitted": curves.hazard_at_renewal(int(days)),
            "observed": float(left / count) if count else None,
            "at_risk": float(count),
            "left_in_period": float(left),
        }
        for days, count, left in zip(renewals.interval_days, renewals.renewals, renewals.left, strict=True)
    ]
    rows = [*parameters, *at_renewal, *_hazards(curves, follow_up)]
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in RETENTION_CURVES_SCHEMA.names} for row in rows],
        schema=RETENTION_CURVES_SCHEMA,
    )


def risk_tenths(churn_probability: Floats, weight: Floats) -> Integers:
    """Return the tenth, 1 to 10, of each group when groups are ordered by risk, by the middle of its weight.

    Examples
    --------
    >>> risk_tenths(np.array([0.3, 0.1, 0.2]), np.array([8.0, 1.0, 1.0])).tolist()
    [7, 1, 2]
    """
    order = np.argsort(churn_probability, kind="stable")
    tenth = np.empty(len(order), dtype=np.int64)
    middle = np.cumsum(weight[order]) - weight[order] / 2
    tenth[order] = np.floor(TENTHS * middle / weight.sum()).astype(np.int64) + 1
    return np.clip(tenth, 1, TENTHS)


def _hazards(curves: RetentionCurves, follow_up: FollowUp) -> list[dict[str, Any]]:
    if not follow_up.at_risk.sum():
        return []
    tenth = risk_tenths(follow_up.churn_probability, follow_up.at_risk)
    cell = follow_up.period * (TENTHS + 1) + tenth
    expected = follow_up.at_risk * curves.hazard(follow_up.churn_probability, follow_up.period)
    at_risk, left, fitted = (
        np.bincount(cell, weights=values) for values in (follow_up.at_risk, follow_up.left, expected)
    )
    return [
        {
            "quantity": HAZARD,
            "period": int(each // (TENTHS + 1)),
            "risk_tenth": int(each % (TENTHS + 1)),
            "fitted": round(float(fitted[each] / at_risk[each]), DIGITS),
            "observed": round(float(left[each] / at_risk[each]), DIGITS),
            "at_risk": float(at_risk[each]),
            "left_in_period": float(left[each]),
        }
        for each in np.flatnonzero(at_risk > 0)
    ]
