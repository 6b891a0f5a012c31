"""One run's decisions: set holdouts and trial apart, choose for the rest, withhold some of the chosen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models_ml.decisions import randomisation as arms_of
from models_ml.decisions.choose import Plan, choose_actions
from models_ml.decisions.economics import incremental_expected_value, value_offers
from models_ml.decisions.limits import CENTS, Limits, cents_up, limits_in_cents, money, nearest_cents
from models_ml.decisions.policy import Offer, OfferEffects, Policy
from models_ml.decisions.references import POLICIES, Situation, open_offers
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


DECISION_RULES = 2  # part of policy_version: raised when the same inputs would be decided differently
DIGITS = 9
REFERENCE_COLUMNS = {
    "reference_fixed_thresholds_value": "fixed thresholds",
    "reference_break_even_value": "break-even",
    "reference_top_risk_value": "top risk",
    "reference_greedy_value": "greedy",
}  # contacting nobody is worth 0 and needs no column


@dataclass(frozen=True)
class Summary:
    """What the policy's plan comes to, money in the policy's currency; the trial's contacts stand apart.

    ``contacts`` (k,) per offer; ``bound``, ``gap`` and the ``prices`` of "budget", "offer <name>" and
    "channel <name>" are those of the plan; ``references`` holds the value of each named reference policy with
    the same inputs and limits.
    """

    value: float
    steered_value: float
    spend: float
    contacts: tuple[int, ...]
    bound: float
    gap: float
    budget_price: float
    prices: Mapping[str, float]
    references: Mapping[str, float]


@dataclass(frozen=True)
class Decided:
    """Decisions of n customers: ``choice`` (n,) is what is planned (−1 for nothing), ``arms`` (n,) why.

    ``value_cents`` (n,) belongs to the choice, ``trial_offers`` (n,) is the k of a trial.
    """

    choice: NDArray[np.int8]
    arms: NDArray[np.int8]
    value_cents: NDArray[np.float64]
    trial_offers: NDArray[np.int8]
    summary: Summary
    policy_version: str

    @property
    def constants(self) -> dict[str, float | str]:
        """The plan-level columns that every row repeats."""
        summary = self.summary
        return {
            "plan_value_bound": summary.bound,
            "plan_gap": summary.gap,
            "budget_price": summary.budget_price,
            "limit_prices": json.dumps(dict(sorted(summary.prices.items()))),
            **{column: summary.references[name] for column, name in REFERENCE_COLUMNS.items()},
            "policy_version": self.policy_version,
        }


@dataclass(frozen=True)
class SetApart:
    """n customers before the policy chooses: first ``arms`` (n,), the trial's ``choice`` (n,) and its offers.

    ``trial_offers`` (n, k) are the plausible offers that the month can still carry: an offer that is switched off or
    used up is on trial for nobody. ``situation`` is what the policy faces, money in whole cents, limits as the trial
    leaves them.
    """

    arms: NDArray[np.int8]
    choice: NDArray[np.int8]
    trial_offers: NDArray[np.bool_]
    situation: Situation


def decide(candidates: Candidates, terms: Terms, limits: Limits) -> Decided:
    """Decide for all customers at risk, in order of customer_id.

    Parameters
    ----------
    candidates : Candidates
        Values in whole cents, permissions and draws of n customers.
    terms : Terms
        Policy, offers and their effects.
    limits : Limits
        What the month has left, money in the policy's currency.
    """
    apart = set_apart(candidates, terms, limits)
    situation = apart.situation
    plan = choose_actions(
        situation.expected_value,
        situation.expected_cost,
        situation.allowed,
        limits=situation.limits,
        touch_price=float(nearest_cents(terms.policy.touch_price)),
        tie_order=np.arange(candidates.customers),
    )
    pick_draw, share = candidates.draws["pick_draw"], terms.policy.pick_holdout_share
    arms = arms_of.withhold(apart.arms, plan.choice, pick_draw, share)
    choice = np.where(plan.choice >= 0, plan.choice, apart.choice).astype(np.int8)
    chosen = candidates.value_cents[np.arange(len(choice)), choice]
    return Decided(
        choice,
        arms,
        np.where(choice >= 0, chosen, 0.0),
        apart.trial_offers.sum(axis=1).astype(np.int8),
        _summary(plan, situation),
        policy_version(terms),
    )


def set_apart(candidates: Candidates, terms: Terms, limits: Limits) -> SetApart:
    """Set holdouts, suppressed and trial apart, before the policy chooses for the rest."""
    limits, draws = limits_in_cents(limits), candidates.draws
    # What the month has left before anybody is drawn decides, never a draw: propensities stay exact.
    trial_offers = candidates.plausible & open_offers(limits) & (terms.cost_cents <= limits.budget)
    arms = arms_of.first_arms(
        draws["universal_draw"], draws["trial_draw"], candidates.suppressed, trial_offers, terms.policy
    )
    choice = np.full(candidates.customers, -1, dtype=np.int8)
    rows = np.flatnonzero(arms == arms_of.TRIAL)
    if len(rows):
        assigned = arms_of.assign_trial(draws["trial_offer_draw"][rows], trial_offers[rows])
        admitted = arms_of.admit_trial(
            draws["trial_draw"][rows], trial_offers[rows], assigned, terms.cost_cents, limits
        )
        arms[rows[~admitted]] = arms_of.NOT_CHOSEN
        choice[rows[admitted]] = assigned[admitted]
        contacts = np.bincount(assigned[admitted & (assigned >= 0)], minlength=len(terms.offers))
        limits = limits.after(float(terms.cost_cents @ contacts), contacts)
    situation = Situation(
        candidates.value_cents,
        np.broadcast_to(terms.cost_cents, candidates.value_cents.shape),
        candidates.allowed & (arms == arms_of.NOT_CHOSEN)[:, None],
        candidates.churn_probability,
        candidates.customer_value_cents,
        limits,
    )
    return SetApart(arms, choice, trial_offers, situation)


def _summary(plan: Plan, situation: Situation) -> Summary:
    """Plan-level figures. Plans are worth whole cents, so that the bound in whole cents is still a bound."""
    prices = {name: price if name == "budget" else price / CENTS for name, price in plan.prices.items()}
    return Summary(
        value=float(money(plan.value)),
        steered_value=float(money(plan.steered_value)),
        spend=float(money(plan.spend)),
        contacts=tuple(plan.contacts.tolist()),
        bound=float(money(np.rint(plan.bound))),
        gap=round(plan.gap, DIGITS),
        budget_price=round(plan.budget_price, DIGITS),
        prices={name: round(price, DIGITS) for name, price in prices.items()},
        references={name: float(money(follow(situation).value)) for name, follow in POLICIES.items()},
    )


def policy_version(terms: Terms) -> str:
    """Return a hash of everything that decides besides the customers and what the month has left."""
    content = {
        "rules": DECISION_RULES,
        "policy": asdict(terms.policy),
        "offers": [asdict(offer) for offer in terms.offers],
        "signals": terms.effects.signals,
        "coefficients": (np.round(terms.effects.coefficients, DIGITS) + 0.0).tolist(),
        "measured": terms.effects.measured.tolist(),
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
