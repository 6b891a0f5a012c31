"""What the service needs of a run: written when the run is published, read once when the service picks it up.

The folder holds ``serving.duckdb`` (small tables whole), ``customers.sqlite`` (what the run knows of each customer at
risk: SQLite finds one row in microseconds, without keeping pages in memory) and the pipeline that scored the run.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from models_ml.deployment.deployed import (
    VERSIONS,
    read_deployed,
    read_record,
    unpickle,
    verify,
    write_deployment,
)
from models_ml.deployment.record import DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.files import file_aside
from models_ml.training.pipeline import ChurnPipeline
from models_ml.warehouse import quoted, table_names

SNAPSHOT = "serving"  # folder of a published run that holds what the service needs
DATABASE = "serving.duckdb"
CUSTOMERS = "customers.sqlite"
BATCH_ROWS = 10_000
COPY = "snapshot_of_bayespilot"
RUN = "bayespilot run --source {source}"

# Small tables that are kept as they are.
WHOLE_TABLES = (
    "int_run",
    "int_policy_parameters",
    "int_offers",
    "int_channels",
    "int_month_limits",
    "int_measured_acceptance",
    "int_feature_population",
    "int_feature_reasons",
    "int_feature_schema",
    "int_served_expressions",
    "offer_effects",
    "offer_effect_covariances",
    "retention_curves",
    "reason_texts",
)
# Tables of which the service makes rows for single customers, so that it has to know their columns.
SHAPED_TABLES = ("customer_features",)
NEEDED = (
    *WHOLE_TABLES,
    *SHAPED_TABLES,
    *("churn_scores", "int_consents", "int_previous_actions", "int_previous_episodes", "int_served_actions"),
    *("int_suppressions", "policy_runs", "retention_actions"),
)

_PLAN = """
select policy_runs.*
from policy_runs
inner join int_run on policy_runs.as_of_date = int_run.as_of_date
"""

# What the plan of the run itself has taken of the month, which int_month_limits does not know yet.
_PLANNED_USE = """
select action, channel, count(*) as contacts, sum(cast(round(expected_cost * 100) as bigint)) as cost_cents
from retention_actions
where action <> 'no_action'
group by action, channel
"""

# Decisions of the service that the run has read from its log: they are in int_month_limits and in the episodes.
_COUNTED = """
select action_id from int_served_actions
"""

_CATEGORIES = """
select '{feature}' as feature, "{feature}" as category
from (
    select distinct "{feature}" from customer_features where as_of_date in (select as_of_date from int_run)
) as found
where "{feature}" is not null
"""

_CUSTOMERS = """
with run as (

    select as_of_date from int_run

),

consents as (

    select int_consents.customer_id, list(int_consents.channel) as channels
    from int_consents
    inner join run
        on run.as_of_date >= int_consents.valid_from
            and (int_consents.valid_until is null or run.as_of_date < int_consents.valid_until)
    where int_consents.is_granted
    group by int_consents.customer_id

),

episodes as (

    select customer_id, max(episode_number) as last_episode
    from int_previous_episodes
    group by customer_id

),

open_actions as (

    select
        int_previous_actions.customer_id,
        int_previous_actions as open_action
    from int_previous_actions
    inner join int_suppressions on int_previous_actions.action_id = int_suppressions.open_action_id
    inner join retention_actions
        on int_previous_actions.customer_id = retention_actions.customer_id
            and retention_actions.suppression_reason = 'open_action'
    -- history makes its ids as it is read: only those of actions that have not lapsed are needed
    inner join run on int_previous_actions.valid_to > run.as_of_date
    where int_previous_actions.action <> 'no_action'

)

select
    cast(retention_actions.customer_id as varchar) as customer_id,
    cast(to_json({
        'nightly': retention_actions,
        'channels': consents.channels,
        'last_episode': episodes.last_episode,
        'suppression_reason': int_suppressions.suppression_reason,
        'locked_offers': coalesce(int_suppressions.locked_offers, 0),
        'open_action': open_actions.open_action
    }) as varchar) as facts
from retention_actions
left join consents on retention_actions.customer_id = consents.customer_id
left join episodes on retention_actions.customer_id = episodes.customer_id
left join int_suppressions on retention_actions.customer_id = int_suppressions.customer_id
left join open_actions on retention_actions.customer_id = open_actions.customer_id
order by retention_actions.customer_id
"""


def write_snapshot(connection: duckdb.DuckDBPyConnection, artifacts_folder: Path, folder: Path) -> bool:
    """Write what the service needs of the run in the warehouse into a new folder.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The warehouse, opened read-only.
    artifacts_folder : Path
        Deployed and kept pipelines of the source.
    folder : Path
        Created; receives serving.duckdb, customers.sqlite and the pipeline with its record.

    Returns
    -------
    bool
        Whether there was anything to write. A warehouse that an earlier version of the project built lacks tables that
        the service needs, and the pipeline that made the scores may have been deleted since.

    Raises
    ------
    BayesPilotError
        If the files of that pipeline are not what its record says.
    """
    if not table_names(connection) >= set(NEEDED):
        return False
    source, version = connection.execute(
        "select (select source from int_run), (select max(pipeline_version) from retention_actions)"
    ).fetchall()[0]
    scoring = _pipeline_of(artifacts_folder, source, version)
    if scoring is None:
        return False
    record, content = scoring
    folder.mkdir(parents=True)
    write_deployment(folder, content, record)
    connection.execute(f"attach {quoted(folder / DATABASE)} as {COPY} (read_write, storage_version 'latest')")
    try:
        for table in WHOLE_TABLES:
            connection.execute(f"create table {COPY}.{table} as from {table}")
        connection.execute(f"create table {COPY}.plan as {_PLAN}")
        connection.execute(f"create table {COPY}.planned_use as {_PLANNED_USE}")
        connection.execute(f"create table {COPY}.counted as {_COUNTED}")
        connection.execute(
            f"create table {COPY}.identity as select current_timestamp::timestamp as written_at"
        )
        connection.execute(
            f"create table {COPY}.scores as select churn_probability from churn_scores order by churn_probability"
        )
        connection.execute(
            f"create table {COPY}.shapes as"
            " select table_name, column_name, data_type, is_nullable = 'YES' as is_nullable, ordinal_position"
            " from information_schema.columns where table_catalog = current_database()"
            " and table_name in (select unnest(?))",
            [list(SHAPED_TABLES)],
        )
        connection.execute(f"create table {COPY}.categories (feature varchar, category varchar)")
        for position in record.schema.categorical:
            feature = record.schema.names[position]
            connection.execute(f"insert into {COPY}.categories {_CATEGORIES.format(feature=feature)}")
    finally:
        connection.execute(f"detach {COPY}")
    _write_customers(connection, folder / CUSTOMERS)
    return True


def _write_customers(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    with closing(sqlite3.connect(path)) as customers, customers:
        customers.execute("pragma page_size = 16384")  # several rows a page: little of it stays empty
        customers.execute("create table customers (customer_id text primary key, facts text not null)")
        connection.execute(_CUSTOMERS)
        while rows := connection.fetchmany(BATCH_ROWS):
            customers.executemany("insert into customers values (?, ?)", rows)


def remove_customers(path: Path, erased: Sequence[str]) -> int:
    """Rewrite the facts of a published run without some customers; return how many it held of them."""
    select = "customer_id in (select value from json_each(?))"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as customers:
        (held,) = customers.execute(
            f"select count(*) from customers where {select}", [json.dumps(erased)]
        ).fetchone()
    if held:
        with file_aside(path) as aside:
            shutil.copyfile(path, aside)
            with closing(sqlite3.connect(aside)) as customers:
                customers.execute(f"delete from customers where {select}", [json.dumps(erased)])
                customers.commit()
                customers.execute("vacuum")  # a deleted row otherwise stays in the file
    return int(held)


def _pipeline_of(artifacts_folder: Path, source: str, version: str) -> tuple[DeploymentRecord, bytes] | None:
    """Return the pipeline that made the scores; since then another one may have been deployed."""
    deployed = read_deployed(artifacts_folder, source)
    if deployed is not None and deployed[0].pipeline_version == version:
        return deployed
    kept = artifacts_folder / VERSIONS / version
    record = read_record(kept)
    return None if record is None else (record, verify(kept, record, source))


@dataclass(frozen=True)
class Snapshot:
    """A published run as it was read: its pipeline, small tables by name, and the facts of its customers.

    ``connection`` is in memory, with the small tables attached and no way to other files; ``customers`` is for look-ups
    by one thread at a time.
    """

    pipeline: ChurnPipeline
    record: DeploymentRecord
    tables: Mapping[str, pa.Table]
    connection: duckdb.DuckDBPyConnection
    customers: sqlite3.Connection

    @property
    def database(self) -> str:
        """Name under which the small tables are attached."""
        return COPY

    def facts(self, customers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what the run knew of each of the customers that it knows."""
        found = self.customers.execute(
            "select customer_id, facts from customers where customer_id in (select value from json_each(?))",
            [json.dumps(customers)],
        )
        return {customer: json.loads(facts) for customer, facts in found}


def read_snapshot(folder: Path, source: str) -> Snapshot:
    """Read the snapshot of a published run; the pipeline is verified before it is unpickled.

    Raises
    ------
    BayesPilotError
        If there is none, or its pipeline is not what the record says.
    """
    record = read_record(folder)
    if record is None or not all((folder / name).is_file() for name in (DATABASE, CUSTOMERS)):
        raise BayesPilotError(
            "the published run holds nothing for the service",
            where=str(folder),
            next_step=RUN.format(source=source),
        )
    pipeline = unpickle(verify(folder, record, source), folder)
    connection = duckdb.connect(":memory:")
    connection.execute("set threads = 1")
    connection.execute("set enable_progress_bar = false")
    connection.execute("set python_enable_replacements = false")
    connection.execute(f"attach {quoted(folder / DATABASE)} as {COPY} (read_only)")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    tables = {
        table: connection.sql(f"select * from {COPY}.{table}").to_arrow_table()
        for table in (
            *WHOLE_TABLES,
            "identity",
            "plan",
            "planned_use",
            "counted",
            "scores",
            "shapes",
            "categories",
        )
    }
    # The file never changes: it is replaced as a whole. Nothing is locked, and it may lie on a read-only disk.
    customers = sqlite3.connect(
        f"{(folder / CUSTOMERS).absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False
    )
    return Snapshot(pipeline, record, tables, connection, customers)
