"""Night after night in one month: limits hold, nobody is contacted twice, and what was executed stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from conftest import DECIDE, DECISIONS, UNTESTED, Project, copy_project

pytestmark = pytest.mark.build

HISTORY = "select * from retention_actions_history where as_of_date = date '{day}' order by customer_id"


@pytest.fixture(scope="module")
def first_night(
    tmp_path_factory: pytest.TempPathFactory, small_world: Path, built_project: Project
) -> Project:
    """A project whose first decisions are those of 2026-10-12, on raw data of its own and a pipeline that is trained."""
    folder = tmp_path_factory.mktemp("nightly")
    raw = Path(shutil.copytree(small_world, folder / "raw"))
    project = copy_project(folder / "project", raw)
    artifacts = Path("models_ml") / "artifacts"
    shutil.copytree(built_project.folder / artifacts, project.folder / artifacts)
    project.dbt("build", *UNTESTED, *night(12))
    return project


@pytest.fixture(scope="module")
def second_night(tmp_path_factory: pytest.TempPathFactory, first_night: Project) -> Project:
    """The first night's project, a day later."""
    project = own_copy(first_night, tmp_path_factory.mktemp("second"))
    project.dbt("build", *night(13))
    return project


@pytest.fixture
def nights(first_night: Project, tmp_path: Path) -> Project:
    """A copy of the first night for one test."""
    return own_copy(first_night, tmp_path)


@pytest.fixture
def two_nights(second_night: Project, tmp_path: Path) -> Project:
    """A copy of the second night for one test."""
    return own_copy(second_night, tmp_path)


def own_copy(project: Project, folder: Path) -> Project:
    """Copy a project with its raw data."""
    copy = project.copy(folder / "project")
    assert project.raw_data is not None
    copy.raw_data = Path(shutil.copytree(project.raw_data, folder / "raw"))
    return copy


def night(day: int, **variables: object) -> tuple[str, str]:
    """Return the arguments that decide for a day of October 2026."""
    settings = {"as_of_date": f"2026-10-{day:02d}", **variables}
    return "--vars", json.dumps(settings)


def execute_actions(project: Project, day: int, customers: int) -> list[str]:
    """Write the first actions of a day into the raw contacts, as a CRM would; return their ids."""
    taken = project.query(
        f"select action_id, customer_id, action, expected_cost from retention_actions_history"
        f" where as_of_date = date '2026-10-{day:02d}' and action <> 'no_action' order by priority limit {customers}"
    )
    assert len(taken) == customers
    assert project.raw_data is not None
    file = project.raw_data / "retention_contacts.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table contacts as from '{file}'")
        for number, (action_id, customer_id, action, cost) in enumerate(taken):
            connection.execute(
                "insert into contacts by name select ? as contact_id, ? as action_id, ?::bigint as customer_id,"
                " ? as offer, ?::date as contacted_on, ? as cost, false as is_randomized",
                [800_000_000 + number, action_id, customer_id, action, f"2026-10-{day + 1:02d}", cost],
            )
        aside = file.with_suffix(".aside")
        connection.execute(f"copy contacts to '{aside}' (format parquet)")
        aside.replace(file)
    return [action_id for action_id, *_ in taken]


def test_three_nights_stay_within_the_month_and_contact_nobody_twice(two_nights: Project) -> None:
    two_nights.dbt("build", *night(14))
    per_day = two_nights.query(
        "select as_of_date, count(*) from retention_actions_history where planned_action <> 'no_action' group by 1 order by 1"
    )
    assert len(per_day) >= 1
    twice = two_nights.query(
        "select customer_id from retention_actions_history where planned_action <> 'no_action'"
        " group by customer_id having count(*) > 1"
    )
    assert twice == []
    over = two_nights.query(
        "with used as (select planned_action as name, count(*) as contacts, sum(planned_cost) as cost"
        " from retention_actions_history where planned_action <> 'no_action' group by 1)"
        " select name from used join int_offers on name = offer where contacts > monthly_capacity"
        " union all select 'budget' from used having sum(cost) > (select monthly_budget + 0.005 from int_policy_parameters)"
    )
    assert over == []
    assert two_nights.query("select count(distinct as_of_date) from retention_actions_history") == [(3,)]


def test_more_budget_later_in_the_month_only_adds_what_is_new(two_nights: Project) -> None:
    more = night(13, monthly_budget=100000, channel_capacity={"email": 5000})
    two_nights.dbt("build", *DECIDE, *more)
    planned_twice = two_nights.query(
        "select customer_id from retention_actions_history where planned_action <> 'no_action'"
        " group by customer_id having count(*) > 1"
    )
    assert planned_twice == []
    still_open = two_nights.query(
        "select count(*) from retention_actions_deliverable where as_of_date = date '2026-10-12'"
    )[0][0]
    first = two_nights.query(
        "select count(*) from retention_actions_history where as_of_date = date '2026-10-12' and action <> 'no_action'"
    )[0][0]
    assert still_open == first > 0
    reasons = dict(
        two_nights.query(
            "select suppression_reason, count(*) from retention_actions where arm = 'suppressed' group by 1"
        )
    )
    assert reasons["open_action"] == first
    assert "held_out" in reasons


def test_running_the_latest_date_again_replaces_that_date_only(two_nights: Project) -> None:
    first = two_nights.query(HISTORY.format(day="2026-10-12"))
    second = two_nights.query(HISTORY.format(day="2026-10-13"))
    two_nights.dbt("build", *DECIDE, *night(13, minimum_customer_value=150))
    assert two_nights.query(HISTORY.format(day="2026-10-12")) == first
    assert two_nights.query(HISTORY.format(day="2026-10-13")) != second
    refused = two_nights.dbt("build", *night(12), succeeds=False)
    assert "only the latest date can be run again" in refused


def test_a_date_that_has_begun_to_be_executed_keeps_its_rows(nights: Project) -> None:
    executed = execute_actions(nights, 12, customers=3)
    before = nights.query(HISTORY.format(day="2026-10-12"))
    runs = nights.query("select * from policy_runs")
    texts = nights.folder / "seeds" / "demo" / "reason_texts.csv"
    texts.write_text(texts.read_text().replace("than most", "than others"))
    output = nights.dbt("build", *night(12, minimum_customer_value=150, monthly_budget=10))
    assert "WARN" in output
    assert "date_is_not_frozen" in output
    assert nights.query(HISTORY.format(day="2026-10-12")) == before
    assert nights.query("select * from policy_runs") == runs
    listed = ", ".join(f"'{action_id}'" for action_id in executed)
    assert nights.query(f"select * from retention_actions_deliverable where action_id in ({listed})") == []


def test_who_was_contacted_cools_down_for_a_development_target_too(nights: Project) -> None:
    executed = execute_actions(nights, 12, customers=3)
    [(erased,)] = nights.query(
        "select max(customer_id) from retention_actions where suppression_reason is null"
    )
    for command in (("erase", erased), ("publish",)):
        done = nights.run("python", "-m", "models_ml.cli", *command)
        assert done.returncode == 0, done.stderr
    copy = (nights.folder / "warehouse" / "published" / "demo" / "current" / "retention.duckdb").resolve()
    before = nights.warehouse().read_bytes(), copy.read_bytes()
    nights.dbt("build", "--target", "dev", *night(14, history_from="production.main"), *DECISIONS)
    assert (nights.warehouse().read_bytes(), copy.read_bytes()) == before
    nights.dbt("build", *night(14), *DECISIONS)
    for table, left_out in (
        ("retention_actions", "decided_at, updated_at, dbt_invocation_id"),
        ("int_month_limits", ""),
    ):
        selection = f"* exclude ({left_out})" if left_out else "*"
        sql = f"select {selection} from {table} order by all"
        assert nights.query(sql) == nights.query(sql, "dev_demo"), table
    runs = "select * from policy_runs where as_of_date = date '2026-10-14'"
    assert nights.query(runs) == nights.query(runs, "dev_demo")
    assert nights.query("select distinct as_of_date::varchar from retention_actions_history", "dev_demo") == [
        ("2026-10-14",)
    ]
    theirs = f"where customer_id = '{erased}'"
    assert nights.query(f"select count(*) from stg_customers {theirs}", "dev_demo") == [(1,)]
    assert nights.query(f"select count(*) from customer_features {theirs}", "dev_demo") == [(0,)]
    listed = ", ".join(f"'{action_id}'" for action_id in executed)
    reasons = nights.query(
        "select distinct suppression_reason from retention_actions where customer_id in"
        f" (select customer_id from retention_actions_history where action_id in ({listed}))"
    )
    assert reasons == [("cool_down",)]


def test_an_earlier_date_than_the_history_is_refused_before_anything_changes(
    built_project: Project, tmp_path: Path, new_project: Callable[..., Project]
) -> None:
    project = built_project.copy(tmp_path / "late")
    before = project.query("select * from retention_actions order by customer_id")
    output = project.dbt("build", *night(12), succeeds=False)
    assert "lies before the latest decisions" in output
    assert project.query("select * from retention_actions order by customer_id") == before
