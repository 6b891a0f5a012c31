"""History that changes behind stored features: named by date, rebuilt by the command that the message names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT, Project, copy_project

pytestmark = pytest.mark.build

CUSTOMER = 100000406
BUILT = ("2026-05-31", "2026-06-30", "2026-07-31", "2026-09-20")
SELECTED = ("--select", "+rpt_history_changes", "+churn_labels", "rpt_history_changes__none")
# A plan of June is corrected; a login of July arrives late; a payment of August is deleted.
CORRECTED = f"""
    insert into subscriptions
        select subscription_id + 1, customer_id, 'basic', billing_period, monthly_fee / 2, date '2026-06-10', null, null
        from subscriptions where customer_id = {CUSTOMER} and ended_on is null;
    update subscriptions set ended_on = date '2026-06-10'
        where customer_id = {CUSTOMER} and ended_on is null and started_on < date '2026-06-10'
"""
LATE = """
    insert into activity
        select * replace (timestamp '2026-07-10 08:00:00' as occurred_at)
        from activity where activity_type = 'login_session' and customer_id = 100000012 and quantity is not null limit 1
"""
DELETED = "delete from payments where customer_id = 100000012 and due_on between date '2026-08-01' and date '2026-08-31'"
# Nothing that a stored date knew: rows of the days after them.
LATER = """
    insert into activity
        select * replace (timestamp '2026-09-21 08:00:00' as occurred_at)
        from activity where activity_type = 'login_session' and customer_id = 100000012 and quantity is not null limit 1
"""


def build(project: Project, day: str, **variables: object) -> str:
    """Build features and labels of a day, without tests except that of the history."""
    settings = json.dumps({"as_of_date": day, **variables})
    return project.dbt(
        "build",
        *SELECTED,
        "--no-write-json",
        "--indirect-selection",
        "empty",
        "--exclude-resource-types",
        "unit_test",
        "--vars",
        settings,
    )


def change(project: Project, statements: str) -> None:
    """Run statements on the raw tables that they name."""
    assert project.raw_data is not None
    tables = [file.stem for file in project.raw_data.glob("*.parquet") if file.stem in statements]
    with duckdb.connect() as connection:
        for table in tables:
            connection.execute(f"create table {table} as from '{project.raw_data / table}.parquet'")
        connection.execute(statements)
        for table in tables:
            connection.execute(f"copy {table} to '{project.raw_data / table}.parquet' (format parquet)")


def changes(project: Project) -> dict[str, list[tuple[str, int]]]:
    """Return, per feed, the dates that are named, with the facts gained since."""
    named: dict[str, list[tuple[str, int]]] = {}
    for day, feed, gained in project.query(
        "select cast(as_of_date as varchar), feed, facts_now - facts_when_built from rpt_history_changes order by 1, 2"
    ):
        named.setdefault(feed, []).append((day, gained))
    return named


@pytest.fixture(scope="module")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("history")
    raw = Path(shutil.copytree(ROOT / "seeds" / "raw" / "demo", folder / "raw"))
    project = copy_project(folder / "project", raw)
    build(project, "2026-09-20")
    return project


@pytest.fixture
def project(first_build: Project, tmp_path: Path) -> Project:
    copy = first_build.copy(tmp_path / "project")
    assert first_build.raw_data is not None
    copy.raw_data = Path(shutil.copytree(first_build.raw_data, tmp_path / "raw"))
    return copy


def test_rows_after_the_stored_dates_and_unchanged_data_are_no_word(project: Project) -> None:
    change(project, LATER)
    said = build(project, "2026-09-25")
    assert "has changed since" not in said
    assert "WARN=0" in said
    assert changes(project) == {}


def test_a_plan_corrected_in_september_is_named_and_rebuilt_by_the_command(project: Project) -> None:
    plans = (
        f"select cast(as_of_date as varchar), plan from customer_features where customer_id = '{CUSTOMER}'"
        f" and as_of_date in ({', '.join(f'date {day!r}' for day in BUILT)}) order by 1"
    )
    assert project.query(plans) == [(day, "premium") for day in BUILT]
    others = f"select * from customer_features where customer_id <> '{CUSTOMER}' and as_of_date <= date '2026-07-31' order by all"
    before = project.query(others)
    change(project, CORRECTED)
    said = build(project, "2026-09-25")
    stored = project.query(
        "select distinct cast(as_of_date as varchar) from customer_features"
        " where as_of_date >= date '2026-06-10' and as_of_date < date '2026-09-25' order by 1"
    )
    stale = [day for (day,) in stored]
    assert {*BUILT[1:], "2026-08-12"} <= set(stale), (
        "ends of months before a trial, training dates, the run's"
    )
    named = [(day, 1) for day in stale]
    assert changes(project) == {"subscriptions": named, "subscriptions ended": named}
    found = re.search(r"--vars '(\{rebuild_dates: \[(.*?)\]\})'", said)
    assert found is not None, said
    assert found.group(2) == ", ".join(stale)
    assert "subscriptions (2026-09-20: 8312 facts when built, 8313 now)" in said
    assert project.query(plans) == [(day, "premium") for day in BUILT]

    said = build(project, "2026-09-25", rebuild_dates=[day for day in stale if day != "2026-09-20"])
    assert project.query(plans) == [
        ("2026-05-31", "premium"),
        ("2026-06-30", "basic"),
        ("2026-07-31", "basic"),
        ("2026-09-20", "premium"),
    ]
    assert set(changes(project)) == {"subscriptions", "subscriptions ended"}
    assert changes(project)["subscriptions"] == [("2026-09-20", 1)]
    assert project.query(others) == before
    assert project.query(
        f"select count(*) from churn_labels where customer_id = '{CUSTOMER}' and as_of_date = date '2026-06-30'"
    ) == [(1,)]


def test_late_activity_and_a_deleted_payment_are_named_at_the_dates_that_knew_them(project: Project) -> None:
    change(project, LATE)
    change(project, DELETED)
    build(project, "2026-09-25")
    assert changes(project) == {
        "activity": [
            (day, 1) for day in ("2026-07-14", "2026-07-31", "2026-08-12", "2026-08-31", "2026-09-20")
        ],
        "payments due": [("2026-08-31", -1), ("2026-09-20", -1)],
        "payments settled": [("2026-08-31", -1), ("2026-09-20", -1)],
    }


def test_a_feed_may_be_exempt(project: Project) -> None:
    sources = project.folder / "dbt_project" / "sources" / "demo" / "sources.yml"
    text = sources.read_text()
    declared = "data_ends_on: \"date '2026-10-31'\""
    assert declared in text
    sources.write_text(text.replace(declared, declared + "\n        feeds: {activity: {changed: ignore}}"))
    change(project, LATE)
    said = build(project, "2026-09-25")
    assert "has changed since" not in said
    sources.write_text(text.replace(declared, declared + "\n        feeds: {activities: {changed: ignore}}"))
    said = project.dbt("build", *SELECTED, succeeds=False)
    assert "activities is not a feed" in said


def test_a_date_that_is_not_stored_is_refused(project: Project) -> None:
    for asked, problem in ((["2026-06-29"], "stores nothing"), (["June"], "where a list of days such as")):
        settings = json.dumps({"as_of_date": "2026-09-20", "rebuild_dates": asked})
        said = project.dbt("run", "--select", "int_feature_dates", "--vars", settings, succeeds=False)
        assert problem in said
