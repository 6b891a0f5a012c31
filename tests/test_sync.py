"""retention_actions_sync over a month: a reader with a cursor and a mirror end with what the warehouse knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from conftest import Project
from month_of_nights import FIRST_NIGHT, Month

from models_ml.erase import erase

pytestmark = pytest.mark.build

NIGHTS = 30
CAPACITY = 90  # of each offer and channel: enough for new actions every night
SYNC_DAYS = 12  # short, so that actions leave the table within the month
Row = dict[str, Any]


def key_of(action_id: str) -> str:
    return hashlib.sha256(action_id.encode()).hexdigest()


def read(connection: duckdb.DuckDBPyConnection, condition: str = "true") -> list[Row]:
    return connection.sql(f"from retention_actions_sync where {condition}").to_arrow_table().to_pylist()


@dataclass
class CursorReader:
    """A reader that asks for what changed since its last visit, and deletes what a tombstone names."""

    rows: dict[str, Row] = field(default_factory=dict)
    cursor: datetime | None = None

    def visit(self, connection: duckdb.DuckDBPyConnection) -> None:
        since = "true" if self.cursor is None else f"updated_at > timestamp '{self.cursor}'"
        for row in read(connection, since):
            self.cursor = max(self.cursor or row["updated_at"], row["updated_at"])
            if row["status"] == "erased":
                self.rows.pop(row["action_id_hash"], None)
            else:
                self.rows[row["action_id_hash"]] = row


@dataclass
class Mirror:
    """A reader that compares keys and hashes with its copy, and writes only what differs."""

    rows: dict[str, Row] = field(default_factory=dict)
    written: int = 0

    def visit(self, connection: duckdb.DuckDBPyConnection) -> None:
        found = {row["action_id_hash"]: row for row in read(connection)}
        for key in self.rows.keys() - found.keys():
            del self.rows[key]
        for key, row in found.items():
            if key not in self.rows or self.rows[key]["row_hash"] != row["row_hash"]:
                self.rows[key] = row
                self.written += 1


class Truth:
    """What became of every action, worked out from the raw facts in Python."""

    def __init__(self) -> None:
        self.status: dict[str, tuple[str, str | None]] = {}
        self.last_day: dict[str, date] = {}

    def learn(self, month: Month, day: date) -> None:
        history = month.connection.sql("from retention_actions_history").to_arrow_table().to_pylist()
        contacts = month.connection.sql("from int_checked_retention_contacts").to_arrow_table().to_pylist()
        consents = month.consents()
        offers = dict(month.rows("select offer, monthly_capacity from int_offers"))
        channels = dict(month.rows("select channel, monthly_capacity from int_channels"))
        executed: dict[str, date] = {}
        for contact in contacts:
            if contact["action_id"]:
                action = contact["action_id"]
                executed[action] = min(executed.get(action, date.max), contact["contacted_on"])
        arms = {row["customer_id"]: row["arm"] for row in history if row["as_of_date"] == day}
        since = day + timedelta(1 - month.settings["cool_down_days"])
        contacted = {contact["customer_id"] for contact in contacts if contact["contacted_on"] >= since}
        known = {row["action_id"]: row for row in history if row["action"] != "no_action"}
        for action in self.status.keys() - known.keys():
            if self.last_day[action] > day - timedelta(SYNC_DAYS):
                self.status[action] = (
                    ("executed", None) if action in executed else ("withdrawn", "decided_again")
                )
        for action, row in known.items():
            reason = None
            if not offers.get(row["action"]) or not channels.get(row["channel"]):
                reason = "channel_closed"
            elif not consents[row["customer_id"], row["channel"]]:
                reason = "no_consent"
            elif row["customer_id"] not in arms:
                reason = "not_at_risk"
            elif row["customer_id"] in contacted:
                reason = "cool_down"
            if row["valid_to"] <= day - timedelta(SYNC_DAYS):
                continue  # whatever is reported now comes too late
            if action in executed:
                said = ("executed", "late" if executed[action] > row["valid_to"] else None)
            elif row["valid_to"] <= day:
                was = self.status.get(action, ("expired", None))
                said = was if was[0] == "withdrawn" else ("expired", None)
            else:
                said = ("withdrawn", reason) if reason else ("open", None)
            self.status[action], self.last_day[action] = said, row["valid_to"]


@dataclass
class Business:
    """What happens by day: some actions are executed, some late; consents, channels and customers come and go."""

    month: Month
    draws: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    left: set[str] = field(default_factory=set)

    def contact(self, action_id: str | None, customer: str, day: date) -> None:
        self.month.connection.execute(
            "insert into int_checked_retention_contacts values (uuid(), ?, ?, 'nudge', ?, null, 1, false, null, null)",
            [action_id, customer, day],
        )

    def day_after(self, day: date, number: int) -> None:
        execute, today = self.month.connection.execute, day + timedelta(1)
        opened = sorted(self.month.model("retention_actions_deliverable"))
        for row in opened[::3]:
            self.contact(row[0], row[1], today)
        if opened[1:] and number % 4 == 0:
            self.contact(None, opened[1][1], today)  # another team came first
        if opened[2:] and number % 3 == 0:
            execute(f"update int_consents set is_granted = false where customer_id = '{opened[2][1]}'")
        if number % 5 == 4:
            execute("update int_consents set is_granted = true where customer_id like '%4'")
        if opened[4:] and number % 6 == 0:
            self.left.add(opened[4][1])
        execute(
            f"update int_channels set monthly_capacity = {0 if number in (9, 10, 11) else CAPACITY} where channel = 'phone'"
        )
        lapsed = self.month.rows(
            "select action_id, customer_id, valid_to from retention_actions_sync where status = 'expired' order by 1"
        )
        for action_id, customer, valid_to in lapsed[
            number % 7 :: 7
        ]:  # reported late: done in time, or after it
            self.contact(action_id, customer, valid_to + timedelta(number % 2))

    def decide(self, day: date, number: int, truth: Truth) -> None:
        """Decide, on some nights twice, and without the customers who left."""
        for _ in range(2 if number % 8 == 3 else 1):
            self.month.connection.execute(
                f"delete from retention_actions_history where as_of_date = date '{day}'"
            )
            self.month.night(day)
            listed = ", ".join(f"'{customer}'" for customer in sorted(self.left)) or "''"
            self.month.connection.execute(
                f"delete from retention_actions_history where as_of_date = date '{day}' and customer_id in ({listed})"
            )
            self.month.sync(self.clock(day, number))
            truth.learn(self.month, day)

    @staticmethod
    def clock(day: date, number: int) -> datetime:
        """Return the start of a run: at night, and on two nights the clock of the machine is a week behind."""
        return datetime.combine(day - timedelta(7 if number in (12, 13) else 0), time(4))


@pytest.fixture
def warehouse(built_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for the month, in a folder where erasing finds the project's models and nothing else."""
    (tmp_path / "dbt_project").symlink_to(built_project.folder / "dbt_project")
    (tmp_path / "dbt_project.yml").touch()
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.setenv("RETENTION_DB", str(tmp_path / "demo.duckdb"))
    return tmp_path / "demo.duckdb"


@pytest.fixture
def month(built_project: Project, warehouse: Path) -> Iterator[Month]:
    played = Month(built_project, "linear", str(warehouse), sync_days=SYNC_DAYS, monthly_budget=1500.0)
    for limited in ("int_offers", "int_channels"):
        played.connection.execute(f"update {limited} set monthly_capacity = {CAPACITY}")
    yield played
    played.connection.close()


def erase_one(month: Month, warehouse: Path) -> tuple[str, list[str]]:
    """Erase a customer with an open action, as `bayespilot erase` does; return the id and those of the actions."""
    customer = month.rows("select customer_id from retention_actions_sync where status = 'open' order by 1")[
        0
    ][0]
    actions = [row[0] for row in month.rows(
        f"select action_id from retention_actions_sync where customer_id = '{customer}'"
    )]  # fmt: skip
    month.connection.execute("use memory; detach demo")
    assert "retention_actions_sync" in erase("demo", [customer]).rows
    month.connection.execute(f"attach '{warehouse}' as demo; use demo")
    return customer, actions


def test_cursor_and_mirror_end_with_the_truth(month: Month, warehouse: Path) -> None:
    business, truth, mirror = Business(month), Truth(), Mirror()
    every_night, now_and_then = CursorReader(), CursorReader()
    erased: list[str] = []
    before: dict[str, Row] = {}
    seen: set[tuple[str, str | None]] = set()
    for number in range(NIGHTS):
        day = FIRST_NIGHT + timedelta(number)
        business.decide(day, number, truth)
        after = {row["action_id_hash"]: row for row in read(month.connection)}
        latest = max((row["updated_at"] for row in before.values()), default=datetime.min)
        for key, row in after.items():
            if key in before and before[key]["row_hash"] == row["row_hash"]:
                assert row["updated_at"] == before[key]["updated_at"], "an unchanged row keeps its time"
            else:
                assert row["updated_at"] > latest, "a change is later than all that a cursor has seen"
        stated = {row["action_id"]: (row["status"], row["status_reason"]) for row in after.values()}
        stated.pop(None, None)
        assert stated == {action: truth.status[action] for action in stated}
        assert {action for action, (status, _) in truth.status.items() if status == "open"} <= stated.keys()
        assert {action for action, (status, _) in stated.items() if status == "open"} == {
            row[0] for row in month.model("retention_actions_deliverable")
        }
        seen |= set(stated.values())
        unchanged = read(month.connection, "true order by action_id_hash")
        month.sync(business.clock(day, number) + timedelta(hours=1))
        assert read(month.connection, "true order by action_id_hash") == unchanged, (
            "a second run changes nothing"
        )
        every_night.visit(month.connection)
        mirror.visit(month.connection)
        if number % 9 == 0:
            now_and_then.visit(month.connection)
        business.day_after(day, number)
        if number == 20:
            customer, erased = erase_one(month, warehouse)
            business.left.add(customer)
            truth.status = {action: said for action, said in truth.status.items() if action not in erased}
        before = {row["action_id_hash"]: row for row in read(month.connection)}
    now_and_then.visit(month.connection)
    every_night.visit(month.connection)
    mirror.visit(month.connection)

    table = {row["action_id_hash"]: row for row in read(month.connection)}
    living = {key: row for key, row in table.items() if row["status"] != "erased"}
    tombstones = table.keys() - living.keys()
    assert erased
    assert tombstones == {key_of(action) for action in erased}
    assert {
        value for key in tombstones for value in table[key].values() if value in (customer, *erased)
    } == set()
    assert mirror.rows == table
    for reader in (every_night, now_and_then):
        assert {key: reader.rows[key] for key in living} == living
        gone = reader.rows.keys() - living.keys()
        assert not gone & tombstones
        assert not [key for key in gone if reader.rows[key]["status"] == "open"]
        assert {row["action_id"]: (row["status"], row["status_reason"]) for row in reader.rows.values()} == {
            action: said for action, said in truth.status.items() if key_of(action) in reader.rows
        }
    assert every_night.rows.keys() - living.keys(), "some actions have left the table"
    assert mirror.written < len(read(month.connection)) * NIGHTS / 3
    assert seen >= {
        ("open", None), ("executed", None), ("executed", "late"), ("expired", None), ("withdrawn", "no_consent"),
        ("withdrawn", "cool_down"), ("withdrawn", "not_at_risk"), ("withdrawn", "channel_closed"),
        ("withdrawn", "decided_again"),
    }  # fmt: skip
