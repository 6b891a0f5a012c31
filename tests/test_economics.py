"""What a contact is worth, by hand and as invariants; parameters that refuse what makes no sense."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from decision_data import effects, offers, offers_table, policy, policy_table
from hypothesis import given
from hypothesis import strategies as st

from models_ml.decisions.economics import (
    customer_value,
    incremental_expected_value,
    relative_risk,
    value_offers,
)
from models_ml.decisions.limits import month_limits, read_limits
from models_ml.decisions.policy import (
    DecisionInputs,
    Offer,
    OfferEffects,
    Policy,
    read_offer_effects,
    read_offers,
    read_policy,
)
from models_ml.errors import BayesPilotError

probabilities = st.floats(0.0, 1.0)


def test_customer_value_of_two_discounted_periods() -> None:
    chosen = policy(annual_discount_rate=0.1)
    margin = 60.0 * 0.5
    expected = margin * 1.1 ** (-45 / 365) + 0.8 * margin * 1.1 ** (-75 / 365)
    assert customer_value([60.0], [0.2], chosen) == pytest.approx([expected], rel=1e-12)


def test_last_period_is_cut_at_the_value_horizon() -> None:
    chosen = policy(value_horizon_days=75)
    assert customer_value([60.0], [0.2], chosen) == pytest.approx([30.0 + 0.8 * 15.0])


def test_certain_churn_is_worth_one_period_and_no_churn_the_annuity() -> None:
    chosen = policy(value_horizon_days=365)
    assert customer_value([60.0, 60.0], [1.0, 0.0], chosen) == pytest.approx([30.0, 335.0])


def test_value_of_one_day_horizons_stays_finite() -> None:
    chosen = policy(horizon_days=1, value_horizon_days=31)
    assert customer_value([60.0], [0.0], chosen) == pytest.approx([30.0])


def test_customers_who_cost_money_are_worth_nothing_rather_than_worth_losing() -> None:
    assert customer_value([-60.0], [0.5], policy()).tolist() == [0.0]


@given(low=probabilities, high=probabilities, revenue=st.floats(0.0, 1e6), rate=st.floats(0.0, 2.0))
def test_customer_value_falls_with_own_hazard(low: float, high: float, revenue: float, rate: float) -> None:
    low, high = sorted((low, high))
    chosen = policy(value_horizon_days=365, annual_discount_rate=rate)
    steady, leaving = customer_value([revenue, revenue], [low, high], chosen)
    assert steady >= leaving >= 0


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_probabilities_that_are_none_are_refused(wrong: float) -> None:
    with pytest.raises(BayesPilotError, match="churn_probability"):
        customer_value([60.0, 60.0], [0.5, wrong], policy())


def test_relative_risk_from_odds() -> None:
    # Odds 1/3 times e^(ln 2 · (1 + 0.5)) with the signal at 0.5 and both coefficients ln 2.
    both = OfferEffects(("declining_engagement",), np.log([[2.0, 2.0]]), np.array([False]))
    odds = 2**1.5 / 3
    assert relative_risk([0.25], [[0.5]], both) == pytest.approx(np.array([[odds / (1 + odds) / 0.25]]))


@given(p0=probabilities, log_odds=st.floats(-1e4, 1e4))
def test_relative_risk_is_a_finite_probability_ratio(p0: float, log_odds: float) -> None:
    risk = relative_risk([p0], np.empty((1, 0)), effects(log_odds))[0, 0]
    assert np.isfinite(risk)
    assert 0.0 <= p0 * risk <= 1.0 + 1e-12
    assert (risk - 1.0) * log_odds >= -1e-9 * abs(log_odds)  # it harms exactly where log-odds rise


def test_relative_risk_does_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(3)
    p0, signals = rng.random(1_001), rng.random((1_001, 6))
    six = OfferEffects(tuple("abcdef"), rng.normal(size=(4, 7)), np.zeros(4, dtype=bool))
    whole = relative_risk(p0, signals, six)
    parts = [relative_risk(p0[at : at + 7], signals[at : at + 7], six) for at in range(0, 1_001, 7)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_incremental_expected_value_subtracts_contact_and_incentive() -> None:
    assert incremental_expected_value(0.5, 0.8, 300.0, 9.0, 0.3, 10.0) == pytest.approx(30.0 - 9.0 - 3.0)
    assert incremental_expected_value(0.5, 1.2, 300.0, 0.0, 0.0, 0.0) == pytest.approx(-30.0)


def test_value_offers_composes_the_formulas() -> None:
    valued = value_offers(
        [0.5], [60.0], np.empty((1, 0)), DecisionInputs(policy(), offers(), effects(np.log(0.5), 0.0))
    )
    worth = 30.0 + 0.5 * 30.0
    assert valued.customer_value == pytest.approx([worth])
    assert valued.relative_risk == pytest.approx(np.array([[2 / 3, 1.0]]))
    assert valued.expected_cost == pytest.approx(np.array([[12.0, 0.25]]))
    assert valued.expected_value == pytest.approx(np.array([[0.5 / 3 * worth - 12.0, -0.25]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contact_cost": -2.0}, r"offers\.csv, offer nudge: contact_cost -2"),
        ({"incentive_cost": None}, r"offers\.csv, offer nudge: incentive_cost is missing"),
        ({"acceptance_rate": 1.2}, r"offers\.csv, offer nudge: acceptance_rate 1\.2"),
        ({"monthly_capacity": None}, r"offers\.csv, offer nudge: monthly_capacity is missing"),
        ({"channel": " "}, r"offers\.csv, offer nudge: channel ' ' must be a text"),
        ({"channel": "phone"}, r"channels\.csv, channel phone: the channel has two capacities"),
        ({"offer": "no_action"}, r"offers\.csv, offer no_action: the name"),
        ({"offer": "call"}, r"offers\.csv, offer call: the offer occurs twice"),
    ],
)
def test_wrong_offers_name_their_row(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BayesPilotError, match=message):
        read_offers(offers_table(**changes))


def test_offers_come_in_order_of_position() -> None:
    shuffled = offers_table().take([1, 0])
    assert [offer.offer for offer in read_offers(shuffled)] == ["call", "nudge"]


def test_a_trial_of_twenty_offers_is_refused() -> None:
    rows = offers_table().to_pylist()
    many = [rows[0] | {"offer": f"offer {at}", "offer_position": at} for at in range(20)]
    read_offers(pa.Table.from_pylist(many[:19]))
    with pytest.raises(BayesPilotError, match="20 offers"):
        read_offers(pa.Table.from_pylist(many))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pick_holdout_share": 0.04}, "pick_holdout_share 0.04 must be 0, or at least 0.05"),
        ({"margin_rate": 1.5}, "margin_rate 1.5"),
        ({"horizon_days": 28.5}, "horizon_days 28.5 must be a whole number"),
        ({"monthly_budget": None}, "monthly_budget is missing"),
        ({"value_horizon_days": 30}, "horizon_days: 30 must be less than value_horizon_days, 30"),
        ({"review_from": 0.5}, r"review_from: 0\.5 must be less than escalate_from, 0\.3"),
        ({"review_from": 0.3}, r"review_from: 0\.3 must be less than escalate_from, 0\.3"),
        ({"pacing": "daily"}, "pacing 'daily' must be one of none, linear"),
        ({"currency": "EURO"}, "currency 'EURO' must be 3 letters"),
        ({"randomisation_salt": " "}, "randomisation_salt ' ' must be a text"),
    ],
)
def test_wrong_parameters_name_their_row(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BayesPilotError, match=r"policy\.csv, parameter .*" + message):
        read_policy(policy_table(**changes))


# The lowest and the highest value of each number; None: unbounded. A bound that is excluded is written as the nearest
# value inside.
POLICY_RANGES: dict[str, tuple[float, float | None]] = {
    "horizon_days": (1, 365),
    "at_risk_days": (1, 365),
    "training_month_ends": (3, 120),
    "minimum_history_days": (0, 3650),
    "payment_grace_days": (0, 365),
    "resume_grace_days": (0, 365),
    "margin_rate": (1e-9, 1.0),
    "value_horizon_days": (2, 3650),
    "annual_discount_rate": (0.0, 1 - 1e-9),
    "monthly_budget": (0.0, None),
    "touch_price": (0.0, None),
    "cool_down_days": (0, 3650),
    "action_valid_days": (1, 365),
    "minimum_customer_value": (0.0, None),
    "universal_holdout_share": (0.0, 0.5),
    "pick_holdout_share": (0.0, 0.95),
    "trial_share": (0.0, 1.0),
    "review_from": (1e-9, 0.5 - 1e-9),
    "escalate_from": (1e-9, 1 - 1e-9),
}
OFFER_RANGES: dict[str, tuple[float, float | None]] = {
    "contact_cost": (0.0, None),
    "incentive_cost": (0.0, None),
    "acceptance_rate": (0.0, 1.0),
    "monthly_capacity": (0, None),
    "channel_capacity": (0, None),
    "lock_out_days": (0, 3650),
}
COMPANIONS = {  # what else must change so that a value breaks no rule between two parameters
    "horizon_days": {"value_horizon_days": 3650},
    "value_horizon_days": {"horizon_days": 1},
    "review_from": {"escalate_from": 0.5},
    "escalate_from": {"review_from": 1e-10},
}


def beyond(value: float, direction: int) -> float:
    """The nearest value that a bound at ``value`` must refuse."""
    return value + direction * (1 if isinstance(value, int) else 1e-9)


def test_every_number_of_the_policy_and_of_offers_has_its_range_here() -> None:
    numbers = {field.name for field in fields(Policy) if field.type != "str"}
    assert numbers == POLICY_RANGES.keys()
    assert {field.name for field in fields(Offer) if field.type != "str"} == OFFER_RANGES.keys()


@pytest.mark.parametrize("name", POLICY_RANGES)
def test_parameters_end_at_their_bounds(name: str) -> None:
    lowest, highest = POLICY_RANGES[name]
    others = COMPANIONS.get(name, {})
    for value in (lowest,) if highest is None else (lowest, highest):
        assert getattr(read_policy(policy_table(**{name: value}, **others)), name) == value
    for value in (beyond(lowest, -1), np.inf if highest is None else beyond(highest, 1)):
        with pytest.raises(BayesPilotError, match=f"parameter {name}: "):
            read_policy(policy_table(**{name: value}, **others))


@pytest.mark.parametrize("name", OFFER_RANGES)
def test_offers_end_at_their_bounds(name: str) -> None:
    lowest, highest = OFFER_RANGES[name]
    for value in (lowest,) if highest is None else (lowest, highest):
        assert getattr(read_offers(offers_table(**{name: value}))[1], name) == value
    for value in (beyond(lowest, -1), np.inf if highest is None else beyond(highest, 1)):
        with pytest.raises(BayesPilotError, match=f"offer nudge: {name} "):
            read_offers(offers_table(**{name: value}))


def test_policy_is_read_as_it_stands() -> None:
    assert read_policy(policy_table(pick_holdout_share=0.05)) == policy(pick_holdout_share=0.05)


def effect_row(offer: str, signal: str, mean: float | None, source: str = "assumed") -> dict[str, object]:
    return {"offer": offer, "signal": signal, "effect_mean": mean, "effect_sd": 0.1, "effect_source": source}


def test_effects_become_one_row_per_offer() -> None:
    rows = [
        effect_row("nudge", "declining_engagement", -0.3),
        effect_row("nudge", "intercept", 0.1),
        effect_row("call", "intercept", -0.2, "measured"),
    ]
    read = read_offer_effects(pa.Table.from_pylist(rows), offers())
    assert read.signals == ("declining_engagement",)
    assert read.coefficients.tolist() == [[-0.2, 0.0], [0.1, -0.3]]
    assert read.measured.tolist() == [True, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("call", "intercept", 0.1)], "offer nudge, signal intercept: the row is missing"),
        ([("fax", "intercept", 0.1)], "offer fax, signal intercept: the offer is not"),
        ([("call", "intercept", 0.1)] * 2, "the pair occurs twice"),
        ([("call", "intercept", float("nan"))], "not a finite number"),
        ([("call", "intercept", None)], "not a finite number"),
    ],
)
def test_wrong_effects_name_their_row(rows: list[tuple[str, str, float | None]], message: str) -> None:
    table = pa.Table.from_pylist([effect_row(*row) for row in rows])
    with pytest.raises(BayesPilotError, match=r"offer_effect_priors\.csv, .*" + message):
        read_offer_effects(table, offers())


def limit_rows() -> list[dict[str, object]]:
    named = [("budget", "EUR", 50.0), ("offer", "call", 4.0), ("offer", "nudge", 9.0)]
    named += [("channel", "email", 8.0), ("channel", "phone", 3.0), ("channel", "push", 7.0)]
    return [{"limit_type": kind, "limit_name": name, "available": amount} for kind, name, amount in named]


def test_limits_of_the_month() -> None:
    left = read_limits(pa.Table.from_pylist(limit_rows()), offers())
    assert (left.budget, left.offer_capacity.tolist()) == (50.0, [4.0, 9.0])
    assert left.channel_capacity == {"email": 8.0, "phone": 3.0, "push": 7.0}
    whole = month_limits(policy(), offers())
    assert (whole.budget, whole.offer_capacity.tolist()) == (100.0, [10.0, 40.0])


@pytest.mark.parametrize("dropped", [0, 1, 4])
def test_a_missing_limit_is_not_taken_for_no_limit(dropped: int) -> None:
    rows = limit_rows()
    del rows[dropped]
    with pytest.raises(BayesPilotError, match="no limit for"):
        read_limits(pa.Table.from_pylist(rows), offers())


# p, relative risk, V, contact, acceptance, incentive -> v, worked by hand.
@pytest.mark.parametrize(
    ("what", "arguments", "value"),
    [
        # 1 % would leave, 40 % take the discount of 24 anyway: 0.01 · 0.2 · 500 = 1 saved for 9.85.
        ("would-be stayers take the discount", (0.01, 0.8, 500.0, 0.25, 0.4, 24.0), -8.85),
        # The contact drives away another 5 in 100: −0.05 · 300 − 0.25.
        ("an offer that harms", (0.2, 1.25, 300.0, 0.25, 0.25, 0.0), -15.25),
        # Nearly certain to leave and hardly to be moved: 0.99 · 0.01 · 200 = 1.98 for a call of 12.
        ("a lost cause", (0.99, 0.99, 200.0, 9.0, 0.3, 10.0), -10.02),
        # Half the risk gone, but only 0.40 at stake: 0.5 · 0.5 · 0.4 − 0.25.
        ("a tiny value", (0.5, 0.5, 0.4, 0.25, 0.25, 0.0), -0.15),
        # The same effect on somebody worth something: 0.5 · 0.5 · 400 − 0.25.
        ("the same on a large one", (0.5, 0.5, 400.0, 0.25, 0.25, 0.0), 99.75),
    ],
)
def test_expected_value_by_hand(what: str, arguments: tuple[float, ...], value: float) -> None:
    assert incremental_expected_value(*arguments) == pytest.approx(value), what
