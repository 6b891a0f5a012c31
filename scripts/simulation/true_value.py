"""What contacts are truly worth within the horizon: by the world's hidden truth, never by what BayesPilot believes.

The decisions of a month are valued beside those of simpler policies and of the best possible plan, all on the same
customers and within the same limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from demo_world.truth import truth
from numpy.typing import NDArray

from models_ml.decisions.choose import Plan, choose_actions
from models_ml.decisions.decide import CustomersAtRisk
from models_ml.decisions.limits import Limits, nearest_cents
from models_ml.decisions.policy import DecisionInputs, Policy
from models_ml.decisions.references import REFERENCE_POLICIES, Situation
from models_ml.decisions.retention_curves import DAYS_PER_MONTH
from models_ml.decisions.what_if import read_what_if_inputs
from models_ml.errors import BayesPilotError
from simulation.true_survival import days_kept
from simulation.world import World

Floats = NDArray[np.float64]
ALONE = "no_action"
OWN, NOTHING_WITHHELD, BEST = "BayesPilot", "nothing withheld", "best possible"
NOBODY = "contact nobody"
SIMPLE_RULES = ("fixed thresholds", "break-even", "top risk")  # what a plan must beat, besides NOBODY
TRIAL, WITHHELD = "trial", "pick_holdout"  # arms
DELIVERABLE = "select action_id, customer_id, action from retention_actions_deliverable order by customer_id"
DECIDED = """
    select customer_id, planned_action, action, arm, incremental_expected_value
    from retention_actions order by customer_id"""


@dataclass(frozen=True)
class MonthInputs:
    """The inputs of a run (n customers in order of customer_id) and the truth about the same customers.

    ``signals`` is (n, n_signals); ``limits`` is what the month has left, money in the policy's currency.
    """

    customer_id: tuple[str, ...]
    signals: Floats
    customers: CustomersAtRisk
    decision: DecisionInputs
    limits: Limits
    truth: Truth


@dataclass(frozen=True)
class MonthValue:
    """What one month is truly worth, money in the policy's currency.

    ``by_policy`` holds BayesPilot, the reference policies and the best possible plan. Of BayesPilot: ``trial`` is
    the value of the contacts that the trial assigned at random, ``withheld`` what the contacts withheld as
    pick-holdouts would have brought, ``expected`` what BayesPilot expected of its contacts.
    """

    by_policy: Mapping[str, float]
    trial: float
    withheld: float
    expected: float
    contacts: int
    customers: int


def read_month(connection: duckdb.DuckDBPyConnection, world: World) -> MonthInputs:
    """Read the inputs of the latest run from its warehouse, and join the truth about its customers.

    Raises
    ------
    BayesPilotError
        When the world is on another day than the run, or is another world.
    """
    inputs = read_what_if_inputs(connection)
    columns = ", ".join(f"signal_{name}" for name in inputs.decision.effects.signals)
    rows = connection.sql(
        f"select customer_id, {columns} from int_decision_candidates order by customer_id"
    ).to_arrow_table()
    customer_id = tuple(rows["customer_id"].to_pylist())
    return MonthInputs(
        customer_id,
        np.column_stack([column.to_numpy() for column in rows.columns[1:]]),
        inputs.customers,
        inputs.decision,
        inputs.month.left(inputs.decision.offers),
        read_truth(
            truth(world.state),
            inputs.as_of_date,
            customer_id,
            [offer.offer for offer in inputs.decision.offers],
            true_days(world, customer_id, inputs.decision.policy),
        ),
    )


def true_days(world: World, customer_id: Sequence[str], policy: Policy) -> Floats:
    """Return the discounted days (n,) that the customers would truly stay after the horizon, once saved.

    A customer that the world does not know has none: :func:`read_truth` refuses it.
    """
    kept = days_kept(
        world.state,
        value_horizon_days=policy.value_horizon_days,
        annual_discount_rate=policy.annual_discount_rate,
    )
    wanted = np.array([int(each) for each in customer_id], dtype=np.int64)
    position = np.searchsorted(world.state.traits.customer_id, wanted)
    return np.asarray(kept[np.minimum(position, len(kept) - 1)])


def value_month(inputs: MonthInputs, delivered: pa.Table, decided: pa.Table) -> MonthValue:
    """Value what was delivered, and every other policy on the same customers and limits.

    Holdouts and trial cost BayesPilot contacts; the other policies may contact every customer who is not
    suppressed by a rule, with all that the month has left. ``nothing withheld`` is BayesPilot's own choice under
    these conditions.
    """
    values = true_values(inputs.truth)
    situation = unrestricted(inputs)
    references = {
        name: value_of(follow(situation).choice, values) for name, follow in REFERENCE_POLICIES.items()
    }
    own = _choice(inputs, delivered, "action")
    planned = _choice(inputs, decided, "planned_action")
    touch_price = float(nearest_cents(inputs.decision.policy.touch_price))
    free = _plan(situation, situation.expected_value, touch_price)
    in_trial, is_withheld = (
        np.isin(inputs.customer_id, _customers_in(decided, arm)) for arm in (TRIAL, WITHHELD)
    )
    return MonthValue(
        by_policy={
            OWN: value_of(own, values),
            NOTHING_WITHHELD: value_of(free.choice, values),
            **references,
            BEST: value_of(best_plan(situation, values).choice, values),
        },
        trial=value_of(np.where(in_trial, own, -1), values),
        withheld=value_of(np.where(is_withheld, planned, -1), values),
        expected=_expected(delivered, decided),
        contacts=int((own >= 0).sum()),
        customers=len(own),
    )


def unrestricted(inputs: MonthInputs) -> Situation:
    """Return the month without holdouts and trial, as a reference policy would face it; money in cents."""
    customers = inputs.customers
    return Situation(
        customers.value_cents,
        customers.cost_cents,
        customers.allowed & ~customers.suppressed[:, None],
        customers.churn_probability,
        customers.customer_value_cents,
        inputs.limits.in_cents(),
    )


def best_plan(situation: Situation, values: Floats) -> Plan:
    """Return the plan of the decision function itself, given the true values (n, k), money."""
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
    names = {offer.offer: position for position, offer in enumerate(inputs.decision.offers)}
    chosen = dict(zip(rows["customer_id"].to_pylist(), rows[column].to_pylist(), strict=True))
    return np.array([names.get(chosen.get(customer, ""), -1) for customer in inputs.customer_id])


def _customers_in(decided: pa.Table, arm: str) -> list[str]:
    return decided.filter(pc.equal(decided["arm"], arm))["customer_id"].to_pylist()


def _expected(delivered: pa.Table, decided: pa.Table) -> float:
    believed = dict(
        zip(
            decided["customer_id"].to_pylist(),
            decided["incremental_expected_value"].to_pylist(),
            strict=True,
        )
    )
    return float(sum(believed[customer] for customer in delivered["customer_id"].to_pylist()))


@dataclass(frozen=True)
class Truth:
    """The hidden truth of n customers and k offers, for contacts on the day after the decision.

    Probabilities: ``churn_alone`` (n,), ``churn`` (n, k) and ``acceptance`` (n, k). Money: ``contact_cost``
    (n, k), ``incentive_cost`` (n, k) due on acceptance, ``monthly_margin`` (n,). ``days_kept`` (n,): discounted days
    that a customer would stay after the horizon, once saved.
    """

    churn_alone: Floats
    churn: Floats
    acceptance: Floats
    contact_cost: Floats
    incentive_cost: Floats
    monthly_margin: Floats
    days_kept: Floats


def read_truth(
    table: pa.Table, as_of_date: date, customer_id: Sequence[str], offers: Sequence[str], days_kept: Floats
) -> Truth:
    """Read the table of :func:`demo_world.truth.truth` for a day and some customers and offers, in their order.

    ``days_kept`` belongs to the same customers and passes through.

    Raises
    ------
    BayesPilotError
        When the table has no row of that day for a customer and offer: it is of another day or another world.
    """
    of_day = table.filter(pc.equal(table["as_of_date"], pa.scalar(as_of_date)))
    wanted = pa.array([int(each) for each in customer_id], pa.int64())

    def column(offer: str, name: str) -> Floats:
        rows = of_day.filter(pc.equal(of_day["offer"], offer))
        at = pc.index_in(wanted, value_set=rows["customer_id"].combine_chunks())
        if at.null_count:
            raise BayesPilotError(
                f"the truth of {as_of_date} lacks {at.null_count} of {len(customer_id)} customers under {offer}",
                where="the truth of the demo world",
                values=[each for each, row in zip(customer_id, at.to_pylist(), strict=True) if row is None],
                next_step="generate the world and build it again",
            )
        return np.asarray(
            rows[name].combine_chunks().take(at).cast(pa.float64()).to_numpy(zero_copy_only=False)
        )

    def columns(name: str) -> Floats:
        return np.column_stack([column(offer, name) for offer in offers])

    return Truth(
        churn_alone=column(ALONE, "churn_probability"),
        churn=columns("churn_probability"),
        acceptance=columns("acceptance_probability"),
        contact_cost=columns("contact_cost"),
        incentive_cost=columns("incentive_cost"),
        monthly_margin=column(ALONE, "monthly_margin"),
        days_kept=days_kept,
    )


def true_values(truth: Truth) -> Floats:
    """Return what contacting each customer with each offer is truly worth, shape (n, k), money.

    The policy's own formula with the truth in place of its estimates,

        v_ia = (p0 − p_a) · V − c − q_a · g_ia,

    where p0 and p_a are the true probabilities of leaving within the horizon, q_a the true acceptance, and V the true
    monthly margin over the time that this customer would stay without further contact
    (:func:`simulation.true_survival.days_kept`). Money per month counts as money per 30 days, as
    the policy counts it.

    Like the formula, this counts what a contact changes within the horizon alone. In the demo world, half of an effect
    is still felt a month later and an accepted offer relieves what drives the customer away: followed for a year, the
    thousand best contacts of one world of 10,000 customers brought about twice as much.
    """
    lost = truth.monthly_margin / DAYS_PER_MONTH * truth.days_kept
    saved = (truth.churn_alone[:, None] - truth.churn) * lost[:, None]
    return np.asarray(saved - truth.contact_cost - truth.acceptance * truth.incentive_cost)


def value_of(choice: NDArray[np.int64], values: Floats) -> float:
    """Return the sum of the values (n, k) of a choice (n,) of offers, −1 for nothing.

    Examples
    --------
    >>> value_of(np.array([1, -1, 0]), np.array([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]]))
    18.0
    """
    rows = np.flatnonzero(choice >= 0)
    return math.fsum(values[rows, choice[rows]].tolist())
