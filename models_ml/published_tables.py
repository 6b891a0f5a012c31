"""The tables of the published copy: which they are, whether they are those of one run, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from models_ml.errors import BayesPilotError
from models_ml.published_history import HISTORY, create_views, write_nights
from models_ml.warehouse import build_command, quoted, sql_text, table_names

PUBLISHED_TABLES = (
    "retention_actions",
    "retention_actions_deliverable",
    "retention_actions_sync",
    "retention_actions_history",
    "policy_runs",
    "action_outcomes",
    "offer_effects",
    "offer_effect_covariances",
    "deployed_pipeline",
    "pipeline_candidates",
    "pipeline_deployments",
    "retention_curves",
    "churn_scores",
    "customer_features",
    "quarantine",
    "erased_actions",
    # What plans are made of, and what the pages explain them with: the app decides again from the copy.
    "int_decision_candidates",
    "int_policy_parameters",
    "int_offers",
    "int_measured_acceptance",
    "int_month_limits",
    "int_monitoring_limits",
    # Read by the next run as what earlier runs left, so that a run may take its history from a published copy.
    "offer_effects_history",
    "offer_effect_covariances_history",
    "policy_value_history",
    "int_enrolled_months",
    "int_served_actions",
    "erased_customers",
)
REPORT_PREFIX = "rpt_"  # every report table is published
# The copy is for what was decided; what only a training reads stays in the warehouse.
ONLY_ROWS = {"customer_features": "where as_of_date = (select as_of_date from int_run)"}
PARQUET_TABLES = ("retention_actions", "retention_actions_deliverable", "retention_actions_sync")
DATABASE = "retention.duckdb"
RUN_TABLE = "published_run"
# Tables whose newest rows are those of the run's date.
DATED_TABLES = (
    "retention_actions",
    "retention_actions_history",
    "policy_runs",
    "churn_scores",
    "rpt_run_volume",
    "rpt_expected_performance",
)
# The oldest storage format that every DuckDB 1.x client opens; most BI drivers are behind the library.
STORAGE_VERSION = "v1.0.0"
COPY = "published_by_bayespilot"  # the warehouse is attached under the name of its file, which must differ


class UnfinishedRunError(BayesPilotError):
    """The last build made only a part of a run, so that the warehouse holds tables of two runs."""


@dataclass(frozen=True)
class WarehouseRun:
    """The run whose tables the warehouse holds; ``customers`` is the number of rows of retention_actions."""

    as_of_date: date
    dbt_invocation_id: str
    customers: int


@dataclass(frozen=True)
class Publication:
    """A run that is being published; every part of its folder carries ``run_id``.

    Attributes
    ----------
    source : str
        Name of the source.
    run_id : str
        Time of publishing and the first characters of ``dbt_invocation_id``: sorts by time, is a name of a folder.
    as_of_date : date
        Day of the run's decisions.
    dbt_invocation_id : str
        Invocation that began the run, as ``int_run`` holds it.
    published_at : datetime
        UTC, without a zone.
    folder : Path
        Folder to write into; it is renamed once every part is written.
    history : Path
        Folder of the files of all nights, which runs share.
    """

    source: str
    run_id: str
    as_of_date: date
    dbt_invocation_id: str
    published_at: datetime
    folder: Path
    history: Path


def check_one_run(connection: duckdb.DuckDBPyConnection, source: str, warehouse: Path) -> WarehouseRun:
    """Return the run of the warehouse's tables.

    Raises
    ------
    BayesPilotError
        If there are no decisions, two tables are of different dates or versions, or the history is another target's.
    UnfinishedRunError
        If the last build did not come to its end.
    """
    build, stays = build_command(source), "the copy published earlier stays as it is"
    customers = int(connection.execute("select count(*) from retention_actions").fetchall()[0][0])
    begun = connection.execute(
        "select as_of_date, dbt_invocation_id, history_from, is_frozen from int_run"
    ).fetchall()
    if customers == 0 or not begun:
        raise BayesPilotError(
            f"{'int_run' if customers else 'retention_actions'} is empty; {stays}",
            where=str(warehouse),
            next_step=f"{build} (a build with --empty decides nothing)",
        )
    ((as_of_date, invocation, history_from, is_frozen),) = begun
    finished = connection.execute("select as_of_date, dbt_invocation_id from int_finished_run").fetchall()
    if finished != [(as_of_date, invocation)]:
        raise UnfinishedRunError(
            f"the last build made only a part of a run, so that tables are of different runs; {stays}",
            where=str(warehouse),
            values=[
                f"int_run was begun by {invocation} for {as_of_date}",
                *(f"the last finished run is {one} for {day}" for day, one in finished),
            ],
            next_step=build,
        )
    if history_from is not None:
        raise BayesPilotError(
            f"this run was decided on the history of {history_from}; only the target that keeps the history publishes",
            where=str(warehouse),
            next_step=f"{build} where the history is kept; leave out history_from to publish from here",
        )
    _refuse_differences(connection, warehouse, build, as_of_date, is_frozen=is_frozen)
    return WarehouseRun(as_of_date, invocation, customers)


def _refuse_differences(
    connection: duckdb.DuckDBPyConnection, warehouse: Path, build: str, as_of_date: date, *, is_frozen: bool
) -> None:
    """Raise where two tables speak of different runs: of another date, pipeline or policy."""
    said: list[tuple[str, str, str]] = [
        (table, f"{as_of_date}", f"{newest}")
        for table in DATED_TABLES
        for (newest,) in connection.execute(f"select max(as_of_date) from {table}").fetchall()
        if newest is not None and newest != as_of_date
    ]
    compared = [("policy_runs", "policy_version", f"where as_of_date = date '{as_of_date}'")]
    if not is_frozen:  # decisions that have begun to be executed keep the pipeline that made them
        compared += [(table, "pipeline_version", "") for table in ("churn_scores", "deployed_pipeline")]
    for table, column, where in compared:
        decided, other = (
            {
                value
                for (value,) in connection.execute(f"select distinct {column} from {name} {rows}").fetchall()
            }
            for name, rows in (("retention_actions", ""), (table, where))
        )
        if decided != other:
            ours, theirs = (f"{column} {', '.join(sorted(map(str, each)))}" for each in (decided, other))
            said.append((table, ours, theirs))
    if said:
        raise BayesPilotError(
            "the warehouse holds tables of different runs; the copy published earlier stays as it is",
            where=str(warehouse),
            values=[f"{table} is of {theirs}, the run is of {ours}" for table, ours, theirs in said],
            next_step=build,
        )


def write_database(connection: duckdb.DuckDBPyConnection, publication: Publication) -> None:
    """Write retention.duckdb: the public tables with their comments, and the table ``published_run``."""
    comments = _comments(connection)
    nights = write_nights(connection, publication.history)
    file = quoted(publication.folder / DATABASE)
    connection.execute(f"attach {file} as {COPY} (read_write, storage_version '{STORAGE_VERSION}')")
    try:
        create_views(connection, COPY, nights)
        for table in _published(connection):
            kind = "view" if table == HISTORY else "table"
            if kind == "table":
                rows = ONLY_ROWS.get(table, "")
                connection.execute(f"create table {COPY}.{table} as select * from {table} {rows}")
            for column, comment in comments.get(table, ()):
                on = f"column {COPY}.{table}.{column}" if column else f"{kind} {COPY}.{table}"
                connection.execute(f"comment on {on} is {sql_text(comment)}")
        connection.execute(
            f"create table {COPY}.{RUN_TABLE} as select {sql_text(publication.run_id)} as run_id,"
            f" {sql_text(publication.source)} as source, date '{publication.as_of_date}' as as_of_date,"
            f" {sql_text(publication.dbt_invocation_id)} as dbt_invocation_id,"
            f" timestamp '{publication.published_at}' as published_at"
        )
        connection.execute(f"comment on table {COPY}.{RUN_TABLE} is 'One row: the run that this copy holds.'")
    finally:
        connection.execute(f"detach {COPY}")


def write_parquet(connection: duckdb.DuckDBPyConnection, publication: Publication) -> None:
    """Write the tables that CRM syncs read; the run's id stands in the key-value metadata of each file."""
    metadata = ", ".join(
        f"{key}: {sql_text(str(value))}"
        for key, value in (
            (RUN_TABLE, publication.run_id),
            ("source", publication.source),
            ("as_of_date", publication.as_of_date),
        )
    )
    for table in _published(connection):
        if table in PARQUET_TABLES:
            file = quoted(publication.folder / f"{table}.parquet")
            connection.execute(
                f"copy (from {table}) to {file} (format parquet, compression zstd, kv_metadata {{{metadata}}})"
            )


def _published(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the tables to publish that the warehouse holds."""
    present = table_names(connection)
    reports = sorted(name for name in present if name.startswith(REPORT_PREFIX))
    return [table for table in (*PUBLISHED_TABLES, *reports) if table in present]


def _comments(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """Return the comments of each table or view: of the relation (column ''), and of its columns."""
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, comment in connection.execute(
        "select table_name, '', comment from duckdb_tables() where database_name = current_database()"
        " union all select view_name, '', comment from duckdb_views() where database_name = current_database()"
        " union all select table_name, column_name, comment from duckdb_columns()"
        " where database_name = current_database()"
    ).fetchall():
        if comment is not None:
            found.setdefault(table, []).append((f'"{column}"' if column else "", comment))
    return found
