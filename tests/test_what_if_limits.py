"""Limits of a what-if by hand: what pacing opens of the month, and which amounts are tried."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from decision_data import decision_inputs, offers, policy
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.decisions.decide import PlanSummary, policy_version
from models_ml.decisions.what_if import Answer, Curve, Month, MonthLimit, OpenDays, between, open_days
from models_ml.errors import BayesPilotError
from models_ml.reports import what_if_page
from models_ml.reports.page import Page, Table, Text
from models_ml.reports.policy_data import LIMITS, OFFERS, TIERS, read_changed_inputs
from models_ml.reports.what_if_page import capacity_prices

MONTH = Month(
    (
        MonthLimit("budget", "EUR", 100.1, 20.0, 0.0),
        MonthLimit("offer", "call", 10.0, 1.0, 0.0),
        MonthLimit("offer", "nudge", 39.0, 12.0, 0.0),
        MonthLimit("channel", "phone", 7.0, 0.0, 0.0),
        MonthLimit("channel", "email", 50.0, 3.0, 0.0),
    ),
    open_days=OpenDays(7, 28),
)


def test_pacing_opens_the_month_day_by_day() -> None:
    assert open_days(date(2026, 2, 7), policy(pacing="linear")) == (7, 28)
    assert open_days(date(2026, 2, 7), policy(pacing="none")) == (1, 1)


def test_open_contacts_are_rounded_down_and_money_to_cents() -> None:
    # A quarter of the month: 25.025 of 100.1, 2.5 of 10, 9.75 of 39, 1.75 of 7 and 12.5 of 50, less what is used.
    left = MONTH.left(offers())
    assert left.budget == pytest.approx(5.02)
    assert left.offer_capacity.tolist() == [1.0, 0.0]
    assert left.channel_capacity == {"phone": 1.0, "email": 9.0}
    assert (left.offer_names, left.offer_channel) == (("call", "nudge"), ("phone", "email"))


def test_money_is_rounded_to_the_cent_of_the_build() -> None:
    for monthly, passed, of_month, share in [
        (1555.95, 25, 30, 0.1),  # 1,296.625
        (724.03, 15, 30, 1.0),  # a little less than 362.015
        (1408.25, 1, 1, 0.1),  # a little more than 140.825
        (2955.0, 19, 30, 0.05),
    ]:
        paced = "?::double * ? / ?"
        [built] = duckdb.execute(
            f"select round({paced}, 2), round({paced} * ?, 2)",
            [monthly, passed, of_month, monthly, passed, of_month, share],
        ).fetchall()
        limit, days = MonthLimit("budget", "EUR", monthly, 0.0, 0.0), OpenDays(passed, of_month)
        assert (limit.available(days), limit.available_for_trials(days, share)) == built


def test_another_amount_of_one_limit_leaves_the_others() -> None:
    changed = MONTH.with_limit(MONTH.find("call"), 19.0)
    assert changed.left(offers()).offer_capacity.tolist() == [3.0, 0.0]
    assert changed.left(offers()).channel_capacity == MONTH.left(offers()).channel_capacity


def test_a_month_without_the_limit_of_an_offer_is_refused() -> None:
    without = Month(tuple(limit for limit in MONTH.limits if limit.name != "phone"), MONTH.open_days)
    with pytest.raises(BayesPilotError, match="no limit for channel phone"):
        without.left(offers())


def test_a_name_of_both_an_offer_and_a_channel_means_the_offer() -> None:
    both = Month((*MONTH.limits, MonthLimit("offer", "email", 1.0, 0.0, 0.0)), MONTH.open_days)
    assert both.find("email").kind == "offer"
    assert both.find("channel:email").kind == "channel"
    assert both.find("budget").name == "EUR"
    with pytest.raises(BayesPilotError, match="no capacity of the name offer:phone"):
        both.find("offer:phone")


def test_amounts_between_are_whole_and_reach_the_largest() -> None:
    limit = MonthLimit("budget", "EUR", 600.0, 0.0, 0.0)
    amounts = between(limit, [1000.0], customers=100)
    assert (amounts[0], amounts[-1], len(amounts)) == (0.0, 1000.0, 21)
    assert between(limit, [1000.0], customers=10_000_000) == []


def test_prices_name_the_limits_that_bind() -> None:
    assert capacity_prices({"budget": 1.0, "offer call": 0.0}) == "–"
    assert capacity_prices({"channel email": 0.5, "offer call": 2.0}) == "call 2.00, email 0.50"


def answer(monthly: float, available: float, value: float) -> Answer:
    prices = {"budget": 0.9}
    summary = PlanSummary(
        value, 60.0, (3,), value, 0.0, 0.9, prices, {"greedy": value, "contact nobody": 0.0}
    )
    return Answer(monthly, available, summary)


def page_of(budgets: list[Answer]) -> Page:
    """Return the page of tonight's plans, where 350 EUR a month is the present budget."""
    decision = SimpleNamespace(policy=SimpleNamespace(currency="EUR"))
    curve = Curve(MonthLimit("budget", "EUR", 350.0, 240.0, 0.0), tuple(budgets), tuple(budgets))
    inputs: Any = SimpleNamespace(
        decision=decision, as_of_date=date(2026, 6, 15), customers=SimpleNamespace(number=9)
    )
    with patch.multiple(what_if_page, value_curve=no_figure, price_curve=no_figure):
        return what_if_page.whatif_page([curve], source="acme", inputs=inputs, warning=None)


def no_figure(*_: object) -> Text:
    return Text("")


def test_a_plan_in_mid_month_is_that_of_what_is_open() -> None:
    present, more = answer(350.0, 110.0, 70.0), answer(700.0, 460.0, 200.0)
    page = page_of([present, more])
    assert page.verdict == (
        "Tonight's plan, with 110 EUR of 350 EUR a month open to it, is expected to return 70 EUR net;"
        " with 460 EUR of 700 EUR it would return 200 EUR."
    )
    table = next(block for block in page.sections[0].blocks if isinstance(block, Table))
    assert table.columns[:3] == ("budget a month", "open now", "cost")
    assert [row[:3] for row in table.rows] == [("350", "110", "60.00"), ("700", "460", "60.00")]
    assert page_of([present]).verdict.endswith("is expected to return 70 EUR net.")


def test_the_page_of_a_source_names_its_own_command() -> None:
    assert "bayespilot run --source acme --selector decide" in page_of([answer(350.0, 110.0, 70.0)]).footer


def test_an_offer_that_a_trial_had_no_room_for_is_not_planned() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            """
            create table retention_actions as
            select *, case when action <> 'no_action' then 'phone' end as channel from (values
                ('policy', 'call', 'call', 9.0, 20.0, 'review', 0.5, 100.0),
                ('pick_holdout', 'no_action', 'call', 9.0, 10.0, 'review', 0.5, 100.0),
                ('trial', 'no_action', 'call', 9.0, -4.0, 'review', 0.5, 100.0),
                ('not_chosen', 'no_action', 'no_action', 0.0, 0.0, 'review', 0.5, 100.0)
            ) as rows (arm, action, planned_action, planned_cost, planned_value, risk_tier, churn_probability,
                customer_value);
            create table int_offers as select 'call' as offer, 'Call them' as action_label, 'phone' as channel;
            create table int_month_limits as select * from (values
                ('budget', 'EUR', 50.0, 0.0), ('offer', 'call', 5.0, 0.0), ('channel', 'phone', 5.0, 0.0)
            ) as rows (limit_type, limit_name, monthly_limit, used);
            """
        )
        [offer] = connection.sql(OFFERS).to_arrow_table().to_pylist()
        [tier] = connection.sql(TIERS).to_arrow_table().to_pylist()
        limits = connection.sql(LIMITS).to_arrow_table().to_pylist()
        connection.execute("delete from int_offers")  # a later build, which stopped, had read other seeds
        [gone] = connection.sql(OFFERS).to_arrow_table().to_pylist()
        [spent, *_] = connection.sql(LIMITS).to_arrow_table().to_pylist()
    for row in (offer, tier):
        assert [float(row[f"planned{part}"]) for part in ("", "_cost", "_value")] == [2, 18, 30]
    assert [row["planned"] for row in limits] == [18.0, 2.0, 2.0]
    assert tier["customers"] == 4
    assert gone == offer | {"action_label": "call"}
    assert spent["planned"] == 18.0


@pytest.mark.parametrize(
    "later",
    [
        "planned_value = 71",  # of other customers or probabilities
        "available_budget = 350",
        "monthly_budget = 300",
        "policy_version = 'other'",
    ],
)
def test_curves_of_other_inputs_than_the_plan_are_told_apart(later: str) -> None:
    inputs: Any = SimpleNamespace(as_of_date=date(2026, 6, 15), decision=decision_inputs())
    present = answer(350.0, 110.0, 70.004)
    curve = Curve(MonthLimit("budget", "EUR", 350.0, 240.0, 0.0), (), (answer(0.0, 0.0, 0.0), present))
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            create table policy_runs as
            select date '2026-06-15' as as_of_date, 350.0::double as monthly_budget, 110.0::double as available_budget,
                75.0::double as planned_value, 5.0::double as trial_value, 60.0::double as planned_spend,
                null::double as trial_spend, null::bigint as trial_contacts, 1 as customers_at_risk,
                '{policy_version(inputs.decision)}' as policy_version
            """
        )
        connection.execute(
            "create table retention_actions as select max(as_of_date) as as_of_date from policy_runs"
        )
        assert read_changed_inputs(connection, inputs, curve, "acme") is None
        connection.execute(f"update policy_runs set {later}")
        said = read_changed_inputs(connection, inputs, curve, "acme")
        connection.execute("update policy_runs set customers_at_risk = 2")  # one is erased
        erased = read_changed_inputs(connection, inputs, curve, "acme")
    assert said is not None
    assert said.endswith("bayespilot run --source acme")
    assert (erased is None) == later.startswith("planned_value")


def test_the_command_explains_itself() -> None:
    shown = CliRunner().invoke(app, ["what-if", "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "--capacity" in shown.output
    words = " ".join(shown.output.split())
    assert "capacities in offers.csv or channels.csv" in words
    assert "bayespilot run --source SOURCE --selector decide" in words
