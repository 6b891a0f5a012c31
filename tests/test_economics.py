"""What a contact is worth, by hand and as invariants; parameters that refuse what makes no sense."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
from decision_data import (
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

from models_ml.decisions.economics import read_figures, value_figures
from models_ml.decisions.limits import month_limits, read_limits
from models_ml.decisions.offer_beliefs import AcceptanceModel, read_acceptance, read_beliefs
from models_ml.decisions.policy import Offer, Policy, read_offers, read_policy
from models_ml.errors import BayesPilotError


def test_rows_of_the_warehouse_are_valued_with_costs_of_their_own() -> None:
    inputs = decision_inputs(works=effects(np.log(0.5), 0.0))
    rows = candidates(2, monthly_revenue=[60.0, 60.0], incentive_cost_0=[10.0, 20.0])
    valued = value_figures([0.5, 0.5], read_figures(rows, inputs), inputs)
    worth = 30.0 + 0.5 * 30.0  # half of those who stay leave in the period after
    assert valued.customer_value == pytest.approx([worth] * 2)
    assert valued.relative_risk == pytest.approx(np.array([[2 / 3, 1.0]] * 2))
    assert valued.expected_cost == pytest.approx(np.array([[12.0, 0.25], [15.0, 0.25]]))
    assert valued.expected_value == pytest.approx(
        np.array([[0.5 / 3 * worth - 12.0, -0.25], [0.5 / 3 * worth - 15.0, -0.25]])
    )


def test_customers_who_accept_more_cost_more() -> None:
    both = known_effects(("pain",), np.zeros((2, 2)))
    eager = AcceptanceModel(
        ("call", "nudge"),
        ("pain",),
        np.array([[0.0, np.log(3)], [0.0, 0.0]]),
        np.array([[1.0], [0.0]]),
        np.zeros((2, 2)),
        np.zeros(2, bool),
    )
    inputs = replace(decision_inputs(works=both), acceptance=eager)
    rows = candidates(2, signal_pain=[1.0, 2.0])
    valued = value_figures([0.5, 0.5], read_figures(rows, inputs), inputs)
    assert valued.expected_cost[:, 0] == pytest.approx([9 + 10 / 2, 9 + 10 * 3 / 4])


@pytest.mark.parametrize(("column", "wrong"), [("contact_cost_1", -1.0), ("incentive_cost_1", np.nan)])
def test_a_cost_that_is_none_names_its_expression(column: str, wrong: float) -> None:
    inputs = decision_inputs()
    rows = candidates(2, **{column: [wrong, 1.0]})
    with pytest.raises(BayesPilotError, match="of offer nudge is missing or below 0 for 1 customers"):
        read_figures(rows, inputs)
    only_call = candidates(2, offers_allowed=np.array([1, 1]), **{column: [wrong, 1.0]})
    assert read_figures(only_call, inputs).contact_cost[:, 0].tolist() == [9.0, 9.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contact_cost": ""}, r"offers\.csv, offer nudge: contact_cost '' must be"),
        ({"incentive_cost": None}, r"offers\.csv, offer nudge: incentive_cost is missing"),
        ({"acceptance_rate": 1.2}, r"offers\.csv, offer nudge: acceptance_rate 1\.2"),
        ({"monthly_capacity": None}, r"offers\.csv, offer nudge: monthly_capacity is missing"),
        ({"channel": " "}, r"offers\.csv, offer nudge: channel ' ' must be a name"),
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
    many = [rows[0] | {"offer": f"offer_{at}", "offer_position": at} for at in range(20)]
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
    "training_dates": (3, 120),
    "training_step_days": (1, 365),
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
    "sync_days": (1, 3650),
    "minimum_customer_value": (0.0, None),
    "universal_holdout_share": (0.0, 0.5),
    "pick_holdout_share": (0.0, 0.95),
    "learning_share": (0.0, 0.5),
    "offer_effect_correlation": (0.0, 0.99),
    "review_from": (1e-9, 0.5 - 1e-9),
    "escalate_from": (1e-9, 1 - 1e-9),
}
OFFER_RANGES: dict[str, tuple[float, float | None]] = {
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


def covariance_table(*rows: tuple[str, str, str, str, float]) -> pa.Table:
    names = ("offer", "signal", "other_offer", "other_signal", "covariance")
    schema = effect_tables()["offer_effect_covariances"].schema
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


def test_effects_become_one_row_per_offer() -> None:
    rows = [
        effect_row("nudge", "declining_engagement", -0.3),
        effect_row("nudge", "intercept", 0.1),
        effect_row("call", "intercept", -0.2, "measured"),
    ]
    stored = covariance_table(("nudge", "intercept", "nudge", "declining_engagement", -0.004))
    read = read_beliefs(pa.Table.from_pylist(rows), stored, ("call", "nudge"), 0.5)
    assert read.signals == ("declining_engagement",)
    assert read.mean.tolist() == [[-0.2, 0.0], [0.1, -0.3]]
    assert read.is_measured.tolist() == [[True, False], [False, False]]
    # The call has no effect along the signal, for certain; the two intercepts are correlated by half.
    expected = [
        [0.01, 0.0, 0.005, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [0.005, 0.0, 0.01, -0.004],
        [0.0, 0.0, 0.0, 0.01],
    ]
    assert read.covariance == pytest.approx(np.array(expected))


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
        read_beliefs(table, covariance_table(), ("call", "nudge"), 0.5)


def test_acceptance_is_read_in_the_order_of_the_offers() -> None:
    table = effect_tables()["int_measured_acceptance"]
    read = read_acceptance(table, ("nudge", "call"))
    assert (1 / (1 + np.exp(-read.log_odds[:, 0]))).round(9).tolist() == [0.25, 0.3]
    with pytest.raises(BayesPilotError, match="fax, intercept"):
        read_acceptance(table, ("fax", "call"))


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
