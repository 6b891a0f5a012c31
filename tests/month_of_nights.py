"""A month of nightly runs with the build's own SQL for limits, suppressions and statuses, and the plan itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from conftest import Project
from decision_data import candidates, decision_inputs, effects, offers, offers_table, policy, policy_table

from models_ml.decisions.limits import read_limits
from models_ml.decisions.planned_actions import plan_actions

CUSTOMERS = 300
FIRST_NIGHT = date(2026, 10, 1)
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
MODELS = ("int_month_limits", "int_suppressions", "retention_actions_deliverable", "retention_actions_sync")
VIEWS = (
    "int_known_contacts",
    "int_previous_episodes",
    "int_withdrawn_actions",
    "int_executed_actions",
    "int_action_states",
)


class Month:
    """A warehouse that holds what the compiled models read, and moves from night to night."""

    def __init__(self, project: Project, pacing: str, warehouse: str = ":memory:", **settings: float) -> None:
        compiled = project.folder / "target" / "compiled" / "bayespilot" / "dbt_project" / "models"
        self.sql = {name: next(compiled.rglob(f"{name}.sql")).read_text() for name in MODELS + VIEWS}
        self.settings = POLICY | {"pacing": pacing} | settings
        self.draws = np.random.default_rng(5)
        self.connection = duckdb.connect()
        self.connection.execute(f"attach '{warehouse}' as demo; use demo")
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
                incremental_expected_value double, currency text, rationale text, valid_from date, valid_to date,
                row_hash text
            );
            create view int_lasting_decisions as
                from retention_actions_history cross join (select horizon_days from int_policy_parameters)
                where as_of_date < (select max(as_of_date) from int_run);
            create table int_earlier_settings (as_of_date date, horizon_days integer);
            create table int_checked_retention_contacts (
                contact_id text, action_id text, customer_id text, offer text, contacted_on date,
                accepted_on date, cost double, is_randomized boolean, propensity double, quarantine_reason text
            );
            create table int_served_actions (action_id text, customer_id text, as_of_date date);
            create table int_served_meanwhile as from int_served_actions;
            create table int_consents as
                select printf('c%06d', i) as customer_id, channel, i % one_in <> 0 as is_granted,
                    date '2020-01-01' as valid_from, cast(null as date) as valid_until
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
        rows = self.rows(
            f"select customer_id, suppression_reason, locked_offers from ({self.sql['int_suppressions']})"
        )
        suppressed = {row[0]: row[1:] for row in rows}
        consents = self.consents()
        names = [f"c{number:06d}" for number in range(CUSTOMERS)]
        allowed = [
            (int(consents.get((name, "phone"), False)) + 2 * int(consents.get((name, "email"), False)))
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
                customer_id || '/{day}', customer_id, date '{day}', action, planned_action, '', channel, 1,
                arm, planned_cost, planned_value, 'EUR', '',
                date '{day}' + 1, date '{day}' + {terms.action_valid_days}, md5(customer_id || '/{day}')
            from decided
            """
        )
        return rows

    def sync(self, now: datetime) -> None:
        """Build retention_actions_sync as a run that starts now: from what the night before left in it."""
        columns = re.compile(r"cast\(null as (\w+)\) as (\w+)")
        no_row = "from (select 1 as no_row) as no_earlier_run\n        where false"
        sql = re.sub(
            r"cast\('[^']+' as timestamp\)", f"timestamp '{now}'", self.sql["retention_actions_sync"]
        )
        if self.rows("select 1 from duckdb_tables() where table_name = 'retention_actions_sync'"):
            assert sql.count(no_row) == 1
            sql = columns.sub(r"\2", sql).replace(no_row, "from retention_actions_sync")
        self.connection.execute(f"create or replace table retention_actions_sync as {sql}")

    def execute_some(self, day: date) -> None:
        """Execute every second deliverable action the day after, as a CRM would; the others lapse."""
        for row in sorted(self.model("retention_actions_deliverable"))[::2]:
            self.connection.execute(
                "insert into int_checked_retention_contacts values (?, ?, ?, ?, ?, null, 1, false, null, null)",
                [f"contact {row[0]}", row[0], row[1], row[3], day + timedelta(1)],
            )
