"""Parameters and customers for tests of decisions, in numbers that can be worked by hand."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.decisions.limits import Limits
from models_ml.decisions.offer_beliefs import EffectBeliefs, constant_acceptance
from models_ml.decisions.policy import DecisionInputs, Offer, Policy
from models_ml.decisions.retention_curves import PARAMETERS, RETENTION_CURVES_SCHEMA, RetentionCurves

POLICY: dict[str, Any] = {
    "churn_definition": "subscription_end",
    "horizon_days": 30,
    "at_risk_days": 365,
    "training_dates": 12,
    "training_step_days": 29,
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
    "sync_days": 56,
    "minimum_customer_value": 0.0,
    "universal_holdout_share": 0.0,
    "pick_holdout_share": 0.0,
    "learning_share": 0.0,
    "offer_effect_correlation": 0.5,
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
        "contact_cost": "9",
        "incentive_cost": "10",
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
        "contact_cost": "0.25",
        "incentive_cost": "0",
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


def known_effects(signals: tuple[str, ...], log_odds: np.ndarray) -> EffectBeliefs:
    """Effects that are known for certain, one row per offer: the intercept, then ``signals``."""
    names = ("call", "nudge")
    return EffectBeliefs(
        names[: len(log_odds)],
        signals,
        np.asarray(log_odds, dtype=float),
        np.zeros((np.size(log_odds), np.size(log_odds))),
        np.zeros(np.shape(log_odds), dtype=bool),
    )


def effects(*log_odds: float) -> EffectBeliefs:
    """Effects that are known and the same for all customers: one intercept per offer, no signal."""
    return known_effects((), np.array(log_odds)[:, None])


# Whatever the risk, half of the customers leave in each period after the horizon.
CURVES = RetentionCurves(0.0, 0.0, 0.0, 0.0, 0.5, 0.0, -9.0, 9.0, 3, 0.5, 30, {})


def curves_table(curves: RetentionCurves = CURVES) -> pa.Table:
    """The rows of retention_curves that decisions read."""
    return pa.Table.from_pylist(
        [
            dict.fromkeys(RETENTION_CURVES_SCHEMA.names) | {"quantity": name, "fitted": getattr(curves, name)}
            for name in PARAMETERS
        ],
        schema=RETENTION_CURVES_SCHEMA,
    )


def decision_inputs(
    terms: Policy | None = None, named: tuple[Offer, ...] | None = None, works: EffectBeliefs | None = None
) -> DecisionInputs:
    """Inputs of a decision: by default the policy and offers above, and a call that halves the odds of leaving."""
    chosen = named or offers()
    return DecisionInputs(
        terms or policy(),
        chosen,
        works or effects(np.log(0.5), np.log(0.9)),
        constant_acceptance({offer.offer: offer.acceptance_rate for offer in chosen}),
        CURVES,
    )


def effect_tables(*log_odds: float) -> dict[str, pa.Table]:
    """The tables of effects, acceptance and retention from which a decision reads the same as `effects`."""
    names = ("call", "nudge")
    covariances = [("offer", pa.string()), ("signal", pa.string()), ("other_offer", pa.string())]
    covariances += [("other_signal", pa.string()), ("covariance", pa.float64())]
    return {
        "offer_effects": pa.Table.from_pylist(
            [
                {
                    "offer": name,
                    "signal": "intercept",
                    "effect_mean": mean,
                    "effect_sd": 0.0,
                    "effect_source": "assumed",
                }
                for name, mean in zip(names, log_odds, strict=False)
            ]
        ),
        "offer_effect_covariances": pa.schema(covariances).empty_table(),
        "retention_curves": curves_table(),
        "int_measured_acceptance": pa.Table.from_pylist(
            [
                {
                    "offer": row["offer"],
                    "feature": "intercept",
                    "log_odds": float(np.log(row["acceptance_rate"] / (1 - row["acceptance_rate"]))),
                    "log_odds_sd": 0.0,
                    "feature_mean": 0.0,
                    "acceptance_source": "assumed",
                }
                for row in OFFERS
            ]
        ),
    }


NO_TRIAL = Limits(0.0, np.zeros(2), {"phone": 0.0, "email": 0.0}, ("phone", "email"), ("call", "nudge"))


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
        "renewal_interval_days": np.zeros(customers),
        "days_to_renewal": np.zeros(customers),
        "offers_allowed": np.full(customers, 3, dtype=np.int64),
        "suppression_reason": pa.nulls(customers, pa.string()),
        "universal_draw": np.full(customers, 0.999),
        "pick_draw": np.full(customers, 0.999),
        "trial_draw": np.full(customers, 0.999),
        "trial_offer_draw": np.full(customers, 0.999),
        **{
            f"{name}_{at}": np.full(customers, float(offer[name]))
            for name in ("contact_cost", "incentive_cost")
            for at, offer in enumerate(OFFERS)
        },
    }
    return pa.RecordBatch.from_pydict({name: pa.array(column) for name, column in (values | columns).items()})
