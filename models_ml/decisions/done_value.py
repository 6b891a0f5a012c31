r"""The table ``int_done_value``: what the contacts that are to be made are worth, with an interval.

The interval says how far the sum moves with effects that are not known exactly. For a fixed set of contacts (i, o) and
effects b,

    W(b) = Σ [σ(logit p_0i + a·1) − σ(logit p_0i + a·1 + b_o·z_i)]·V_i − Σ cost_io

is drawn for b from the posterior, all offers together, since what makes one offer weaker than believed may make another
so as well. The common shift a ~ N(0, shift_sd²) is what the churn probabilities of all customers may be off by. The
interval holds the middle share of the draws; its centre is the expected value, the mean over the posterior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.decisions.decide import value_batch
from models_ml.decisions.economics import acceptance_features, read_figures
from models_ml.decisions.limits import money, read_prices
from models_ml.decisions.offer_beliefs import EffectBeliefs, Floats, acceptance_probability, drawn_errors
from models_ml.decisions.optimism import ChosenContacts, Optimism, selection_optimism
from models_ml.decisions.planned_actions import PlanTables, read_inputs
from models_ml.decisions.policy import DecisionInputs
from models_ml.decisions.randomisation import ARMS, POLICY
from models_ml.decisions.settings import PlanValueSettings, load_settings

SHARE = 0.8  # of the posterior that the interval holds
CENTS = 2
DONE_VALUE_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("done_value", pa.float64()),
        ("done_value_low", pa.float64()),
        ("done_value_high", pa.float64()),
        ("done_optimism", pa.float64()),
        ("done_cost", pa.float64()),
    ]
)

BATCH_ROWS = 4_096  # contacts at a time: draws × rows × 8 bytes are held thrice


def done_value_table(cursor: Any, tables: PlanTables, int_planned_actions: str) -> pa.Table:  # noqa: ANN401
    """Return one row for the run; none where it has no customers.

    ``done_value`` is what the contacts are expected to be worth less ``done_optimism``, by which choosing them made
    their expected values add up to too much; the interval moves with it. ``done_cost`` is the sum of their expected
    costs and by how much choosing made it too low.

    Parameters
    ----------
    cursor : duckdb cursor
    tables : PlanTables
    int_planned_actions : str
        A select that yields the table of that name.
    """
    (as_of_date,) = cursor.execute(f"select max(as_of_date) from ({int_planned_actions})").fetchall()[0]
    if as_of_date is None:
        return DONE_VALUE_SCHEMA.empty_table()
    inputs = read_inputs(cursor, tables)
    done = cursor.sql(
        f"""
        select
            candidates.*, planned.action as done_action, planned.arm as done_arm, planned.limit_prices as limit_prices,
            planned.customer_value as customer_value, planned.planned_cost as planned_cost,
            planned.planned_value as planned_value
        from ({int_planned_actions}) as planned
        inner join ({tables.int_decision_candidates}) as candidates
            on planned.customer_id = candidates.customer_id
        where planned.action <> 'no_action'
        order by planned.customer_id
        """
    ).to_arrow_table()
    worth, optimism = value_of_done(done, inputs), optimism_of_done(done, inputs)
    expected, cost = (math.fsum(done[name].to_pylist()) for name in ("planned_value", "planned_cost"))
    row = {
        "as_of_date": as_of_date,
        "done_value": round(expected - optimism.value, CENTS),
        "done_value_low": round(worth.low - optimism.value, CENTS),
        "done_value_high": round(worth.high - optimism.value, CENTS),
        "done_optimism": round(optimism.value, CENTS),
        "done_cost": round(cost + optimism.cost, CENTS),
    }
    return pa.Table.from_pylist([row], schema=DONE_VALUE_SCHEMA)


def value_of_done(done: pa.Table, inputs: DecisionInputs) -> PlanValue:
    """Return mean and interval of what contacts are worth, taken as given.

    ``done`` holds done_action, churn_probability, customer_value, planned_cost and the signals of each contact.
    """
    settings = load_settings().plan_value
    names = [offer.offer for offer in inputs.offers]
    contacts = Contacts(
        offer=np.array([names.index(action) for action in done["done_action"].to_pylist()], dtype=np.int64),
        churn_probability=done["churn_probability"].to_numpy(),
        customer_value=done["customer_value"].to_numpy(),
        expected_cost=done["planned_cost"].to_numpy(),
        signals=_signals_of(done, inputs),
    )
    return plan_value_interval(
        contacts, inputs.effects, share=SHARE, shift_sd=settings.churn_shift_sd, settings=settings
    )


def optimism_of_done(done: pa.Table, inputs: DecisionInputs) -> Optimism:
    """Return by how much the expected values add up to too much, and the costs to too little.

    Contacts that chance put on trial were not chosen for their value and add nothing.
    """
    chosen = done.filter(pc.equal(done["done_arm"], ARMS[POLICY])).combine_chunks()
    if not chosen.num_rows:
        return Optimism(0.0, 0.0)
    [rows] = chosen.to_batches()
    valued = value_batch(rows, inputs)
    prices = read_prices(rows.column("limit_prices")[0].as_py(), inputs.offers, inputs.policy.touch_price)
    net = money(prices.surplus(valued.value_cents, valued.cost_cents))
    under_offer = valued.churn_probability[:, None] * valued.relative_risk
    figures = read_figures(rows, inputs)
    features = acceptance_features(figures, inputs)
    accepts = acceptance_probability(features, inputs.acceptance)
    contacts = ChosenContacts(
        net_value=np.where(valued.allowed, net, -np.inf),
        value_per_effect=-under_offer * (1.0 - under_offer) * money(valued.customer_value_cents)[:, None],
        signals=_signals_of(chosen, inputs),
        cost_per_acceptance=figures.incentive_cost * accepts * (1.0 - accepts),
        features=features,
        money_price=prices.money,
    )
    settings = load_settings().plan_value
    effects, _ = drawn_effects(inputs.effects, settings.optimism_draws, settings.seed)
    errors = drawn_errors(inputs.acceptance, settings.optimism_draws, settings.seed + 1)
    return selection_optimism(contacts, effects - inputs.effects.mean, errors)


def _signals_of(done: pa.Table, inputs: DecisionInputs) -> Floats:
    signals = [done[f"signal_{name}"].to_numpy() for name in inputs.effects.signals]
    return np.column_stack(signals) if signals else np.empty((done.num_rows, 0))


@dataclass(frozen=True)
class Contacts:
    """n planned contacts.

    ``offer`` (n,) is the position of the offer, ``churn_probability`` (n,) in [0, 1] if left alone, ``customer_value``
    (n,) and ``expected_cost`` (n,) money, ``signals`` (n, s) as the beliefs name them.
    """

    offer: NDArray[np.int64]
    churn_probability: Floats
    customer_value: Floats
    expected_cost: Floats
    signals: Floats


@dataclass(frozen=True)
class PlanValue:
    """Expected value of a plan and the ends of its interval, money."""

    expected: float
    low: float
    high: float


def plan_value_interval(
    contacts: Contacts,
    beliefs: EffectBeliefs,
    *,
    share: float,
    shift_sd: float,
    settings: PlanValueSettings,
) -> PlanValue:
    """Return mean and interval of what the contacts are worth.

    Parameters
    ----------
    contacts : Contacts
    beliefs : EffectBeliefs
    share : float
        In (0, 1): how much of the posterior the interval holds.
    shift_sd : float
        ≥ 0, log-odds by which the churn probabilities may be off, all alike.
    settings : PlanValueSettings
        Number and seed of the draws; they come in opposite pairs, so that an effect of which W is linear has its mean
        exactly.

    Examples
    --------
    One customer who leaves with probability 1/2, worth 400; the effect is known: the odds are halved.

    >>> known = EffectBeliefs(("a",), (), np.log([[0.5]]), np.zeros((1, 1)), np.zeros((1, 1), bool))
    >>> one = Contacts(np.array([0]), np.array([0.5]), np.array([400.0]), np.array([6.0]), np.empty((1, 0)))
    >>> found = plan_value_interval(one, known, share=0.8, shift_sd=0.0, settings=PlanValueSettings(10, 1, 0.1, 1))
    >>> round(found.low, 4), round(found.expected, 4), round(found.high, 4)
    (60.6667, 60.6667, 60.6667)
    """
    cost = math.fsum(contacts.expected_cost.tolist())
    effects, shift = drawn_effects(beliefs, settings.draws, settings.seed)
    shift *= shift_sd
    total = np.full(len(shift), -cost)
    for offer in np.unique(contacts.offer):
        rows = np.flatnonzero(contacts.offer == offer)
        for start in range(0, len(rows), BATCH_ROWS):
            total += _saved(contacts, rows[start : start + BATCH_ROWS], effects[:, offer], shift)
    low, high = np.quantile(total, [(1.0 - share) / 2.0, (1.0 + share) / 2.0])
    return PlanValue(float(total.mean()), float(low), float(high))


def _saved(contacts: Contacts, rows: NDArray[np.int64], effects: Floats, shift: Floats) -> Floats:
    """Return the margin that some contacts with one offer keep under each draw, shape (draws,)."""
    with np.errstate(divide="ignore"):
        log_odds = logit(contacts.churn_probability[rows])
    moved = np.repeat(effects[:, :1], len(rows), axis=1)
    for column in range(contacts.signals.shape[1]):
        moved += effects[:, 1 + column, None] * contacts.signals[rows, column]
    alone = log_odds + shift[:, None]
    moved += alone
    fewer = expit(alone, out=alone)
    fewer -= expit(moved, out=moved)
    return np.asarray(np.einsum("ij,j->i", fewer, contacts.customer_value[rows]))


def drawn_effects(beliefs: EffectBeliefs, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Return effects (draws, k, 1 + s) from the posterior, in opposite pairs, and standard normal shifts (draws,)."""
    values, vectors = np.linalg.eigh(beliefs.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    half = np.random.default_rng(seed).standard_normal((math.ceil(draws / 2), len(root) + 1))
    normal = np.concatenate([half, -half])
    effects = beliefs.mean.ravel() + np.einsum("ij,kj->ik", normal[:, 1:], root)
    return effects.reshape(len(normal), *beliefs.mean.shape), normal[:, 0]
