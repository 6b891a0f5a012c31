"""One month judged by the truth: what BayesPilot did, what simpler policies and the best plan would have earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models_ml.decisions.choose import Plan, choose_actions
from models_ml.decisions.decide import Candidates, Terms, collect
from models_ml.decisions.limits import Limits, limits_in_cents, nearest_cents, read_limits
from models_ml.decisions.policy import read_offer_effects, read_offers, read_policy
from models_ml.decisions.references import POLICIES, Situation
from simulation.business import Business
from simulation.valuation import Floats, Truth, read_truth, true_values, value_of

OWN, UNMEASURED, BEST = "BayesPilot", "nothing withheld", "best possible"
TRIAL = "trial"
DELIVERABLE = "select action_id, customer_id, action from retention_actions_deliverable order by customer_id"
DECIDED = """
    select customer_id, planned_action, action, arm, incremental_expected_value
    from retention_actions order by customer_id"""


@dataclass(frozen=True)
class MonthInputs:
    """What a run decided on (n customers in order of customer_id) and the truth about the same customers."""

    customer_id: tuple[str, ...]
    signals: Floats
    candidates: Candidates
    terms: Terms
    limits: Limits
    truth: Truth


@dataclass(frozen=True)
class Appraisal:
    """What one month was worth, money by the truth.

    ``values`` per policy; ``trial`` is the part of BayesPilot's contacts that chance chose for the trial,
    ``withheld`` what the contacts withheld as pick-holdouts would have brought; ``expected`` is what
    BayesPilot believed its contacts to be worth.
    """

    values: Mapping[str, float]
    trial: float
    withheld: float
    expected: float
    contacts: int
    customers: int


def read_inputs(business: Business, truth: pa.Table) -> MonthInputs:
    """Read the inputs of the latest run from the warehouse, and join the truth."""
    offers = read_offers(business.read("from int_measured_offers"))
    effects = read_offer_effects(business.read("from offer_effects"), offers)
    terms = Terms(read_policy(business.read("from int_policy_parameters")), offers, effects)
    rows = business.read("from int_decision_candidates order by customer_id")
    customer_id = tuple(rows["customer_id"].to_pylist())
    signals = [rows[f"signal_{name}"].to_numpy() for name in effects.signals]
    return MonthInputs(
        customer_id,
        np.column_stack(signals),
        collect(rows.to_batches(), terms),
        terms,
        read_limits(business.read("from int_month_limits"), offers),
        read_truth(truth, customer_id, [offer.offer for offer in offers]),
    )


def appraise(inputs: MonthInputs, delivered: pa.Table, decided: pa.Table) -> Appraisal:
    """Value what was delivered, and every other policy on the same customers and limits.

    BayesPilot pays for what it withholds and tries out; the others may contact everyone whom no rule
    suppresses, with all that the month has left. ``nothing withheld`` is BayesPilot's own choice made that
    way: without holdouts and trial.
    """
    values = true_values(inputs.truth, inputs.terms.policy)
    situation = believed_situation(inputs)
    worth = {name: value_of(follow(situation).choice, values) for name, follow in POLICIES.items()}
    own = _choice(inputs, delivered, "action")
    planned, done = (_choice(inputs, decided, column) for column in ("planned_action", "action"))
    free = _plan(situation, situation.expected_value, float(nearest_cents(inputs.terms.policy.touch_price)))
    in_trial = np.isin(inputs.customer_id, _customers_in(decided, TRIAL))
    return Appraisal(
        values={
            OWN: value_of(own, values),
            UNMEASURED: value_of(free.choice, values),
            **worth,
            BEST: value_of(best_plan(situation, values).choice, values),
        },
        trial=value_of(np.where(in_trial, own, -1), values),
        withheld=value_of(np.where(done < 0, planned, -1), values),
        expected=_expected(delivered, decided),
        contacts=int((own >= 0).sum()),
        customers=len(own),
    )


def believed_situation(inputs: MonthInputs) -> Situation:
    """Return the month as a reference policy sees it: nobody held out, nobody on trial; money in cents."""
    candidates = inputs.candidates
    cost = np.broadcast_to(inputs.terms.cost_cents, candidates.value_cents.shape)
    return Situation(
        candidates.value_cents,
        cost,
        candidates.allowed & ~candidates.suppressed[:, None],
        candidates.churn_probability,
        candidates.customer_value_cents,
        limits_in_cents(inputs.limits),
    )


def best_plan(situation: Situation, values: Floats) -> Plan:
    """Return the plan of the decision function itself when it is told the true values (n, k)."""
    return _plan(situation, nearest_cents(values), 0.0)


def _plan(situation: Situation, values: Floats, touch_price: float) -> Plan:
    """Return the plan that maximises values in cents within the situation's limits."""
    return choose_actions(
        values,
        situation.expected_cost,
        situation.allowed,
        limits=situation.limits,
        touch_price=touch_price,
        tie_order=np.arange(len(values)),
    )


def _choice(inputs: MonthInputs, rows: pa.Table, column: str) -> NDArray[np.int64]:
    """Return the position (n,) of the offer in a column for each customer, −1 for nothing."""
    names = {offer.offer: position for position, offer in enumerate(inputs.terms.offers)}
    chosen = dict(zip(rows["customer_id"].to_pylist(), rows[column].to_pylist(), strict=True))
    return np.array([names.get(chosen.get(customer, ""), -1) for customer in inputs.customer_id])


def _customers_in(decided: pa.Table, arm: str) -> list[str]:
    pairs = zip(decided["customer_id"].to_pylist(), decided["arm"].to_pylist(), strict=True)
    return [customer for customer, of in pairs if of == arm]


def _expected(delivered: pa.Table, decided: pa.Table) -> float:
    believed = dict(
        zip(
            decided["customer_id"].to_pylist(),
            decided["incremental_expected_value"].to_pylist(),
            strict=True,
        )
    )
    return float(sum(believed[customer] for customer in delivered["customer_id"].to_pylist()))
