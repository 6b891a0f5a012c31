r"""How long customers stay after the horizon, and the margin that is lost with a customer.

Time after an as_of_date is cut into periods of one horizon. Of customers who have not left within period 0 (the
horizon itself), the hazard of leaving in period k = 1, 2, … is

    logit h_k(u) = α + β·u + (α′ + β′·u)·φ^k,        0 < φ < 1,

with u the logit of the churn probability at the as_of_date, less its mean: risk reverts to what lasts (α + β·u) from
where it starts, at a pace φ. Customers bound by a bill for longer than a horizon can leave at a renewal only: their
hazard is 0 between renewals, and at each renewal the share of such customers lost per renewal.
:mod:`models_ml.decisions.retention_fit` finds the parameters.

Customers of equal churn probability are not equal: their log-odds scatter around the score's by what no feature shows,
with variance τ². Leavers are the riskier ones. Among customers at log-odds ℓ + ε, ε ~ N(0, τ²), they have

    E[ε | leaves] = τ² · E[p (1 − p)] / E[p] ≈ τ² · (1 − p)

(Stein's lemma). The margin lost with a leaver is therefore valued at u + τ² · (1 − p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DAYS_PER_MONTH = 30.0  # monthly_revenue is money per 30 days
DAYS_PER_YEAR = 365.0
BATCH_ROWS = 65_536

# One row per parameter, per period and tenth of risk, and per billing interval; what does not apply is null.
RETENTION_CURVES_SCHEMA = pa.schema(
    [
        ("quantity", pa.string()),  # the name of a parameter, hazard, or renewal_hazard
        ("period", pa.int64()),
        ("risk_tenth", pa.int64()),
        ("renewal_interval_days", pa.int64()),
        ("fitted", pa.float64()),
        ("observed", pa.float64()),
        ("at_risk", pa.float64()),
        ("left_in_period", pa.float64()),
    ]
)
HAZARD, RENEWAL_HAZARD = "hazard", "renewal_hazard"
PARAMETERS = (
    "persistent_level",
    "persistent_slope",
    "passing_level",
    "passing_slope",
    "pace",
    "mean_log_odds",
    "lowest",
    "highest",
    "last_period",
    "mean_hazard",
    "horizon_days",
    "hidden_variance",
)
WHOLE_PARAMETERS = ("last_period", "horizon_days")


@dataclass(frozen=True)
class RetentionCurves:
    """Hazards after the horizon, for customers who stay within it.

    ``mean_log_odds`` is subtracted from the logit of the churn probability to give u; u is held within ``lowest`` and
    ``highest``, the range seen. ``persistent_level``, ``persistent_slope``, ``passing_level``, ``passing_slope`` and
    ``pace`` are α, β, α′, β′ and φ. Beyond ``last_period`` its hazard carries on. ``renewal_hazard`` gives the
    probability of leaving at a renewal per billing interval in days; ``mean_hazard`` is the loss per period of all
    others, from which a billing interval without a row of its own follows. ``hidden_variance`` is τ², 0 where the
    churn probability says all that can be known.
    """

    persistent_level: float
    persistent_slope: float
    passing_level: float
    passing_slope: float
    pace: float
    mean_log_odds: float
    lowest: float
    highest: float
    last_period: int
    mean_hazard: float
    horizon_days: int
    renewal_hazard: dict[int, float]
    hidden_variance: float = 0.0

    def hazard(self, churn_probability: ArrayLike, period: ArrayLike) -> Floats:
        """Return the probability of leaving in ``period`` ≥ 1 of customers who are still there; both broadcast."""
        level, slope = self._line(np.asarray(period))
        return np.asarray(expit(level + slope * self.centred(churn_probability)))

    def centred(self, churn_probability: ArrayLike) -> Floats:
        """Return u, the centred logit of a churn probability, within the range seen."""
        return np.clip(self._centred(np.asarray(churn_probability)), self.lowest, self.highest)

    def centred_of_leavers(self, churn_probability: Floats) -> Floats:
        """Return u of the leavers among customers of a churn probability, shape (n,), within the range seen."""
        riskier = self._centred(churn_probability) + self.hidden_variance * (1.0 - churn_probability)
        return np.clip(riskier, self.lowest, self.highest)

    def _centred(self, churn_probability: NDArray[np.generic]) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(logit(churn_probability.astype(np.float64))) - self.mean_log_odds

    def _line(self, period: NDArray[np.generic]) -> tuple[Floats, Floats]:
        fading = self.pace ** np.minimum(period, self.last_period).astype(np.float64)
        return (
            self.persistent_level + self.passing_level * fading,
            self.persistent_slope + self.passing_slope * fading,
        )

    def hazard_at_renewal(self, interval_days: int) -> float:
        """Return the probability of leaving at a renewal after ``interval_days``."""
        known = self.renewal_hazard.get(interval_days)
        return loss_over(self.mean_hazard, interval_days, self.horizon_days) if known is None else known


def loss_over(hazard: float, days: float, horizon_days: int) -> float:
    """Return the probability of leaving within ``days`` at a constant ``hazard`` per horizon.

    Examples
    --------
    >>> loss_over(0.5, 56, 28)
    0.75
    """
    return 1.0 - (1.0 - hazard) ** (days / horizon_days)


def survival(curves: RetentionCurves, churn_probability: ArrayLike, periods: int) -> Floats:
    """Return S, the probability of still being there at the start of periods 1 … ``periods``, shape (n, periods).

    S_1 = 1: customers who stay within the horizon reach its end. S_(k+1) = S_k · (1 − h_k).

    Examples
    --------
    >>> half = RetentionCurves(0.0, 0.0, 0.0, 0.0, 0.5, 0.0, -9.0, 9.0, 3, 0.5, 28, {})
    >>> survival(half, [0.1, 0.9], 3).tolist()
    [[1.0, 0.5, 0.25], [1.0, 0.5, 0.25]]
    """
    probability = np.asarray(churn_probability, dtype=np.float64)
    stays = 1.0 - curves.hazard(probability[:, None], np.arange(1, periods))
    return np.column_stack([np.ones(len(probability)), np.cumprod(stays, axis=1)])


def discounted_days(horizon_days: int, value_horizon_days: int, annual_discount_rate: float) -> Floats:
    """Return d, the days of periods 1, 2, … up to the value horizon, discounted to the as_of_date.

    d_k = min(H, W − kH) · (1 + r)^(−(kH + min(H, W − kH)/2) / 365): the last period is cut at W, the annual discount
    rate r applies at the middle of each.

    Examples
    --------
    >>> discounted_days(30, 75, 0.0).tolist()
    [30.0, 15.0]
    """
    starts = np.arange(horizon_days, value_horizon_days, horizon_days, dtype=np.float64)
    days = np.minimum(horizon_days, value_horizon_days - starts)
    return np.asarray(days * (1.0 + annual_discount_rate) ** (-(starts + days / 2) / DAYS_PER_YEAR))


def customer_value(
    curves: RetentionCurves,
    churn_probability: ArrayLike,
    monthly_revenue: ArrayLike,
    renewal_interval_days: ArrayLike,
    days_to_renewal: ArrayLike,
    *,
    margin_rate: float,
    value_horizon_days: int,
    annual_discount_rate: float,
) -> Floats:
    """Margin lost if the customer leaves within the horizon and is never contacted again, V = m · Σ_k d_k · S_k.

    S is that of leavers, had they been kept.

    Parameters
    ----------
    curves : RetentionCurves
    churn_probability : array-like of shape (n,)
        In [0, 1], within the horizon if left alone.
    monthly_revenue : array-like of shape (n,)
        Money per 30 days; what is below 0 (more returned than bought) counts as 0.
    renewal_interval_days : array-like of shape (n,)
        Days between two bills, where that is longer than the horizon; 0 for all others.
    days_to_renewal : array-like of shape (n,)
        Days from the as_of_date to the next bill of such customers, ≥ 0; ignored for all others.
    margin_rate : float
        Share of revenue.
    value_horizon_days : int
        Days after the as_of_date beyond which margin does not count.
    annual_discount_rate : float
        Share per year.

    Returns
    -------
    ndarray of shape (n,)
        Money, ≥ 0. A customer who leaves in a period still brings its margin.

    Raises
    ------
    BayesPilotError
        When a number is missing or a probability lies outside [0, 1].

    Examples
    --------
    Thirty a month at a margin of one half, half of the customers leave in each later period; the second customer
    renews in 70 days, after the value horizon:

    >>> half = RetentionCurves(0.0, 0.0, 0.0, 0.0, 0.5, 0.0, -9.0, 9.0, 3, 0.5, 30, {360: 0.25})
    >>> terms = {"margin_rate": 0.5, "value_horizon_days": 90, "annual_discount_rate": 0.0}
    >>> customer_value(half, [0.4, 0.4], [30.0, 30.0], [0, 360], [0, 95], **terms).tolist()
    [22.5, 30.0]
    """
    probability = checked("churn_probability", churn_probability, 0.0, 1.0)
    revenue = np.maximum(checked("monthly_revenue", monthly_revenue, -1e300, 1e300), 0.0)
    interval = checked("renewal_interval_days", renewal_interval_days, 0.0, 1e6)
    to_renewal = np.where(interval > 0, np.asarray(days_to_renewal, dtype=np.float64), 0.0)
    checked("days_to_renewal", to_renewal, 0.0, 1e6)
    days = discounted_days(curves.horizon_days, value_horizon_days, annual_discount_rate)
    worth = np.empty_like(probability)
    for start in range(0, len(worth), BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        worth[rows] = _days_kept(curves, probability[rows], days)
    bound = np.flatnonzero(interval > 0)
    if len(bound):
        worth[bound] = _days_kept_until_renewal(curves, interval[bound], to_renewal[bound], days)
    return worth * (revenue * (margin_rate / DAYS_PER_MONTH))


def _days_kept(curves: RetentionCurves, probability: Floats, days: Floats) -> Floats:
    """Return Σ_k d_k · S_k of customers who may leave at any time, period by period in place."""
    u = curves.centred_of_leavers(probability)
    level, slope = curves._line(np.arange(1, len(days)))
    reached, kept = np.ones_like(u), np.full_like(u, days[0] if len(days) else 0.0)
    for each in range(len(days) - 1):
        log_odds = slope[each] * u
        log_odds += level[each]
        reached *= expit(-log_odds)
        kept += days[each + 1] * reached
    return kept


def _days_kept_until_renewal(
    curves: RetentionCurves, interval: Floats, to_renewal: Floats, days: Floats
) -> Floats:
    """Return Σ_k d_k · S_k of customers who can leave at renewals only; those within the horizon are period 0."""
    stays = np.ones_like(interval)
    for length in np.unique(interval):
        stays[interval == length] = 1.0 - curves.hazard_at_renewal(int(length))

    def renewals_before(day: float) -> Floats:
        return np.maximum(np.ceil((day - to_renewal) / interval), 0.0)

    in_horizon = renewals_before(curves.horizon_days)
    kept = np.zeros_like(interval)
    for each, discounted in enumerate(days, start=1):
        kept += discounted * stays ** (renewals_before(each * curves.horizon_days) - in_horizon)
    return kept


def checked(name: str, values: ArrayLike, low: float, high: float) -> Floats:
    """Return values as doubles.

    Raises
    ------
    BayesPilotError
        When one is missing or outside [low, high].
    """
    array = np.asarray(values, dtype=np.float64)
    wrong = ~((array >= low) & (array <= high))
    if wrong.any():
        raise BayesPilotError(
            f"{name} is missing or outside [{low:g}, {high:g}]",
            where="the customers that are to be decided",
            values=array[wrong].tolist(),
            next_step="dbt build -s +int_decision_candidates",
        )
    return array


def read_retention_curves(table: pa.Table) -> RetentionCurves:
    """Read the parameters of ``retention_curves``.

    Raises
    ------
    BayesPilotError
        When a parameter is missing, occurs twice or is not a number.
    """
    rows = table.to_pylist()
    found = [(row["quantity"], row["fitted"]) for row in rows if row["quantity"] in PARAMETERS]
    wrong = [name for name, value in found if value is None or not np.isfinite(value)]
    wrong += [name for name in PARAMETERS if [each for each, _ in found].count(name) != 1]
    if wrong:
        raise BayesPilotError(
            "a parameter is missing, occurs twice or is not a number",
            where="retention_curves",
            values=wrong,
            next_step="dbt build -s +retention_curves",
        )
    values = dict(found)
    whole = {name: int(values[name]) for name in WHOLE_PARAMETERS}
    renewal = {
        row["renewal_interval_days"]: row["fitted"] for row in rows if row["quantity"] == RENEWAL_HAZARD
    }
    return RetentionCurves(**{**values, **whole}, renewal_hazard=renewal)
