"""Limits of a what-if by hand: what pacing opens of the month, and which amounts are tried."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from decision_data import offers, policy
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.decisions.what_if import Month, MonthLimit, between, open_share
from models_ml.errors import BayesPilotError
from models_ml.reports.what_if_page import capacity_prices

MONTH = Month(
    (
        MonthLimit("budget", "EUR", 100.1, 20.0, 0.0),
        MonthLimit("offer", "call", 10.0, 1.0, 0.0),
        MonthLimit("offer", "nudge", 39.0, 12.0, 0.0),
        MonthLimit("channel", "phone", 7.0, 0.0, 0.0),
        MonthLimit("channel", "email", 50.0, 3.0, 0.0),
    ),
    share=Fraction(1, 4),
)


def test_pacing_opens_the_month_day_by_day() -> None:
    assert open_share(date(2026, 2, 7), policy(pacing="linear")) == Fraction(7, 28)
    assert open_share(date(2026, 2, 7), policy(pacing="none")) == 1


def test_open_contacts_are_rounded_down_and_money_to_cents() -> None:
    # A quarter of the month: 25.025 of 100.1, 2.5 of 10, 9.75 of 39, 1.75 of 7 and 12.5 of 50, less what is used.
    left = MONTH.left(offers())
    assert left.budget == pytest.approx(5.02)
    assert left.offer_capacity.tolist() == [1.0, 0.0]
    assert left.channel_capacity == {"phone": 1.0, "email": 9.0}
    assert (left.offer_names, left.offer_channel) == (("call", "nudge"), ("phone", "email"))


def test_another_amount_of_one_limit_leaves_the_others() -> None:
    changed = MONTH.with_limit(MONTH.find("call"), 19.0)
    assert changed.left(offers()).offer_capacity.tolist() == [3.0, 0.0]
    assert changed.left(offers()).channel_capacity == MONTH.left(offers()).channel_capacity


def test_a_month_without_the_limit_of_an_offer_is_refused() -> None:
    without = Month(tuple(limit for limit in MONTH.limits if limit.name != "phone"), MONTH.share)
    with pytest.raises(BayesPilotError, match="no limit for channel phone"):
        without.left(offers())


def test_a_name_of_both_an_offer_and_a_channel_means_the_offer() -> None:
    both = Month((*MONTH.limits, MonthLimit("offer", "email", 1.0, 0.0, 0.0)), MONTH.share)
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


def test_the_command_explains_itself() -> None:
    shown = CliRunner().invoke(app, ["what-if", "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "--capacity" in shown.output
