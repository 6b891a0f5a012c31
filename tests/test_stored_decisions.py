"""History is stored without what a row says itself, is read as whole rows, and shows what was changed afterwards."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from conftest import Project

pytestmark = pytest.mark.build

HISTORY = "select * from retention_actions_history order by as_of_date, customer_id"
TAKE_OVER = ("run", "--select", "int_stored_decisions", "retention_actions_history")
AUDIT = ("test", "--select", "fqn:retention_actions_history__*_as_decided")
# Texts that a pattern cannot hold, or only nearly: braces of their own, no numbers, the same number twice, none.
AWKWARD = """
    case hash(customer_id) % 5
        when 0 then 'Say {risk} and {stake}: ' || rationale
        when 1 then 'Nothing to tell'
        when 2 then rationale || ' ' || rationale
        when 3 then ''
        else rationale
    end"""


def change(project: Project, *statements: str) -> None:
    with duckdb.connect(str(project.warehouse())) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture(scope="module")
def project(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_project.copy(tmp_path_factory.mktemp("stored") / "project")


def test_rows_are_read_as_they_were_decided_and_hold_little(project: Project) -> None:
    with duckdb.connect(str(project.warehouse()), read_only=True) as connection:
        decided = connection.sql("select * from int_decisions order by customer_id").to_arrow_table()
        columns = ", ".join(decided.column_names)
        for table in ("retention_actions", "retention_actions_history"):
            shown = connection.sql(f"select {columns} from {table} order by customer_id").to_arrow_table()
            assert shown.equals(decided), table
    of_the_others = (
        "from int_stored_decisions where planned_action = 'no_action' and propensity_no_action = 1"
    )
    [(rows, hashes, texts, patterns)] = project.query(
        f"select count(*), count(row_hash), count(rationale), count(distinct rationale_pattern) {of_the_others}"
    )
    assert rows > 100
    assert (hashes, texts) == (0, 0)
    assert patterns < rows / 2
    assert project.query("select count(*) from int_stored_decisions where (planned_action <> 'no_action' or propensity_no_action < 1) and row_hash is null") == [
        (0,)
    ]  # fmt: skip
    assert project.dbt(*AUDIT)


def test_a_table_of_whole_rows_is_taken_over_without_loss(project: Project) -> None:
    change(
        project,
        f"""
        create table whole as
        from retention_actions_history
        union all by name
        select * replace (
            as_of_date - 7 as as_of_date, md5(customer_id || '/' || (as_of_date - 7)::date) as action_id,
            md5(row_hash) as row_hash, {AWKWARD} as rationale, decided_at - interval 7 days as decided_at
        )
        from retention_actions_history
        """,
        "drop view retention_actions_history",
        "drop table int_stored_decisions",
        "alter table whole rename to retention_actions_history",
        "alter table retention_actions_history add column signal_packing_up double",
    )
    refused = project.run("dbt", *TAKE_OVER)
    assert refused.returncode == 1
    assert "int_stored_decisions would not take over: signal_packing_up" in refused.stdout.replace(
        "\n  ", " "
    )
    change(project, "alter table retention_actions_history drop column signal_packing_up")
    before = project.query(HISTORY)
    project.dbt(*TAKE_OVER)
    after = project.query(HISTORY)
    assert len(after) == len(before) > 200
    assert after == before
    assert project.query("select count(*) > 20 from int_stored_decisions where rationale is not null") == [
        (True,)
    ]
    project.dbt(*TAKE_OVER)
    assert project.query(HISTORY) == before
    assert project.query("select table_type from information_schema.tables where table_name = 'retention_actions_history'") == [
        ("VIEW",)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "tampering",
    [
        "update int_stored_decisions set churn_probability = churn_probability + 1e-9 where customer_id = (select max(customer_id) from int_run, retention_actions)",
        "delete from int_stored_decisions where customer_id = (select max(customer_id) from retention_actions)",
        "insert into int_stored_decisions by name select * replace (customer_id || 'x' as customer_id) from int_stored_decisions where as_of_date = (select max(as_of_date) from int_run) limit 1",
    ],
    ids=["changed", "removed", "added"],
)  # fmt: skip
def test_a_row_that_was_touched_since_is_found(project: Project, tmp_path: Path, tampering: str) -> None:
    touched = project.copy(tmp_path / "project")
    change(touched, tampering)
    audit = touched.run("dbt", *AUDIT)
    assert audit.returncode == 1
    assert audit.stdout.count("FAIL 1 retention_actions_history__") == 2
