"""A month of nightly runs with the build's own SQL for limits and suppressions, and the plan itself, night by night."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from conftest import Project
from decision_data import candidates, decision_inputs, effects, offers, offers_table, policy, policy_table

from models_ml.decisions.limits import read_limits
from models_ml.decisions.planned_actions import plan_actions

CUSTOMERS = 300
FIRST_NIGHT = date(2026, 10, 1)
NIGHTS = 35  # the whole of October, and into November
POLICY: dict[str, Any] = {
    "pick_holdout_share": 0.25,
    "universal_holdout_share": 0.05,
    "learning_share": 0.3,
    "cool_down_days": 12,
    "horizon_days": 10,
    "action_valid_days": 4,
    "monthly_budget": 300.0,
    "touch_price": 0.05,
}
CHANNELS = {"email": 25, "phone": 10, "push": 50}  # e-mail is scarcer than the nudge itself, its only offer
MODELS = ("int_month_limits", "int_suppressions", "retention_actions_deliverable")
VIEWS = ("int_known_contacts", "int_previous_episodes", "int_withdrawn_actions")


class Month:
    """An in-memory warehouse that holds what the compiled models read, and moves from night to night."""

    def __init__(self, project: Project, pacing: str) -> None:
        compiled = project.folder / "target" / "compiled" / "bayespilot" / "dbt_project" / "models"
        self.sql = {name: next(compiled.rglob(f"{name}.sql")).read_text() for name in MODELS + VIEWS}
        self.settings = POLICY | {"pacing": pacing}
        self.draws = np.random.default_rng(5)
        self.connection = duckdb.connect()
        self.connection.execute("attach ':memory:' as demo; use demo")
        channels = {"channel": list(CHANNELS), "monthly_capacity": list(CHANNELS.values())}
        tables = {
            "int_policy_parameters": policy_table(**self.settings),
            "int_offers": offers_table(),
            "int_channels": pa.table(channels),
        }
        for name, table in tables.items():
            self.connection.register("given", table)
            self.connection.execute(f"create table {name} as from given")
        self.connection.execute(
            f"""
            create table int_run (as_of_date date, data_ends_on date);
            create table retention_actions_history (
                action_id text, customer_id text, as_of_date date, action text, planned_action text,
                action_label text, channel text, priority integer, arm text, expected_cost double,
                incremental_expected_value double, currency text, rationale text, valid_from date, valid_to date
            );
            create view int_previous_actions as
                from retention_actions_history where as_of_date < (select max(as_of_date) from int_run);
            create table int_checked_retention_contacts (
                contact_id text, action_id text, customer_id text, offer text, contacted_on date,
                accepted_on date, cost double, is_randomized boolean, propensity double, quarantine_reason text
            );
            create table int_consents as
                select printf('c%06d', i) as customer_id, channel, i % one_in <> 0 as is_granted,
                    cast(null as date) as valid_until
                from range({CUSTOMERS}) as numbers (i)
                cross join (values ('email', 7), ('phone', 5), ('push', 1)) as channels (channel, one_in)
            """
        )
        for name in VIEWS:
            self.connection.execute(f"create view {name} as {self.sql[name]}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def model(self, name: str) -> list[tuple[Any, ...]]:
        return self.rows(f"from ({self.sql[name]})")

    def consents(self) -> dict[tuple[str, str], bool]:
        """Return whether each customer consents to each channel."""
        rows = self.rows("select customer_id, channel, is_granted from int_consents")
        return {(customer, channel): is_granted for customer, channel, is_granted in rows}

    def night(self, day: date) -> list[dict[str, Any]]:
        """Decide for a day and write its decisions into history."""
        self.connection.execute(
            f"delete from int_run; insert into int_run values (date '{day}', date '{day}')"
        )
        suppressed = {row[0]: row[1:] for row in self.model("int_suppressions")}
        consents = self.consents()
        names = [f"c{number:06d}" for number in range(CUSTOMERS)]
        allowed = [
            (int(consents[name, "phone"]) + 2 * int(consents[name, "email"]))
            & ~int(suppressed.get(name, (None, 0))[1])
            for name in names
        ]
        terms = policy(**self.settings)
        left = self.connection.sql(self.sql["int_month_limits"]).to_arrow_table()
        limits, learning = (
            read_limits(left, offers(), column) for column in ("available", "available_for_trials")
        )
        monthly = np.random.default_rng(day.month).random((3, CUSTOMERS))  # per customer and month
        batch = candidates(
            CUSTOMERS,
            churn_probability=self.draws.beta(1, 4, CUSTOMERS),
            monthly_revenue=self.draws.lognormal(4.5, 0.7, CUSTOMERS),
            offers_allowed=np.array(allowed, dtype=np.int64),
            suppression_reason=pa.array([suppressed.get(name, (None, 0))[0] for name in names], pa.string()),
            universal_draw=np.random.default_rng(0).random(CUSTOMERS),
            pick_draw=monthly[0],
            trial_draw=monthly[1],
            trial_offer_draw=monthly[2],
        )
        known = effects(np.log(0.4), np.log(0.9))
        unsure = replace(known, covariance=np.diag([0.3**2, 0.3**2]))
        rows: list[dict[str, Any]] = plan_actions(
            lambda: [batch], decision_inputs(terms, works=unsure), limits, learning
        ).read_all().to_pylist()  # fmt: skip
        self.connection.register("decided", pa.Table.from_pylist(rows))
        self.connection.execute(
            f"""
            insert into retention_actions_history
            select
                customer_id || '/' || as_of_date, customer_id, date '{day}', action, planned_action, '', channel, 1,
                arm, planned_cost, planned_value, 'EUR', '',
                date '{day}' + 1, date '{day}' + {terms.action_valid_days}
            from decided
            """
        )
        return rows

    def execute_some(self, day: date) -> None:
        """Execute every second deliverable action the day after, as a CRM would; the others lapse."""
        for row in sorted(self.model("retention_actions_deliverable"))[::2]:
            self.connection.execute(
                "insert into int_checked_retention_contacts values (?, ?, ?, ?, ?, null, 1, false, null, null)",
                [f"contact {row[0]}", row[0], row[1], row[3], day + timedelta(1)],
            )


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
