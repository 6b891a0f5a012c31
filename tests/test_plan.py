"""A whole run's plan: every kind of customer, exact cents, limits, streams and versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from decision_data import (
    NO_TRIAL,
    candidates,
    decision_inputs,
    effect_tables,
    effects,
    known_effects,
    offers,
    offers_table,
    policy,
    policy_table,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from models_ml.decisions.decide import policy_version
from models_ml.decisions.done_value import done_value_table
from models_ml.decisions.limits import Limits, month_limits
from models_ml.decisions.offer_beliefs import EffectBeliefs
from models_ml.decisions.planned_actions import (
    PLANNED_ACTIONS_SCHEMA,
    PlanTables,
    plan_actions,
    planned_actions_reader,
)
from models_ml.decisions.policy import Policy
from models_ml.errors import BayesPilotError

HALVING = effects(np.log(0.5), np.log(0.9))  # what the call and the nudge do to the odds of churn


def unsure(call_sd: float, nudge_sd: float) -> EffectBeliefs:
    """Effects as above on average, each known only to its sd."""
    return replace(HALVING, covariance=np.diag(np.square([call_sd, nudge_sd])))


def planned(
    *batches: pa.RecordBatch,
    by: Policy | None = None,
    bounds: Limits | None = None,
    learning: Limits = NO_TRIAL,
    works: EffectBeliefs = HALVING,
) -> list[dict[str, Any]]:
    chosen = by or policy()
    reader = plan_actions(
        lambda: iter(batches),
        decision_inputs(chosen, offers(), works),
        bounds or month_limits(chosen, offers()),
        learning,
    )
    table = reader.read_all()
    table.validate(full=True)
    assert table.schema == PLANNED_ACTIONS_SCHEMA
    return table.to_pylist()


def test_a_contact_by_hand() -> None:
    row = planned(candidates(1))[0]
    # V = 50 + 0.5 · 50 = 75; the call: p falls from 1/2 to 1/3, 0.5 · (1 − 2/3) · 75 − 9 − 0.3 · 10 = 0.5;
    # the nudge: odds 0.9, p = 0.9 / 1.9, (0.5 − 0.9 / 1.9) · 75 − 0.25 = 1.72.
    assert (row["planned_action"], row["action"], row["channel"], row["arm"]) == (
        "nudge",
        "nudge",
        "email",
        "policy",
    )
    assert (row["customer_value"], row["planned_cost"]) == (75.0, 0.25)
    assert row["planned_value"] == 1.72
    assert row["relative_risk"] == pytest.approx(0.9 / 1.9 / 0.5, abs=1e-9)
    assert (row["propensity"], row["propensity_no_action"]) == (1.0, 0.0)
    assert (row["effect_source"], row["suppression_reason"]) == ("assumed", None)
    assert (row["plan_value_bound"], row["plan_gap"], row["budget_price"]) == (1.72, 0.0, 0.0)
    assert row["reference_top_risk_value"] == 1.72


def test_every_kind_of_customer() -> None:
    shares = policy(universal_holdout_share=0.1, pick_holdout_share=0.2, minimum_customer_value=20.0)
    low, high = 0.0, 0.999
    rows = planned(
        candidates(
            8,
            monthly_revenue=[100.0] * 4 + [5.0] + [100.0] * 3,
            offers_allowed=np.array([3, 3, 3, 2, 3, 3, 3, 0]),
            suppression_reason=pa.array(["cool_down", "cool_down", *[None] * 6], pa.string()),
            universal_draw=[low, high, low, high, high, high, high, high],
            pick_draw=[high, high, high, low, high, high, high, high],
            trial_draw=[high, low, high, low, low, low, low, low],
            trial_offer_draw=[high, high, high, high, high, 0.1, high, high],
        ),
        by=shares,
        learning=month_of(100.0, 40, calls=9),
        works=unsure(0.3, 0.0),
    )
    seen = [(row["arm"], row["planned_action"], row["action"], row["suppression_reason"]) for row in rows]
    assert seen == [
        ("universal_holdout", "no_action", "no_action", None),
        ("suppressed", "no_action", "no_action", "cool_down"),
        ("universal_holdout", "no_action", "no_action", None),
        ("pick_holdout", "nudge", "no_action", None),  # nothing is unknown of the nudge: no trial
        ("suppressed", "no_action", "no_action", "below_minimum_value"),
        ("trial", "call", "call", None),
        ("trial", "no_action", "no_action", None),
        ("not_chosen", "no_action", "no_action", None),
    ]
    # The nudge has the smallest share, 0.05; the rest is split between the call and nothing.
    on_trial = [pytest.approx(0.475)] * 2
    assert [row["propensity"] for row in rows] == [1, 1, 1, 0.2, 1, *on_trial, 1]
    assert [row["propensity_no_action"] for row in rows][3:7] == [0.2, 1, *on_trial]
    nothing = [row for row in rows if row["planned_action"] == "no_action"]
    assert {(row["planned_cost"], row["planned_value"], row["relative_risk"]) for row in nothing} == {
        (0.0, 0.0, 1.0)
    }
    assert {row["channel"] for row in rows if row["action"] == "no_action"} == {None}


def test_trial_contacts_come_first_in_the_limits() -> None:
    batch = candidates(
        3, offers_allowed=np.array([2, 3, 3]), trial_draw=[0.9, 0.0, 0.001], trial_offer_draw=[0.9, 0.1, 0.1]
    )
    bounds = month_of(100.0, 9, calls=1)
    rows = planned(batch, bounds=bounds, learning=bounds, works=unsure(0.3, 0.0))
    assert [(row["arm"], row["planned_action"], row["action"]) for row in rows] == [
        ("policy", "nudge", "nudge"),
        ("trial", "call", "call"),
        ("trial", "call", "no_action"),  # there is one call: withdrawn, but still of that arm
    ]


def test_offers_that_could_never_pay_are_not_tried() -> None:
    # p · V = 0.5 · 15 = 7.5 covers a nudge, but no call at 12.
    rows = planned(
        candidates(1, monthly_revenue=[20.0], trial_draw=[0.0], trial_offer_draw=[0.49]),
        learning=month_of(100.0, 9, calls=9),
        works=unsure(0.3, 0.3),
    )
    assert (rows[0]["action"], rows[0]["propensity"]) == ("nudge", 0.5)


@pytest.mark.parametrize("of", ["month", "trial"])
@pytest.mark.parametrize("closed", ["offer", "channel", "money"])
def test_an_offer_that_is_switched_off_or_used_up_stops_no_trial(closed: str, of: str) -> None:
    batch = candidates(9, trial_draw=[0.0] * 9, trial_offer_draw=[0.1, 0.6, 0.3] * 3)
    bounds = month_of(100.0, 40, calls=9)
    if closed == "offer":
        bounds = replace(bounds, offer_capacity=np.array([0.0, 40.0]))
    elif closed == "channel":
        bounds = replace(bounds, channel_capacity=dict(bounds.channel_capacity) | {"phone": 0.0})
    else:
        bounds = replace(bounds, budget=11.0)
    month = bounds if of == "month" else month_of(100.0, 40, calls=9)
    rows = planned(batch, bounds=month, learning=bounds, works=unsure(0.3, 0.3))
    assert [row["arm"] for row in rows] == ["trial"] * 9
    assert [row["action"] for row in rows] == ["nudge", "no_action", "nudge"] * 3
    assert {(row["propensity"], row["propensity_no_action"]) for row in rows} == {(0.5, 0.5)}


def test_withheld_slots_are_not_refilled() -> None:
    rows = planned(
        candidates(3, pick_draw=[0.0, 0.9, 0.9]),
        by=policy(pick_holdout_share=0.5),
        bounds=month_of(1.0, 2),
    )
    assert [row["arm"] for row in rows] == ["pick_holdout", "policy", "not_chosen"]


def month_of(budget: float, nudges: float, calls: float = 0.0) -> Limits:
    channels = {"phone": 9.0, "email": 99.0}
    return Limits(budget, np.array([calls, nudges]), channels, ("phone", "email"), ("call", "nudge"))


def test_batches_do_not_matter() -> None:
    whole = random_candidates(7, 500)
    expected = planned(whole, bounds=month_of(20.0, 60))
    split = [whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 99), whole.slice(100)]
    assert planned(*split, bounds=month_of(20.0, 60)) == expected


def random_candidates(seed: int, customers: int) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    reasons = rng.choice(["cool_down", None], customers, p=[0.1, 0.9])
    drawn = ("universal_draw", "pick_draw", "trial_draw", "trial_offer_draw")
    return candidates(
        customers,
        churn_probability=rng.beta(1, 5, customers),
        monthly_revenue=rng.lognormal(4, 1, customers),
        offers_allowed=rng.integers(0, 4, customers),
        suppression_reason=pa.array(reasons.tolist(), pa.string()),
        **{name: rng.random(customers) for name in drawn},
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    budget=st.integers(0, 40_000),
    touch_cents=st.integers(0, 300),
    learning_share=st.sampled_from([0.0, 0.3]),
    acceptance=st.floats(0.0, 1.0),
)
def test_reported_cents_keep_every_limit_and_the_certificate(
    seed: int, budget: int, touch_cents: int, learning_share: float, acceptance: float
) -> None:
    steered_by = policy(
        touch_price=touch_cents / 100,
        pick_holdout_share=0.1,
        universal_holdout_share=0.05,
    )
    named = tuple(replace(offer, acceptance_rate=acceptance) for offer in offers())
    channels = {"phone": 8.0, "email": 90.0}
    bounds = Limits(budget / 100, np.array([8.0, 70.0]), channels, ("phone", "email"), ("call", "nudge"))
    batch = random_candidates(seed, 300)
    works = unsure(0.2, 0.2)
    reader = plan_actions(
        lambda: iter([batch]),
        decision_inputs(steered_by, named, works),
        bounds,
        bounds.scaled(learning_share),
    )
    rows = [
        row
        for row in reader.read_all().to_pylist()
        if (row["arm"], row["action"]) != ("trial", "no_action")  # a withdrawn contact uses nothing
    ]
    cents = {
        column: [round(row[column] * 100) for row in rows] for column in ("planned_cost", "planned_value")
    }
    for column, amounts in cents.items():
        assert [row[column] for row in rows] == [amount / 100 for amount in amounts]
    assert sum(cents["planned_cost"]) <= budget
    actions = [row["planned_action"] for row in rows]
    assert actions.count("call") <= 8
    assert actions.count("nudge") <= 70
    by_policy = [row["arm"] in ("policy", "pick_holdout") for row in rows]
    steered = sum(
        value - touch_cents for value, mine in zip(cents["planned_value"], by_policy, strict=True) if mine
    )
    bound, gap = round(rows[0]["plan_value_bound"] * 100), rows[0]["plan_gap"]
    assert steered <= bound
    assert gap * bound == pytest.approx(bound - steered, abs=0.501)  # the bound is rounded to cents
    assert all(
        value > touch_cents for value, mine in zip(cents["planned_value"], by_policy, strict=True) if mine
    )


def test_prices_of_all_limits_are_reported_in_money() -> None:
    row = planned(candidates(2), bounds=month_of(100.0, 1))[0]
    prices = json.loads(row["limit_prices"])
    assert set(prices) == {"budget", "offer call", "offer nudge", "channel email", "channel phone"}
    assert prices["offer nudge"] == pytest.approx(1.72)
    assert row["budget_price"] == prices["budget"] == 0.0


def test_top_risk_uses_the_same_limits() -> None:
    batch = candidates(2, churn_probability=[0.9, 0.2], monthly_revenue=[1.0, 400.0])
    row = planned(batch, bounds=month_of(0.25, 9))[0]
    assert row["reference_top_risk_value"] < 0 < row["plan_value_bound"]


def test_measured_effects_are_named() -> None:
    works = replace(HALVING, is_measured=np.array([[False], [True]]))
    assert planned(candidates(1), works=works)[0]["effect_source"] == "measured"


def test_an_effect_is_measured_where_all_that_bears_on_the_customer_is() -> None:
    works = replace(
        known_effects(("pain",), np.array([[0.5, 0.0], [-0.5, -0.1]])),
        is_measured=np.array([[False, False], [True, False]]),
    )
    rows = planned(candidates(3, signal_pain=[0.0, 1.5, 0.0], offers_allowed=[3, 3, 0]), works=works)
    assert [row["planned_action"] for row in rows] == ["nudge", "nudge", "no_action"]
    assert [row["effect_source"] for row in rows] == ["measured", "assumed", "assumed"]


def test_harm_is_not_planned() -> None:
    rows = planned(candidates(3), works=effects(0.5, 0.1))
    assert {row["planned_action"] for row in rows} == {"no_action"}


def test_a_customer_below_the_price_of_the_limits_differs_from_one_without_a_useful_offer() -> None:
    batch = candidates(3, churn_probability=[0.5, 0.5, 0.0])
    rows = planned(batch, bounds=month_of(0.25, 40))
    assert [row["planned_action"] for row in rows] == ["nudge", "no_action", "no_action"]
    assert [row["has_worthwhile_offer"] for row in rows] == [True, True, False]
    closed = planned(candidates(1, offers_allowed=np.array([0])))
    assert [row["has_worthwhile_offer"] for row in closed] == [False]


def test_policy_version_follows_everything_that_decides() -> None:
    inputs = decision_inputs(policy(), offers(), HALVING)
    versions = {
        policy_version(inputs),
        policy_version(replace(inputs, policy=policy(touch_price=0.5))),
        policy_version(replace(inputs, offers=(replace(offers()[0], contact_cost="8"), offers()[1]))),
        policy_version(replace(inputs, offers=(offers()[0], replace(offers()[1], eligible_when="false")))),
        policy_version(replace(inputs, effects=effects(np.log(0.5), np.log(0.8)))),
        policy_version(replace(inputs, acceptance=replace(inputs.acceptance, sd=np.full((2, 1), 0.3)))),
    }
    assert len(versions) == 6
    assert policy_version(decision_inputs(policy(), offers(), effects(np.log(0.5), np.log(0.9)))) in versions


def test_nobody_at_risk_is_an_empty_typed_plan() -> None:
    assert planned(candidates(0)) == []
    assert planned() == []


def test_customers_that_change_between_the_passes_stop_the_run() -> None:
    answers = iter([[candidates(3)], [candidates(2)]])
    read: Callable[[], list[pa.RecordBatch]] = lambda: next(answers)  # noqa: E731
    reader = plan_actions(read, decision_inputs(), month_limits(policy(), offers()), NO_TRIAL)
    with pytest.raises(BayesPilotError, match="3 customers were decided, but 2"):
        reader.read_all()


def test_a_signal_without_a_column_is_named() -> None:
    works = known_effects(("mood",), np.zeros((2, 2)))
    with pytest.raises(BayesPilotError, match="signal_mood"):
        planned(candidates(1), works=works)


def warehouse(batch: pa.RecordBatch) -> tuple[duckdb.DuckDBPyConnection, PlanTables]:
    connection = duckdb.connect()
    amounts = [("budget", "EUR", 0.5), ("offer", "call", 9.0), ("offer", "nudge", 9.0)]
    amounts += [("channel", name, 9.0) for name in ("email", "phone", "push")]
    tables = {
        "int_decision_candidates": pa.Table.from_batches([batch]),
        "int_policy_parameters": policy_table(),
        "int_offers": offers_table(),
        **effect_tables(np.log(0.5), np.log(0.9)),
        "int_month_limits": pa.Table.from_pylist(
            [
                {"limit_type": kind, "limit_name": name, "available": amount, "available_for_trials": 0.0}
                for kind, name, amount in amounts
            ]
        ),
    }
    for name, table in tables.items():
        connection.register("given", table)
        connection.execute(f"create table {name} as select * from given")
    return connection, PlanTables(**{name: f"select * from {name}" for name in tables})


def test_the_reader_orders_customers_itself() -> None:
    shuffled = candidates(5).take(pa.array([3, 0, 4, 2, 1]))
    connection, tables = warehouse(shuffled)
    rows = planned_actions_reader(connection.cursor(), tables).read_all().to_pylist()
    assert [row["customer_id"] for row in rows] == [f"c{at:06d}" for at in range(5)]
    assert [row["action"] for row in rows] == ["nudge", "nudge", "no_action", "no_action", "no_action"]


def test_an_empty_build_reads_no_parameters() -> None:
    connection, tables = warehouse(candidates(0))
    without = replace(tables, int_policy_parameters="select * from nowhere")
    reader = planned_actions_reader(connection.cursor(), without)
    assert reader.schema == PLANNED_ACTIONS_SCHEMA
    assert reader.read_all().num_rows == 0


def test_what_is_done_has_a_value_and_an_interval() -> None:
    connection, tables = warehouse(candidates(5, pick_draw=[0.0, 0.999, 0.999, 0.999, 0.999]))
    uncertain = effect_tables(np.log(0.5), np.log(0.9))["offer_effects"].to_pylist()
    rows = [each | {"effect_sd": 0.2} for each in uncertain]
    connection.register("given", pa.Table.from_pylist(rows))
    connection.execute("create table unsure as from given")
    wide = replace(tables, offer_effects="from unsure")
    planned_rows = planned_actions_reader(connection.cursor(), wide).read_all()
    connection.register("given", planned_rows)
    connection.execute("create table planned as from given")
    found = done_value_table(connection, wide, "from planned").to_pylist()[0]
    done = [row for row in planned_rows.to_pylist() if row["action"] != "no_action"]
    assert len(done) == 2
    believed = sum(row["planned_value"] for row in done)
    assert found["done_value"] + found["done_optimism"] == pytest.approx(believed, abs=0.01)
    assert found["done_value_low"] < found["done_value"] < found["done_value_high"]
    # Each contact is a nudge, worth 1.72 against 0.50 of the call; errors move both by p (1 − p) V · 0.2 a standard error.
    error = 75 * 0.2 * np.random.default_rng(0).standard_normal((2, 100_000))
    under = np.array([[1 / 3], [0.9 / 1.9]])
    shift = error * under * (1 - under)
    call, nudge = shift + np.array([[0.5], [1.72]])
    of_chosen = np.where(nudge > call, shift[1], shift[0])[np.maximum(nudge, call) > 0]
    assert found["done_optimism"] == pytest.approx(2 * of_chosen.mean(), rel=0.15)
    # W is nearly linear in one effect of sd 0.2: ± 1.28 · 0.2 · Σ p (1 − p) V.
    width = 2 * 1.2816 * 0.2 * 2 * 0.25 * 75
    assert found["done_value_high"] - found["done_value_low"] == pytest.approx(width, rel=0.15)
    # Where limits cost nothing, errors of the call's acceptance choose it again for some draws; here it is known.
    cost = sum(row["planned_cost"] for row in done)
    names = ("budget", *(f"offer {name}" for name in ("call", "nudge")), "channel phone", "channel email")
    prices = json.dumps(dict.fromkeys(names, 0.0))
    free = f"select * replace ('{prices}' as limit_prices) from planned"
    [known] = done_value_table(connection, wide, free).to_pylist()
    assert known["done_cost"] == found["done_cost"] == pytest.approx(cost, abs=0.01)
    connection.execute(
        "create table rates as select * replace (5e-1 as log_odds_sd) from int_measured_acceptance"
    )
    [guessed] = done_value_table(
        connection, replace(wide, int_measured_acceptance="from rates"), free
    ).to_pylist()
    assert guessed["done_cost"] > known["done_cost"]
    assert guessed["done_optimism"] > known["done_optimism"]
    nothing = "select * from planned where false"
    assert done_value_table(connection, wide, nothing).num_rows == 0
