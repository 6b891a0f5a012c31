"""The checks of nightly runs: each notices what it is for, and a few nights and their replay pass all of them."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest
from check_nights import MUST_BE_EMPTY, Contact, check, deliver, execute, open_business
from conftest import Project, copy_project

TABLES = """
    create table history as select * from (values
        ('a1', 'c1', date '2026-09-01', 'call', 'phone', 'policy', 6.0, date '2026-09-15'),
        ('a2', 'c2', date '2026-09-01', 'no_action', null, 'universal_holdout', null, null),
        ('a3', 'c1', date '2026-09-02', 'no_action', null, 'suppressed', null, null),
        ('a4', 'c2', date '2026-09-02', 'no_action', null, 'universal_holdout', null, null)
    ) as rows (action_id, customer_id, as_of_date, action, channel, arm, expected_cost, valid_to);
    create table nights as select unnest([date '2026-09-01', date '2026-09-02']) as day;
    create table contacts as select 1 as number, 'a1' as action_id, 'c1' as customer_id, 'call' as offer,
        date '2026-09-02' as contacted_on, date '2026-09-02' as reported_on, 5.0::double as cost;
    create table past_contacts as select 'c9' as customer_id, date '2026-08-20' as contacted_on;
    create table offers as select 'call' as offer, '1' as monthly_capacity;
    create table channels as select 'phone' as channel, '1' as monthly_capacity;
    create table policy as select * from (values ('monthly_budget', 10.0), ('cool_down_days', 30.0), ('horizon_days', 28.0))
        as rows (name, value);
"""
ACTION = "insert into history values ('a9', '{customer}', date '{day}', 'call', 'phone', '{arm}', {cost}, date '2026-12-01')"
# What breaks each invariant, and no more than what it says.
BREAKS = {
    "a decision stands once": "insert into history select * replace ('c7' as customer_id) from history where action_id = 'a3'",
    "a customer has one decision a night": "insert into history select * replace ('a7' as action_id) from history where action_id = 'a3'",
    "every night decided, and no other day": "insert into nights values (date '2026-09-03')",
    "the month's budget": "update contacts set cost = 10.5",
    "the month's capacity of an offer": "update offers set monthly_capacity = '0'",
    "the month's capacity of a channel": "update channels set monthly_capacity = '0'",
    "nobody is contacted while cooling down": ACTION.format(customer="c9", day="2026-09-02", arm="policy", cost=1),
    "an episode lasts a horizon": "update history set arm = 'pick_holdout' where action_id = 'a3'",
    "one executed contact an episode": "insert into contacts select * replace ('a8' as action_id, contacted_on + 27 as contacted_on) from contacts",
    "the universal holdout is left alone": "update history set arm = 'suppressed' where action_id = 'a4'",
}  # fmt: skip


def violated(statement: str) -> set[str]:
    with duckdb.connect() as connection:
        connection.execute(TABLES)
        connection.execute(statement)
        return {name for name, query in MUST_BE_EMPTY.items() if connection.execute(query).fetchall()}


def test_sound_nights_pass() -> None:
    assert BREAKS.keys() == MUST_BE_EMPTY.keys()
    assert violated("select 1") == set()


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_invariant_is_noticed(name: str) -> None:
    assert name in violated(BREAKS[name])


def test_an_action_that_lapsed_releases_its_cost() -> None:
    later = ACTION.format(customer="c3", day="2026-09-20", arm="policy", cost=9.5)
    night = "insert into nights values (date '2026-09-20');"
    assert "the month's budget" in violated(night + later)
    assert "the month's budget" not in violated(night + later + "; delete from contacts")


def test_a_night_knows_nothing_that_lies_ahead(tmp_path: Path, small_world: Path) -> None:
    day = date(2026, 9, 1)
    contacts = [
        Contact(1, "a1", "100000001", "call", day, reported, 2.0) for reported in (day, date(2026, 9, 4))
    ]
    for late_rows in (False, True):
        deliver(small_world, tmp_path / str(late_rows), day, contacts, late_rows=late_rows)
    known = {file.stem: f"'{file}'" for file in (tmp_path / "True").glob("*.parquet")}
    later = {
        "customers": "signed_up_on",
        "subscriptions": "greatest(started_on, ended_on)",
        "activity": "occurred_at::date",
        "payments": "greatest(due_on, paid_on)",
        "support_tickets": "greatest(opened_at, resolved_at)::date",
        "retention_contacts": "contacted_on",
    }
    assert known.keys() == later.keys()
    for name, newest in later.items():
        assert duckdb.sql(f"select max({newest}) <= date '{day}' from {known[name]}").fetchall() == [
            (True,)
        ], name
    assert duckdb.sql(
        f"select count(*) from {known['retention_contacts']} where action_id = 'a1'"
    ).fetchall() == [(1,)]
    early = f"'{tmp_path / 'False' / 'activity.parquet'}'"
    [(missing, customers)] = duckdb.sql(
        f"select count(*), count(*) filter (customer_id % 5 > 0 or occurred_at::date < '{day}')"
        f" from (from {known['activity']} except all from {early})"
    ).fetchall()
    assert (missing > 0, customers) == (True, 0)


def test_what_the_team_has_done_is_not_done_again() -> None:
    day = date(2026, 9, 1)
    rows = [
        {"action_id": f"a{number}", "customer_id": f"c{number}", "action": "call", "expected_cost": 2.0}
        for number in range(200)
    ]
    reports = execute(rows, day, [])
    done = {report.action_id for report in reports}
    assert 50 < len(done) < 110
    assert 0 < len(reports) - len(done) < 25
    assert {(report.reported_on - report.contacted_on).days for report in reports} == {0, 3}
    assert len({report.number for report in reports}) == len(reports)
    assert execute(rows, day, reports) == []


@pytest.mark.build
def test_a_few_nights_and_their_replay(built_project: Project, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project", tmp_path / "raw")
    artifacts = Path("models_ml") / "artifacts"
    shutil.copytree(built_project.folder / artifacts, project.folder / artifacts)
    business = open_business(tmp_path, 400, 1, project)
    broken, said = check(business, tmp_path / "replay", 4, 1, lambda days: days)
    assert broken == []
    assert "4 nights from 2026-08-24" in said
