"""The rules of the demo world: plans, drivers of churn, and the true effect of each offer.

These are facts of an invented world, not settings of BayesPilot, which never reads them. What the business
believes about them stands in ``seeds/demo/`` and differs on purpose.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CodeArray = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
DayArray = npt.NDArray[np.datetime64]

HORIZON_DAYS = 28

REGIONS = ("north", "south", "east", "west")
ACQUISITION_CHANNELS = ("organic", "paid_search", "referral", "partner")
SEGMENTS = ("personal", "team", "business")
PAYMENT_METHODS = ("card", "direct_debit", "bank_transfer")
TICKET_TOPICS = ("billing", "bug", "how_to", "performance")
ACTIVITY_TYPES = ("login_session", "feature_use", "pricing_page_view", "data_export", "add_on_purchase")
LOGIN_SESSION, FEATURE_USE, PRICING_PAGE_VIEW, DATA_EXPORT, ADD_ON_PURCHASE = range(5)

PLANS = ("basic", "standard", "premium")
PLAN_FEE_CENTS = np.array([1900, 3900, 7900], dtype=np.int64)  # list price a month
ANNUAL_FEE_SHARE = 0.85  # of the list price, for a year's commitment
MARGIN_SHARE = 0.7  # of fees and add-ons
ADD_ONS_A_MONTH = 0.05  # bought by a customer who uses the product at all
ADD_ON_CENTS = 500 * np.arange(1, 13, dtype=np.int64)  # prices, each as likely as another

OFFERS = ("nudge_email", "discount", "call", "plan_change", "pause")
NUDGE_EMAIL, DISCOUNT, CALL, PLAN_CHANGE, PAUSE = range(5)
NO_ACTION = -1
OFFER_CHANNELS = ("email", "email", "phone", "email", "push")
CONTACT_COST_CENTS = np.array([25, 25, 900, 40, 10], dtype=np.int64)
DISCOUNT_SHARE = 0.2
DISCOUNT_INVOICES = 3

SIGNALS = ("payment_failing", "support_pain", "price_shock", "declining_engagement", "dormant", "exit_intent")

# Log-odds of leaving within 28 days. Dormant customers have forgotten the subscription: left alone they stay.
CHURN_INTERCEPT = -4.1
CHURN_WEIGHTS = np.array([1.25, 1.15, 1.2, 1.3, 0.2, 1.7])
NEWCOMER_WEIGHT = 0.7  # fades with a time constant of four months
PRICE_AND_DECLINE_WEIGHT = 0.4  # interaction: a higher price for less use
COMMITTED_WEIGHT = -1.6
YEARLY_COMMITTED_WEIGHT = -2.0
RENEWAL_MONTH_WEIGHT = 1.0

# True change of these log-odds by a contact (accepted or not), per offer: intercept, then one per signal.
OFFER_EFFECTS = np.array(
    [
        [-0.02, -0.30, 0.15, 0.05, -0.40, 0.75, 0.00],  # nudge_email: reminds dormant customers to leave
        [-0.05, -0.10, 0.00, -0.70, -0.15, 0.50, -0.25],  # discount: helps against a price shock
        [-0.05, -0.45, -0.70, -0.10, -0.15, 0.60, -0.35],  # call: helps against support pain
        [-0.02, -0.25, 0.05, -0.55, -0.10, 0.40, -0.10],  # plan_change: a smaller, cheaper plan
        [0.00, -0.45, 0.00, -0.15, -0.40, 0.25, -0.45],  # pause: helps against payment trouble
    ]
)
EFFECT_CARRIED = 0.5  # share of a contact's effect still felt a month later

# Log-odds of accepting: intercept, then one per signal.
ACCEPTANCE = np.array(
    [
        [-1.00, 0.30, -0.20, 0.10, 0.20, -0.90, -0.20],
        [-0.60, 0.20, -0.20, 0.60, 0.00, -0.80, -0.20],
        [-1.10, 0.40, 0.60, 0.10, 0.10, -0.70, 0.10],
        [-1.90, 0.30, -0.10, 0.70, 0.20, -0.60, 0.00],
        [-2.00, 0.60, 0.00, 0.20, 0.50, -0.30, 0.30],
    ]
)


def sigmoid(log_odds: FloatArray) -> FloatArray:
    """Return the probability of log-odds.

    Examples
    --------
    >>> sigmoid(np.array([0.0])).tolist()
    [0.5]
    """
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def list_fee(plan: CodeArray, is_annual: BoolArray) -> IntArray:
    """Return the monthly fee of a plan in cents, in steps of half a unit.

    Examples
    --------
    >>> list_fee(np.array([0, 2], dtype=np.int8), np.array([False, True])).tolist()
    [1900, 6700]
    """
    fee = PLAN_FEE_CENTS[plan] * np.where(is_annual, ANNUAL_FEE_SHARE, 1.0)
    return half_units(fee)


def half_units(cents: npt.NDArray[np.number]) -> IntArray:
    """Round money in cents to the nearest half unit of currency.

    Examples
    --------
    >>> half_units(np.array([1920.0, 1980.0])).tolist()
    [1900, 2000]
    """
    return np.asarray(np.round(cents / 50.0) * 50, dtype=np.int64)


def incentive_cents(offer: CodeArray, plan: CodeArray, fee_cents: IntArray) -> IntArray:
    """Return what accepting an offer costs the business, in cents (0 for no_action).

    A discount is 20 % of three monthly fees, a call ends in a credit of 10, a plan change gives up two
    months' difference to the next smaller plan, a pause one monthly fee.
    """
    smaller = PLAN_FEE_CENTS[np.maximum(plan - 1, 0)]
    choices = [
        np.zeros_like(fee_cents),
        np.asarray(fee_cents * DISCOUNT_SHARE * DISCOUNT_INVOICES, dtype=np.int64),
        np.full_like(fee_cents, 1000),
        2 * np.maximum(PLAN_FEE_CENTS[plan] - smaller, 0),
        fee_cents,
        np.zeros_like(fee_cents),  # offer −1, no_action, is the last
    ]
    return np.asarray(np.choose(np.where(offer < 0, len(OFFERS), offer), choices))
