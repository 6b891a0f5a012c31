"""Customers who are to be decided, batch by batch: what each offer is worth and who may get it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models_ml.decisions.cents import cents_up, nearest_cents
from models_ml.decisions.economics import incremental_expected_value, value_offers
from models_ml.decisions.parameters import Offer, OfferEffects, Policy
from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]
DRAWS = ("universal_draw", "pick_draw", "trial_draw", "trial_offer_draw")


@dataclass(frozen=True)
class Terms:
    """On what terms customers are valued."""

    policy: Policy
    offers: tuple[Offer, ...]
    effects: OfferEffects

    @property
    def cost_cents(self) -> Floats:
        """Expected cost of each offer (k,) in whole cents, rounded up."""
        return cents_up([offer.expected_cost for offer in self.offers])


@dataclass(frozen=True)
class ValuedBatch:
    """One batch of n customers: money in whole cents, ``allowed`` before and ``suppressed`` as a rule."""

    value_cents: Floats
    customer_value_cents: Floats
    relative_risk: Floats
    churn_probability: Floats
    allowed: NDArray[np.bool_]
    suppressed: NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """All n customers in order of customer_id, only what deciding needs.

    ``value_cents`` (n, k), ``customer_value_cents`` (n,), ``allowed`` (n, k) offers that may be made,
    ``plausible`` (n, k) those of them that would pay if they kept everyone, ``churn_probability`` (n,),
    ``suppressed`` (n,) and the ``draws``.
    """

    value_cents: Floats
    customer_value_cents: Floats
    allowed: NDArray[np.bool_]
    plausible: NDArray[np.bool_]
    churn_probability: Floats
    suppressed: NDArray[np.bool_]
    draws: dict[str, Floats]

    @property
    def customers(self) -> int:
        """Number of customers n."""
        return len(self.churn_probability)


def value_batch(batch: pa.RecordBatch, terms: Terms) -> ValuedBatch:
    """Value every offer for the customers of one batch of int_decision_candidates."""
    names = tuple(f"signal_{signal}" for signal in terms.effects.signals)
    missing = sorted({*names, *DRAWS, "offers_allowed", "suppression_reason"} - set(batch.schema.names))
    if missing:
        raise BayesPilotError(
            "columns are missing",
            where="int_decision_candidates",
            values=missing,
            next_step="name the signals of offer_effect_priors.csv as int_reason_signals does",
        )
    signals = np.column_stack([_numbers(batch, name) for name in names] or [np.empty((batch.num_rows, 0))])
    probability = _numbers(batch, "churn_probability")
    valued = value_offers(
        probability,
        _numbers(batch, "monthly_revenue"),
        signals,
        policy=terms.policy,
        offers=terms.offers,
        effects=terms.effects,
    )
    worth = nearest_cents(valued.customer_value)
    bits = batch.column("offers_allowed").fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    allowed = (bits[:, None] >> np.arange(len(terms.offers)) & 1).astype(bool)
    suppressed = batch.column("suppression_reason").is_valid().to_numpy(zero_copy_only=False)
    suppressed = suppressed | (worth < nearest_cents(terms.policy.minimum_customer_value))
    cents = nearest_cents(valued.expected_value)
    return ValuedBatch(cents, worth, valued.relative_risk, probability, allowed, suppressed)


def collect(batches: Iterable[pa.RecordBatch], terms: Terms) -> Candidates:
    """Read all customers once and keep compact arrays: about 8 bytes per customer and offer, and 70 more."""
    cost = terms.cost_cents
    kept: list[tuple[np.ndarray, ...]] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        valued = value_batch(batch, terms)
        at_best = incremental_expected_value(
            valued.churn_probability[:, None], 0.0, valued.customer_value_cents[:, None], cost, 0.0, 0.0
        )
        kept.append(
            (
                valued.value_cents,
                valued.customer_value_cents,
                valued.allowed,
                valued.allowed & (at_best > 0),
                valued.churn_probability,
                valued.suppressed,
                *(_numbers(batch, name) for name in DRAWS),
            )
        )
    if not kept:
        none = np.empty(0)
        nothing = np.empty((0, len(cost)))
        return Candidates(nothing, none, nothing > 0, nothing > 0, none, none > 0, dict.fromkeys(DRAWS, none))
    value, worth, allowed, plausible, probability, suppressed, *draws = (
        np.concatenate(parts) for parts in zip(*kept, strict=True)
    )
    named = dict(zip(DRAWS, draws, strict=True))
    return Candidates(value, worth, allowed, plausible, probability, suppressed, named)


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    """One numeric column, nulls as NaN (which the economics refuse)."""
    return np.asarray(batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
