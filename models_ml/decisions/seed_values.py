"""Bounds of the seed values, and errors that name the seed and the row to correct."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from models_ml.errors import BayesPilotError

CHANNELS = ("email", "phone", "push")
MAXIMUM_OFFERS = 19  # a trial assigns each of k offers or nothing, and k + 1 ≤ 20 keeps the weights bounded
SEED_FOLDER = "seeds/<source>"
NO_LIMIT = math.inf

CHOICES = {"churn_definition": ("subscription_end", "inactivity"), "pacing": ("none", "linear")}
POLICY_BOUNDS: Mapping[str, tuple[float, float]] = {
    "horizon_days": (1, 730),
    "at_risk_days": (1, 3650),
    "training_month_ends": (1, 120),
    "minimum_history_days": (0, 3650),
    "payment_grace_days": (0, 365),
    "margin_rate": (0, 1),
    "value_horizon_days": (2, 3650),
    "annual_discount_rate": (0, 10),
    "monthly_budget": (0, NO_LIMIT),
    "monthly_capacity_email": (0, NO_LIMIT),
    "monthly_capacity_phone": (0, NO_LIMIT),
    "monthly_capacity_push": (0, NO_LIMIT),
    "touch_price": (0, NO_LIMIT),
    "cool_down_days": (0, 3650),
    "action_valid_days": (1, 365),
    "minimum_customer_value": (0, NO_LIMIT),
    "universal_holdout_share": (0, 0.5),
    "pick_holdout_share": (0, 0.95),
    "trial_share": (0, 1),
    "review_from": (0, 1),
    "escalate_from": (0, 1),
}
OFFER_BOUNDS: Mapping[str, tuple[float, float]] = {
    "contact_cost": (0, NO_LIMIT),
    "incentive_cost": (0, NO_LIMIT),
    "acceptance_rate": (0, 1),
    "monthly_capacity": (0, NO_LIMIT),
    "lock_out_days": (0, 3650),
}


def refuse(file: str, row: str, what: str) -> BayesPilotError:
    """Build the error that names the seed file, its row and what is wrong with it."""
    return BayesPilotError(
        f"{SEED_FOLDER}/{file}, {row}: {what}", next_step="correct the row, then run dbt build"
    )


def seed_value(file: str, row: str, table_row: Mapping[str, Any], name: str, kind: str) -> Any:  # noqa: ANN401
    """Return one value as the dataclass declares it, or say which seed row to correct."""
    value = table_row.get(name)
    if value is None:
        raise refuse(file, row, f"{name} is missing")
    if kind == "str":
        if not str(value).strip():
            raise refuse(file, row, f"{name} is empty")
        return str(value)
    number = float(value)
    low, high = (POLICY_BOUNDS if file == "policy.csv" else OFFER_BOUNDS)[name]
    if not math.isfinite(number) or not low <= number <= high:
        limit = f"at least {low:g}" if high == NO_LIMIT else f"between {low:g} and {high:g}"
        raise refuse(file, row, f"{name} {number:g} must be {limit}")
    if kind == "int" and number != int(number):
        raise refuse(file, row, f"{name} {number:g} must be a whole number")
    return int(number) if kind == "int" else number
