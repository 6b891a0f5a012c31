"""One run's decisions: set holdouts and trial apart, choose for the rest, withhold some of the chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions import randomisation as arms_of
from models_ml.decisions.candidates import Candidates, Terms
from models_ml.decisions.cents import CENTS, limits_in_cents, money, nearest_cents
from models_ml.decisions.limits import Limits
from models_ml.decisions.policy import Plan, choose_actions
from models_ml.decisions.references import POLICIES, Situation
from models_ml.decisions.serving import open_offers

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
