"""Offers, policy and offer effects as typed, checked values; every number comes from the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class Offer:
    """One offer of ``offers.csv``: what is given, how, at what cost.

    ``contact_cost`` and ``incentive_cost`` are money per contact and per acceptance; ``acceptance_rate`` is
    the share of all contacted who accept, those who would have stayed anyway included. ``eligible_when`` is the
    SQL condition that dbt has applied before anybody is decided on; here it is part of the policy's version.
    """

    offer: str
    action_label: str
    channel: str
    contact_cost: float
    incentive_cost: float
    acceptance_rate: float
    monthly_capacity: int
    lock_out_days: int
    eligible_when: str

    @property
    def expected_cost(self) -> float:
        """Expected cost of one contact, c + q·g, in the policy's currency."""
        return self.contact_cost + self.acceptance_rate * self.incentive_cost


@dataclass(frozen=True)
class Policy:
    """The parameters of ``policy.csv`` after overrides, one field per column of int_policy_parameters."""

    churn_definition: str
    horizon_days: int
    at_risk_days: int
    training_month_ends: int
    minimum_history_days: int
    payment_grace_days: int
    currency: str
    margin_rate: float
    value_horizon_days: int
    annual_discount_rate: float
    monthly_budget: float
    monthly_capacity_email: int
    monthly_capacity_phone: int
    monthly_capacity_push: int
    pacing: str
    touch_price: float
    cool_down_days: int
    action_valid_days: int
    minimum_customer_value: float
    universal_holdout_share: float
    pick_holdout_share: float
    trial_share: float
    randomisation_salt: str
    review_from: float
    escalate_from: float

    def channel_capacities(self) -> dict[str, int]:
        """Contacts per calendar month that each channel admits."""
        return {channel: int(getattr(self, f"monthly_capacity_{channel}")) for channel in CHANNELS}


@dataclass(frozen=True)
class OfferEffects:
    """Log-odds effects of each offer: logit p_a = logit p_0 + b_a · [1, signals].

    ``coefficients`` has shape (n_offers, 1 + n_signals), the intercept first, then ``signals`` in order;
    ``measured`` (n_offers,) says whether evidence from randomised contacts outweighs the prior.
    """

    signals: tuple[str, ...]
    coefficients: NDArray[np.float64]
    measured: NDArray[np.bool_]


def read_policy(table: pa.Table) -> Policy:
    """Read the one row of int_policy_parameters.

    Raises
    ------
    BayesPilotError
        When there is not exactly one row, or a parameter is missing, out of bounds or contradicts another.
    """
    rows = table.to_pylist()
    if len(rows) != 1:
        raise BayesPilotError(
            f"int_policy_parameters has {len(rows)} rows where one is needed",
            where=f"{SEED_FOLDER}/policy.csv",
            next_step="dbt build -s int_policy_parameters",
        )
    declared = fields(Policy)
    policy = Policy(
        **{
            f.name: seed_value("policy.csv", f"parameter {f.name}", rows[0], f.name, str(f.type))
            for f in declared
        }
    )
    for name, choices in CHOICES.items():
        if (value := getattr(policy, name)) not in choices:
            raise refuse("policy.csv", f"parameter {name}", f"{value!r} must be one of {', '.join(choices)}")
    share = policy.pick_holdout_share
    if share != 0 and not 0.05 <= share <= 0.95:
        raise refuse("policy.csv", "parameter pick_holdout_share", f"{share:g} must be 0 or within 0.05–0.95")
    if policy.review_from > policy.escalate_from:
        what = f"{policy.review_from:g} lies above escalate_from {policy.escalate_from:g}"
        raise refuse("policy.csv", "parameter review_from", what)
    if policy.value_horizon_days <= policy.horizon_days:
        what = f"{policy.value_horizon_days} must exceed horizon_days {policy.horizon_days}"
        raise refuse("policy.csv", "parameter value_horizon_days", what)
    return policy


def read_offers(table: pa.Table) -> tuple[Offer, ...]:
    """Read int_offers in order of ``offer_position``.

    Raises
    ------
    BayesPilotError
        When there is no offer or more than 19, one occurs twice, or a value is missing or out of bounds.
    """
    rows = sorted(table.to_pylist(), key=lambda row: row["offer_position"])
    if not 1 <= len(rows) <= MAXIMUM_OFFERS:
        what = f"{len(rows)} offers, where 1 to {MAXIMUM_OFFERS} are possible"
        raise BayesPilotError(
            what, where=f"{SEED_FOLDER}/offers.csv", next_step="correct the seed, then run dbt build"
        )
    offers: list[Offer] = []
    for position, row in enumerate(rows):
        name = f"offer {row.get('offer') or f'in row {position + 1}'}"
        values = {f.name: seed_value("offers.csv", name, row, f.name, str(f.type)) for f in fields(Offer)}
        if values["channel"] not in CHANNELS:
            raise refuse(
                "offers.csv", name, f"channel {values['channel']!r} must be one of {', '.join(CHANNELS)}"
            )
        if values["offer"] == "no_action":
            raise refuse("offers.csv", name, "the name no_action is reserved")
        if values["offer"] in [offer.offer for offer in offers] or row["offer_position"] != position:
            raise refuse("offers.csv", name, "the offer occurs twice")
        offers.append(Offer(**values))
    return tuple(offers)


def read_offer_effects(table: pa.Table, offers: Sequence[Offer]) -> OfferEffects:
    """Read offer_effects (offer × signal) into one coefficient row per offer, in the order of ``offers``.

    Signals are ordered by name; a signal that an offer does not list has effect 0, a missing intercept is an
    error (it would silently assume that the offer does nothing).

    Raises
    ------
    BayesPilotError
        When an offer is unknown or has no intercept, a pair occurs twice, or an effect is not a number.
    """
    rows = table.to_pylist()
    names = [offer.offer for offer in offers]
    signals = tuple(sorted({row["signal"] for row in rows} - {"intercept"}))
    columns = ("intercept", *signals)
    coefficients = np.full((len(names), len(columns)), np.nan)
    measured = np.zeros(len(names), dtype=bool)
    file = "offer_effect_priors.csv"
    for row in rows:
        place = f"offer {row['offer']}, signal {row['signal']}"
        if row["offer"] not in names:
            raise refuse(file, place, "the offer is not in offers.csv")
        at = names.index(row["offer"]), columns.index(row["signal"])
        if not np.isnan(coefficients[at]):
            raise refuse(file, place, "the pair occurs twice")
        if row["effect_mean"] is None or not math.isfinite(row["effect_mean"]):
            raise refuse(file, place, f"effect_mean {row['effect_mean']} is not a finite number")
        coefficients[at] = row["effect_mean"]
        measured[at[0]] |= row["effect_source"] == "measured" and row["signal"] == "intercept"
    for position in np.flatnonzero(np.isnan(coefficients[:, 0])):
        raise refuse(file, f"offer {names[position]}, signal intercept", "the row is missing")
    return OfferEffects(signals, np.nan_to_num(coefficients, nan=0.0), measured)
