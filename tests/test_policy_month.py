"""A month of nightly runs: limits hold every night, and nobody is contacted who may not be."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from conftest import Project
from month_of_nights import FIRST_NIGHT, POLICY, Month

NIGHTS = 35  # the whole of October, and into November


@pytest.fixture(params=["none", "linear"])
def month(request: pytest.FixtureRequest, built_project: Project) -> Iterator[Month]:
    played = Month(built_project, request.param)
    yield played
    played.connection.close()


def assert_month_keeps_its_limits(month: Month, day: date) -> None:
    """Every action of the calendar month that is open or executed, against the month's limits."""
    used = month.rows(
        "select action, count(*), sum(coalesce(contacts.cost, expected_cost)::decimal(18, 2))"
        " from retention_actions_history as history"
        " left join int_checked_retention_contacts as contacts on history.action_id = contacts.action_id"
        f" where action <> 'no_action' and date_trunc('month', as_of_date) = date_trunc('month', date '{day}')"
        f" and (contacts.action_id is not null or valid_to > date '{day}')"
        " group by 1"
    )
    share = 1.0
    if month.settings["pacing"] == "linear":
        share = day.day / calendar.monthrange(day.year, day.month)[1]
    contacts = {name: count for name, count, _ in used}
    assert float(sum(cost for *_, cost in used)) <= 300.0 * share + 0.005
    assert contacts.get("call", 0) <= int(10 * share)
    assert contacts.get("nudge", 0) <= int(25 * share), "the capacity of the channel"


@pytest.mark.build
def test_a_month_of_nights(month: Month) -> None:
    withheld_yesterday: set[str] = set()
    contacted: dict[str, date] = {}
    planned = 0
    for number in range(NIGHTS):
        day = FIRST_NIGHT + timedelta(number)
        rows = month.night(day)
        acting = {row["customer_id"] for row in rows if row["planned_action"] != "no_action"}
        planned += len(acting)
        assert_month_keeps_its_limits(month, day)
        assert not acting & withheld_yesterday, "last night's holdouts are left alone tonight"
        recent = {name for name, when in contacted.items() if (day - when).days < POLICY["cool_down_days"]}
        assert not acting & recent
        assert all(
            row["planned_value"] > POLICY["touch_price"]
            for row in rows
            if row["arm"] in ("policy", "pick_holdout")
        )
        assert_deliverable_is_allowed(month, day, rows)
        month.execute_some(day)
        contacted |= {row[0]: row[1] for row in month.rows(
            "select customer_id, max(contacted_on) from int_checked_retention_contacts group by 1"
        )}  # fmt: skip
        withheld_yesterday = {row["customer_id"] for row in rows if row["arm"] == "pick_holdout"}
    assert planned > 30
    assert len(contacted) > 10
    by_arm = dict(month.rows("select arm, count(*) from retention_actions_history group by 1"))
    assert {"policy", "pick_holdout", "trial", "universal_holdout", "suppressed"} <= set(by_arm)


def assert_deliverable_is_allowed(month: Month, day: date, rows: list[dict[str, Any]]) -> None:
    """No held-out, non-consenting, cooled-down or executed row; only last nights' open actions beside tonight's."""
    deliverable = month.model("retention_actions_deliverable")
    ids = {row[0] for row in deliverable}
    executed = {row[0] for row in month.rows("select action_id from int_checked_retention_contacts")}
    assert not ids & executed
    lately = {
        row[0]
        for row in month.rows(
            "select customer_id from int_checked_retention_contacts"
            f" where contacted_on >= date '{day + timedelta(1 - POLICY['cool_down_days'])}'"
        )
    }
    consents = month.consents()
    tonight = {row["customer_id"]: row for row in rows}
    for action_id, customer_id, as_of_date, _, _, channel, *_ in deliverable:
        assert customer_id not in lately
        assert consents[customer_id, channel]
        row = tonight[customer_id]
        if as_of_date == day:
            assert row["arm"] in ("policy", "trial"), action_id
        else:
            assert row["suppression_reason"] in (None, "open_action")
            assert row["arm"] != "universal_holdout"


@pytest.mark.build
def test_a_customer_may_be_held_out_then_free_again(month: Month) -> None:
    start = FIRST_NIGHT + timedelta(11)  # a third of the month's limits is open by then, paced or not
    first = month.night(start)
    held = {row["customer_id"] for row in first if row["arm"] == "pick_holdout"}
    assert held
    for number in (1, POLICY["horizon_days"] - 1, POLICY["horizon_days"]):
        rows = month.night(start + timedelta(number))
        reasons = {row["suppression_reason"] for row in rows if row["customer_id"] in held}
        assert reasons == ({"held_out"} if number < POLICY["horizon_days"] else {None}), number


@pytest.mark.build
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("delete from int_offers where offer = 'nudge'", "offer_removed"),
        ("update int_offers set monthly_capacity = 0 where offer = 'nudge'", "offer_closed"),
        ("delete from int_channels where channel = 'email'", "channel_removed"),
        ("update int_channels set monthly_capacity = 0 where channel = 'email'", "channel_closed"),
    ],
)
def test_an_offer_that_is_gone_withdraws_its_actions_and_keeps_its_use(
    month: Month, change: str, reason: str
) -> None:
    month.night(FIRST_NIGHT + timedelta(11))
    tonight = FIRST_NIGHT + timedelta(12)
    month.connection.execute(
        f"update int_run set as_of_date = date '{tonight}', data_ends_on = date '{tonight}'"
    )
    used_before = {row[:2]: row[3] for row in month.model("int_month_limits") if row[3]}
    opened = {row[0] for row in month.rows(
        "select action_id from retention_actions_history where action = 'nudge'"
    )}  # fmt: skip
    assert opened & {row[0] for row in month.model("retention_actions_deliverable")}
    month.connection.execute(change)
    assert set(month.rows("select action_id, withdrawal_reason from int_withdrawn_actions")) == {
        (action_id, reason) for action_id in opened
    }
    assert not opened & {row[0] for row in month.model("retention_actions_deliverable")}
    assert {row[:2]: row[3] for row in month.model("int_month_limits") if row[3]} == used_before
    left = {row[:2]: row[5] for row in month.model("int_month_limits")}
    assert left[("offer", "nudge") if reason.startswith("offer") else ("channel", "email")] == 0
    reasons = dict(row[:2] for row in month.model("int_suppressions"))
    customers = {action_id.partition("/")[0] for action_id in opened}
    assert {reasons[customer] for customer in customers} == {"open_episode"}
