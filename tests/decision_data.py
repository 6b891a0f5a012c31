"""Parameters and customers for tests of decisions, in numbers that can be worked by hand."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.decisions.limits import Limits
from models_ml.decisions.policy import Offer, OfferEffects, Policy

POLICY: dict[str, Any] = {
    "churn_definition": "subscription_end",
    "horizon_days": 30,
    "at_risk_days": 365,
    "training_month_ends": 12,
    "minimum_history_days": 90,
    "payment_grace_days": 5,
    "resume_grace_days": 0,
    "trusted_features": "none",
    "currency": "EUR",
    "margin_rate": 0.5,
    "value_horizon_days": 90,
    "annual_discount_rate": 0.0,
    "monthly_budget": 100.0,
    "pacing": "none",
    "touch_price": 0.0,
    "cool_down_days": 30,
    "action_valid_days": 14,
    "minimum_customer_value": 0.0,
    "universal_holdout_share": 0.0,
    "pick_holdout_share": 0.0,
    "trial_share": 0.0,
    "randomisation_salt": "test",
    "review_from": 0.1,
    "escalate_from": 0.3,
    "headline_figure": "doubly_robust",
}

OFFERS: list[dict[str, Any]] = [
    {
        "offer": "call",
        "offer_position": 0,
        "action_label": "Call",
        "channel": "phone",
        "contact_cost": 9.0,
        "incentive_cost": 10.0,
        "acceptance_rate": 0.3,
        "monthly_capacity": 10,
        "channel_capacity": 10,
        "lock_out_days": 90,
        "eligible_when": "true",
    },
    {
        "offer": "nudge",
        "offer_position": 1,
        "action_label": "Nudge",
        "channel": "email",
        "contact_cost": 0.25,
        "incentive_cost": 0.0,
        "acceptance_rate": 0.25,
        "monthly_capacity": 40,
        "channel_capacity": 50,
        "lock_out_days": 30,
        "eligible_when": "true",
    },
]


def policy(**changes: object) -> Policy:
    return Policy(**POLICY | changes)


def policy_table(**changes: object) -> pa.Table:
    return pa.Table.from_pylist([POLICY | changes])


def offers() -> tuple[Offer, ...]:
    names = [field.name for field in fields(Offer)]
    return tuple(Offer(**{name: row[name] for name in names}) for row in OFFERS)


def offers_table(**changes: object) -> pa.Table:
    """Two offers, with some values of the second one changed."""
    return pa.Table.from_pylist([OFFERS[0], OFFERS[1] | changes])


def effects(*log_odds: float) -> OfferEffects:
    """Effects that are the same for everyone: one intercept per offer, no signal."""
    return OfferEffects((), np.array(log_odds)[:, None], np.zeros(len(log_odds), dtype=bool))


def limits(budget: float, *capacities: float, **channels: float) -> Limits:
    """Limits of offers that are all e-mails, unless channels are named in the order of the offers."""
    names = tuple(channels) or ("email",) * len(capacities)
    return Limits(budget, np.array(capacities, dtype=float), channels or {"email": np.inf}, names)


def candidates(customers: int, **columns: object) -> pa.RecordBatch:
    """Return customers of int_decision_candidates, alike but for the columns given."""
    values: dict[str, Any] = {
        "customer_id": [f"c{number:06d}" for number in range(customers)],
        "as_of_date": np.full(customers, "2026-06-30", dtype="datetime64[D]"),
        "churn_probability": np.full(customers, 0.5),
        "monthly_revenue": np.full(customers, 100.0),
        "offers_allowed": np.full(customers, 3, dtype=np.int64),
        "suppression_reason": pa.nulls(customers, pa.string()),
        "universal_draw": np.full(customers, 0.999),
        "pick_draw": np.full(customers, 0.999),
        "trial_draw": np.full(customers, 0.999),
        "trial_offer_draw": np.full(customers, 0.999),
    }
    return pa.RecordBatch.from_pydict({name: pa.array(column) for name, column in (values | columns).items()})
