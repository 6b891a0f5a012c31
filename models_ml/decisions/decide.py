"""The decisions of one run: draw holdouts and trial, plan for the other customers, withhold the pick-holdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models_ml.decisions import randomisation
from models_ml.decisions.choose import Plan, choose_actions
from models_ml.decisions.economics import needed_columns, read_figures, value_figures
from models_ml.decisions.limits import CENTS, Limits, cents_up, money, nearest_cents
from models_ml.decisions.policy import DecisionInputs
from models_ml.decisions.references import REFERENCE_POLICIES, Situation
from models_ml.decisions.settings import load_settings
from models_ml.decisions.trial import Trial, TrialCandidates, trial_inclusion
from models_ml.errors import BayesPilotError

Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

DECISION_RULES = 8  # part of policy_version: raised when the same inputs would be decided differently
DIGITS = 9
DRAWS = ("universal_draw", "pick_draw", "trial_draw", "trial_offer_draw")
REFERENCE_COLUMNS = {
    "reference_fixed_thresholds_value": "fixed thresholds",
    "reference_break_even_value": "break-even",
    "reference_top_risk_value": "top risk",
    "reference_greedy_value": "greedy",
}  # contacting nobody is worth 0 and needs no column


@dataclass(frozen=True)
class ValuedBatch:
    """One batch of n customers and k offers; money in whole cents.

    ``allowed`` (n, k) are the offers that may be made, ``suppressed`` (n,) the customers that a rule excludes.
    """

    value_cents: Floats
    cost_cents: Floats
    effect_sd: Floats
    customer_value_cents: Floats
    relative_risk: Floats
    churn_probability: Floats
    allowed: Bools
    suppressed: Bools


@dataclass(frozen=True)
class CustomersAtRisk:
    """All n customers of a run in order of customer_id, with only what deciding needs.

    ``value_cents`` and ``cost_cents`` (n, k), ``effect_sd`` (n, k) how little is known of an effect,
    ``customer_value_cents`` (n,), ``allowed`` (n, k) offers that may be made, ``plausible`` (n, k) those of them that
    would pay if they kept every customer, ``churn_probability`` (n,), ``suppressed`` (n,) and the ``draws``, each (n,).
    """

    value_cents: Floats
    cost_cents: Floats
    effect_sd: Floats
    customer_value_cents: Floats
    allowed: Bools
    plausible: Bools
    churn_probability: Floats
    suppressed: Bools
    draws: dict[str, Floats]

    @property
    def number(self) -> int:
        """Number of customers n."""
        return len(self.churn_probability)


@dataclass(frozen=True)
class RandomisedArms:
    """The n customers before the policy chooses.

    ``arms`` (n,) holds holdouts, suppressed and trial; ``trial`` says what chance assigned on trial. ``situation`` is
    the problem left to the policy, money in whole cents, limits as the trial leaves them.
    """

    arms: Codes
    trial: Trial
    situation: Situation


@dataclass(frozen=True)
class PlanSummary:
    """Totals of the policy's plan without the trial, money in the policy's currency.

    ``contacts`` (k,) per offer; ``bound``, ``gap`` and the ``prices`` of "budget", "offer <name>" and
    "channel <name>" are those of the plan; ``references`` holds the value of each reference policy with the
    same inputs and limits.
    """

    value: float
    spend: float
    contacts: tuple[int, ...]
    bound: float
    gap: float
    budget_price: float
    prices: Mapping[str, float]
    references: Mapping[str, float]


@dataclass(frozen=True)
class Decisions:
    """Decisions on n customers: ``choice`` (n,) is what is planned (−1 for nothing), ``arms`` (n,) by which arm.

    ``is_done`` (n,) says whether the choice is to be carried out, ``value_cents`` (n,) is its value. ``propensity`` and
    ``propensity_no_action`` (n,) are the logged probabilities of what was assigned and of nothing.
    """

    choice: Codes
    arms: Codes
    is_done: Bools
    value_cents: Floats
    propensity: Floats
    propensity_no_action: Floats
    summary: PlanSummary
    policy_version: str

    @property
    def constants(self) -> dict[str, float | str]:
        """The columns of the plan, the same in every row."""
        summary = self.summary
        return {
            "plan_value_bound": summary.bound,
            "plan_gap": summary.gap,
            "budget_price": summary.budget_price,
            "limit_prices": json.dumps(dict(sorted(summary.prices.items()))),
            **{column: summary.references[name] for column, name in REFERENCE_COLUMNS.items()},
            "policy_version": self.policy_version,
        }


def value_customers(batches: Iterable[pa.RecordBatch], inputs: DecisionInputs) -> CustomersAtRisk:
    """Read all customers once and keep compact arrays: about 26 bytes per customer and offer, and 70 more."""
    kept: list[tuple[np.ndarray, ...]] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        valued = value_batch(batch, inputs)
        at_stake = valued.churn_probability * valued.customer_value_cents
        kept.append(
            (
                valued.value_cents,
                valued.cost_cents,
                valued.effect_sd,
                valued.customer_value_cents,
                valued.allowed,
                valued.allowed & (at_stake[:, None] > valued.cost_cents),
                valued.churn_probability,
                valued.suppressed,
                *(numbers(batch, name) for name in DRAWS),
            )
        )
    if not kept:
        none, no_offer = np.empty(0), np.empty((0, len(inputs.offers)))
        return CustomersAtRisk(
            no_offer,
            no_offer,
            no_offer,
            none,
            no_offer > 0,
            no_offer > 0,
            none,
            none > 0,
            dict.fromkeys(DRAWS, none),
        )
    value, cost, sd, customer_value, allowed, plausible, probability, suppressed, *draws = (
        np.concatenate(parts) for parts in zip(*kept, strict=True)
    )
    named = dict(zip(DRAWS, draws, strict=True))
    return CustomersAtRisk(
        value, cost, sd, customer_value, allowed, plausible, probability, suppressed, named
    )


def value_batch(batch: pa.RecordBatch, inputs: DecisionInputs) -> ValuedBatch:
    """Value every offer for the customers of one batch of int_decision_candidates.

    Raises
    ------
    BayesPilotError
        When a column is missing, or a value cannot be valued.
    """
    needed = {*needed_columns(inputs), *DRAWS, "suppression_reason"}
    missing = sorted(needed - set(batch.schema.names))
    if missing:
        raise BayesPilotError(
            "columns are missing",
            where="int_decision_candidates",
            values=missing,
            next_step="name the signals of offer_effect_priors.csv as int_reason_signals does",
        )
    figures = read_figures(batch, inputs)
    probability = numbers(batch, "churn_probability")
    valued = value_figures(probability, figures, inputs)
    customer_value_cents = nearest_cents(valued.customer_value)
    by_rule = batch.column("suppression_reason").is_valid().to_numpy(zero_copy_only=False)
    return ValuedBatch(
        nearest_cents(valued.expected_value),
        cents_up(valued.expected_cost),
        valued.effect_sd,
        customer_value_cents,
        valued.relative_risk,
        probability,
        figures.allowed,
        by_rule | (customer_value_cents < nearest_cents(inputs.policy.minimum_customer_value)),
    )


def decide(customers: CustomersAtRisk, inputs: DecisionInputs, limits: Limits, learning: Limits) -> Decisions:
    """Decide for all customers at risk, in order of customer_id.

    Parameters
    ----------
    customers : CustomersAtRisk
        Values in whole cents, permissions and draws of n customers.
    inputs : DecisionInputs
        Policy, offers and their effects.
    limits, learning : Limits
        What the month has left, and how much of it a trial may use, money in the policy's currency.
    """
    randomised = randomise(customers, inputs, limits, learning)
    situation, trial = randomised.situation, randomised.trial
    plan = choose_actions(
        situation.expected_value,
        situation.expected_cost,
        situation.allowed,
        limits=situation.limits,
        touch_price=float(nearest_cents(inputs.policy.touch_price)),
        tie_order=np.arange(customers.number),
    )
    share = inputs.policy.pick_holdout_share
    arms = randomisation.withhold(randomised.arms, plan.choice, customers.draws["pick_draw"], share)
    choice = np.where(plan.choice >= 0, plan.choice, trial.assigned).astype(np.int8)
    chosen = customers.value_cents[np.arange(len(choice)), choice]
    done, nothing = randomisation.propensities(arms, trial.propensity, trial.propensity_no_action, share)
    return Decisions(
        choice,
        arms,
        (choice >= 0) & (arms != randomisation.PICK_HOLDOUT) & ~trial.is_withdrawn,
        np.where(choice >= 0, chosen, 0.0),
        done,
        nothing,
        _summary(plan, situation),
        policy_version(inputs),
    )


def randomise(
    customers: CustomersAtRisk, inputs: DecisionInputs, limits: Limits, learning: Limits
) -> RandomisedArms:
    """Draw the universal holdout and the trial, before the policy chooses for the other customers."""
    limits, draws, cost = limits.in_cents(), customers.draws, customers.cost_cents
    arms = randomisation.first_arms(draws["universal_draw"], customers.suppressed, inputs.policy)
    # Which offers a trial has depends on what the month and its learning budget have left before any draw, so that
    # propensities stay exact.
    learning = learning.in_cents()
    fits = limits.open_offers() & learning.open_offers() & (cost <= min(limits.budget, learning.budget))
    trial = trial_inclusion(
        TrialCandidates(
            customers.churn_probability,
            customers.customer_value_cents,
            customers.effect_sd,
            cost,
            customers.plausible & fits & (arms == randomisation.NOT_CHOSEN)[:, None],
        ),
        learning,
        draws["trial_draw"],
        draws["trial_offer_draw"],
        load_settings().trial,
    )
    arms[trial.is_included] = randomisation.TRIAL
    made = np.flatnonzero((trial.assigned >= 0) & ~trial.is_withdrawn)
    contacts = np.bincount(trial.assigned[made], minlength=len(inputs.offers))
    situation = Situation(
        customers.value_cents,
        cost,
        customers.allowed & (arms == randomisation.NOT_CHOSEN)[:, None],
        customers.churn_probability,
        customers.customer_value_cents,
        limits.after(float(cost[made, trial.assigned[made]].sum()), contacts),
    )
    return RandomisedArms(arms, trial, situation)


def policy_version(inputs: DecisionInputs) -> str:
    """Return a hash of everything that decides besides the customers and what the month has left."""
    content = {
        "rules": DECISION_RULES,
        "policy": asdict(inputs.policy),
        "offers": [asdict(offer) for offer in inputs.offers],
        "signals": inputs.effects.signals,
        "effects": _rounded(inputs.effects.mean),
        "effect_covariance": _rounded(inputs.effects.covariance),
        "measured": inputs.effects.is_measured.tolist(),
        "acceptance_features": inputs.acceptance.features,
        "acceptance": _rounded(inputs.acceptance.log_odds),
        "acceptance_centre": _rounded(inputs.acceptance.centre),
        "acceptance_sd": _rounded(inputs.acceptance.sd),
        "retention_curves": asdict(inputs.curves),
        "trial": asdict(load_settings().trial),
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _rounded(numbers: Floats) -> list[Any]:
    rounded: list[Any] = (np.round(numbers, DIGITS) + 0.0).tolist()
    return rounded


def _summary(plan: Plan, situation: Situation) -> PlanSummary:
    """Return the totals of a plan. Plans are worth whole cents, so that the bound in whole cents is still a bound."""
    prices = {name: price if name == "budget" else price / CENTS for name, price in plan.prices.items()}
    return PlanSummary(
        value=float(money(plan.value)),
        spend=float(money(plan.spend)),
        contacts=tuple(plan.contacts.tolist()),
        bound=float(money(np.rint(plan.bound))),
        gap=round(plan.gap, DIGITS),
        budget_price=round(plan.budget_price, DIGITS),
        prices={name: round(price, DIGITS) for name, price in prices.items()},
        references={
            name: float(money(plan_of(situation).value)) for name, plan_of in REFERENCE_POLICIES.items()
        },
    )


def numbers(batch: pa.RecordBatch, name: str) -> Floats:
    """Return one numeric column, nulls as NaN (which the economics refuse)."""
    return np.asarray(batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
