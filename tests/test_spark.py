"""The target `spark`: what it publishes is what DuckDB publishes, table by table and row by row."""

from __future__ import annotations

import importlib.util
import os
import shutil
import textwrap
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from conftest import DECISIONS, Project, copy_project
from test_nightly import execute_actions, night

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA = shutil.which("java", path=os.environ.get("JAVA_HOME", "") + "/bin") or shutil.which("java")
HAS_SPARK = all(importlib.util.find_spec(name) for name in ("pyspark", "dbt.adapters.spark"))
pytestmark = [
    pytest.mark.skipif(not HAS_SPARK, reason="the extra spark is not installed: pip install -e '.[spark]'"),
    pytest.mark.skipif(JAVA is None, reason="there is no Java: install Java 17 or 21"),
]
NIGHTS = "RETENTION_TEST_SPARK_NIGHTS"
# A small world in little time: interpreted stages, and the quick half of Java's compiler.
QUICK = {
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m",
    "PYSPARK_SUBMIT_ARGS": (
        "--conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN pyspark-shell"
    ),
}
# What two builds of one run tell differently: times, names of invocations, and which of them has trained.
OF_THE_BUILD = {
    "decided_at",
    "updated_at",
    "dbt_invocation_id",
    "was_trained_now",
    "trained_because",
    "training_outcome",
    "training_outcome_reason",
}
ONE_OF_EACH = pa.table(
    {
        "as_of_date": pa.array([date(2026, 1, 31), date(2026, 2, 28), None], pa.date32()),
        "customer_id": pa.array(["it's", "b\\", None]),
        "count": pa.array([1, None, 3], pa.int32()),
        "unknown": pa.array([None, None, None], pa.int64()),
        "share": pa.array([0.1, 1 / 3, None]),
        "is_held": pa.array([True, None, False]),
        "at": pa.array([datetime(2026, 1, 1, 3, 4, 5), None, None], pa.timestamp("us")),
    }
)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session as the target starts it, in this process, with a schema ``main`` that holds ``one_of_each``."""
    from dbt.adapters.sparksession.session import spark_session

    credentials: Any = SimpleNamespace(
        remote="",
        metastore="",
        warehouse=str(tmp_path_factory.mktemp("spark")),
        settings={"spark.master": "local[1]", "spark.ui.enabled": False, "spark.sql.shuffle.partitions": 1},
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        session = spark_session(credentials)
    session.sql("create schema if not exists main")
    session.createDataFrame(ONE_OF_EACH).write.saveAsTable("main.one_of_each")
    yield session
    session.stop()


def run_python_model(spark: SparkSession, returned: str, table: str) -> None:
    """Run a model that reads ``one_of_each`` by the select ``{rows}`` and returns an expression over ``cursor``."""
    from models_ml.engines.spark import run_model

    code = f"""
        import pyarrow as pa

        def model(dbt, session):
            cursor, rows = session.cursor(), dbt.ref("one_of_each").sql_query()
            dbt.ref("not_there").sql_query()  # a table that no statement names is not fetched
            return {returned}

        class dbtObj:
            def __init__(self, load):
                self.ref = lambda name: load("main." + name)

        table_to_create = "main.{table}"
    """
    run_model(spark, table, textwrap.dedent(code))


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (row["count"] is None, row["count"]))


@pytest.mark.parametrize(
    "returned", ["cursor.sql(rows).to_arrow_table()", "cursor.sql(rows).to_arrow_reader(1)"]
)
def test_a_python_model_keeps_types_and_nulls(spark: SparkSession, returned: str) -> None:
    table = f"kept_{len(returned)}"
    run_python_model(spark, returned, table)
    found = spark.table(f"main.{table}").toArrow()
    assert [(field.name, field.type) for field in found.schema] == [
        (field.name, field.type) for field in ONE_OF_EACH.schema
    ]
    assert sorted_rows(found) == sorted_rows(ONE_OF_EACH)


def test_a_model_without_rows_makes_a_table_with_its_columns(spark: SparkSession) -> None:
    run_python_model(spark, 'cursor.sql(f"from ({rows}) where false").to_arrow_reader(10)', "empty")
    found = spark.table("main.empty").toArrow()
    assert (found.num_rows, found.column_names) == (0, ONE_OF_EACH.column_names)


def test_a_failing_model_says_what_it_said(spark: SparkSession) -> None:
    from models_ml.dbt_build import without_stack_trace

    with pytest.raises(RuntimeError) as raised:
        run_python_model(spark, "1 / 0", "failing")
    assert without_stack_trace(str(raised.value)).endswith("ZeroDivisionError: division by zero")


def test_what_a_cluster_sends_day_by_day_is_the_whole_table(spark: SparkSession) -> None:
    from models_ml.engines.spark import daily_parts

    parts = list(daily_parts(spark.table("main.one_of_each")))
    assert [part.num_rows for part in parts] == [1, 1, 1]
    assert sorted_rows(pa.concat_tables(parts)) == sorted_rows(ONE_OF_EACH)
    (whole,) = daily_parts(spark.table("main.one_of_each").drop("as_of_date"))
    assert whole.num_rows == 3


def test_texts_of_seeds_are_quoted(spark: SparkSession) -> None:
    from dbt.adapters.sparksession.connections import SessionWrapper

    values = ["it's", 'a "b" \\n', None, "%s"]
    texts = ", ".join(f"cast({SessionWrapper._fix_binding(value)} as string)" for value in values)
    assert list(spark.sql(f"select {texts}").first()) == values


def test_a_switch_is_finished_only_where_the_earlier_table_is_gone() -> None:
    from dbt.adapters.sparksession.impl import unfinished_switches

    names = ["plan", "plan__dbt_new", "log__dbt_new", "dbt_new"]
    assert unfinished_switches(names) == [("log__dbt_new", "log")]


def published_by(project: Project, *options: str) -> Path:
    """Publish the latest run and return the DuckDB file of the published copy."""
    finished = project.run("bayespilot", "publish", *options)
    assert finished.returncode == 0, finished.output[-4000:]
    return project.folder / "warehouse" / "published" / "demo" / "current" / "retention.duckdb"


def columns_of(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, dict[str, str]]:
    """Return the columns of each table, with their types."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() where database_name = ?", [database]
    ).fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def differences(expected: Path, found: Path) -> list[str]:
    """Return what differs between the tables of two files, as texts; the first may hold further tables.

    Numbers are compared to 9 digits. A warehouse holds the features of all dates, a copy those of the run.
    """
    with duckdb.connect() as connection:
        for name, file in (("expected", expected), ("found", found)):
            connection.execute(f"attach '{file}' as {name} (read_only)")
        theirs, ours = columns_of(connection, "expected"), columns_of(connection, "found")
        # A copy from Spark holds the history as whole rows, without the table that DuckDB's history is read from.
        further = ours.keys() - theirs.keys() - {"int_stored_decisions"}
        said = [f"{table}: in the second file only" for table in further]
        for table in sorted((ours.keys() & theirs.keys()) - {"published_run"}):
            said += [
                f"{table}.{name}: in one file only" for name in ours[table].keys() ^ theirs[table].keys()
            ]
            compared = ", ".join(
                f'round("{name}", 9)' if kind == "DOUBLE" else f'"{name}"'
                for name, kind in theirs[table].items()
                if name in ours[table] and name not in OF_THE_BUILD
            )
            of_run = table == "customer_features" and "int_run" in ours
            where = "where as_of_date in (select as_of_date from found.int_run)" if of_run else ""
            for one, other in (("expected", "found"), ("found", "expected")):
                rows = connection.execute(
                    f"select {compared} from {one}.{table} {where}"
                    f" except all select {compared} from {other}.{table} {where} limit 3"
                ).fetchall()
                said += [f"{table}, only in {one}: {row}" for row in rows]
        assert ours.keys() >= {"retention_actions", "policy_runs", "churn_scores", "customer_features"}
        return said


def on_spark(project: Project, folder: Path) -> Project:
    """Return a copy of a project with its pipelines and without its warehouse; builds on Spark take little time."""
    copy = project.copy(folder)
    shutil.rmtree(copy.folder / "warehouse")
    (copy.folder / "warehouse").mkdir()
    copy.environment |= QUICK
    return copy


def build_on_spark(project: Project, *options: str) -> str:
    """Build the target; without the parsed project that DuckDB's builds share."""
    finished = project.run(
        "dbt", "--no-use-colors", "build", "--target", "spark", *options, cwd=project.folder
    )
    assert finished.returncode == 0, finished.output[-6000:]
    return finished.output


@pytest.mark.build
@pytest.mark.skipif(NIGHTS not in os.environ, reason=f"takes minutes of CPU: set {NIGHTS}=1")
def test_decisions_on_spark_are_those_of_duckdb(built_project: Project, tmp_path: Path) -> None:
    project = on_spark(built_project, tmp_path / "project")
    build_on_spark(project, *DECISIONS)
    copied = project.folder / "warehouse" / "copied.duckdb"
    operation = ("run-operation", "copy_run", "--target", "spark", "--args", f"{{file: {copied}}}")
    finished = project.run("dbt", "--no-use-colors", *operation, cwd=project.folder)
    assert finished.returncode == 0, finished.output[-4000:]
    assert differences(built_project.warehouse(), copied) == []
    with duckdb.connect(str(copied), read_only=True) as connection:
        ((customers, contacted),) = connection.execute(
            "select count(*), count(*) filter (action <> 'no_action') from retention_actions"
        ).fetchall()
    assert customers > contacted > 10


@pytest.mark.build
@pytest.mark.skipif(NIGHTS not in os.environ, reason=f"takes minutes of CPU: set {NIGHTS}=1")
def test_a_night_on_spark_publishes_what_duckdb_publishes(built_project: Project, tmp_path: Path) -> None:
    project = on_spark(built_project, tmp_path / "project")
    said = build_on_spark(project)
    assert "ERROR=0 SKIP=0" in said
    assert "START test" in said  # the data tests of a night are part of it
    expected, found = published_by(built_project), published_by(project, "--target", "spark")
    assert differences(expected, found) == differences(found, expected) == []


@pytest.mark.build
@pytest.mark.skipif(NIGHTS not in os.environ, reason=f"takes minutes of CPU: set {NIGHTS}=1")
def test_further_nights_on_spark_publish_what_duckdb_publishes(
    built_project: Project, small_world: Path, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(small_world, tmp_path / "raw"))
    duckdb_project = copy_project(tmp_path / "duckdb", raw)
    artifacts = Path("models_ml") / "artifacts"
    shutil.copytree(built_project.folder / artifacts, duckdb_project.folder / artifacts)
    spark_project = on_spark(duckdb_project, tmp_path / "spark")
    for day in (12, 13, 14):
        duckdb_project.dbt("build", *night(day))
        build_on_spark(spark_project, *night(day))
        expected, found = published_by(duckdb_project), published_by(spark_project, "--target", "spark")
        assert differences(expected, found) == differences(found, expected) == [], day
        if day == 12:
            execute_actions(duckdb_project, day, 20)  # both read the same raw tables
