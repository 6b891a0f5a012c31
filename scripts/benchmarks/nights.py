"""A night with any number of nights behind it: time, memory, disk, and the nodes that take longest.

A business is generated, its first nights are built, and the nights before them are fabricated from the first: the rows
that a run leaves, under earlier dates. The customers that the first night picked open an episode every `CYCLE_DAYS`
days, as where a month's budget is spent on its first day, and are suppressed in between; four in five actions are
executed. What later runs read so holds together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
from dbt_project_copy import ProjectCopy, Usage

from benchmarks.measures import BenchmarkProject, quiet_connection
from benchmarks.raw_tables import ENDS_ON, DataSize, write_raw_tables
from models_ml.errors import BayesPilotError

FIRST_NIGHT, SETTLED_ON = ENDS_ON - timedelta(days=2), ENDS_ON - timedelta(days=1)
CYCLE_DAYS = 31  # longer than the demo's horizon: one episode of a customer is over before the next
HISTORY_DATES = 12  # months of history for the training dates
# One set of rows per as_of_date, appended by each run.
RUN_LOGS = (
    "policy_runs",
    "offer_effects_history",
    "offer_effect_covariances_history",
    "rpt_run_volume",
    "rpt_feature_drift",
    "rpt_feed_freshness",
    "rpt_score_drift",
    "rpt_expected_performance",
)
SLOWEST = 10
# Numbers of a decision that move every night, and their decimals.
MOVING = (("churn_probability", 9), ("risk_percentile", 6), ("customer_value", 2))
# What is decided on a customer whose episode is open.
WAITING = {
    "action": "'no_action'",
    "planned_action": "'no_action'",
    "action_label": "'Leave alone'",
    "arm": "'suppressed'",
    "suppression_reason": "'open_episode'",
    "propensity": "1",
    "propensity_no_action": "1",
    "planned_cost": "0",
    "planned_value": "0",
    "rationale_pattern": "'Not contacted again: an earlier decision holds; {risk} of {stake}.'",
    **dict.fromkeys(
        (
            *("channel", "priority", "relative_risk", "effect_source", "expected_cost"),
            *("incremental_expected_value", "rationale", "row_hash"),
        ),
        "null",
    ),
}


@dataclass(frozen=True)
class Night:
    """One measured night: what dbt took, and in which state it found and left the warehouse.

    Attributes
    ----------
    nights : int
        Nights behind it.
    customers_at_risk : int
        Customers whom it decides for.
    history_rows : int
        Rows of retention_actions_history afterwards.
    usage : Usage
        Of ``dbt build``, data tests included.
    publishing : Usage
        Of ``bayespilot publish`` after it, where the nights before have been published.
    grown_mb : float
        Growth of the warehouse file, in megabytes; space that earlier nights freed is used first.
    file_mb : float
        The file afterwards.
    nodes : dict
        Seconds of each node of the run, by name.
    """

    nights: int
    customers_at_risk: int
    history_rows: int
    usage: Usage
    publishing: Usage
    grown_mb: float
    file_mb: float
    nodes: dict[str, float]

    def slowest(self) -> list[tuple[str, float]]:
        """Return the nodes that took longest, slowest first."""
        return sorted(self.nodes.items(), key=lambda node: (-node[1], node[0]))[:SLOWEST]


def measure_nights(
    project: BenchmarkProject, size: DataSize, nights: list[int], *, notify: Callable[[str], None]
) -> list[Night]:
    """Measure the same night with each number of nights behind it.

    The night before it reads what was fabricated, and keeps what a run keeps; only the night itself is measured.

    Raises
    ------
    BayesPilotError
        If dbt fails.
    """
    if not project.has("first", "retention_actions_history"):
        notify(f"writing {size.events:,} events of {size.customers:,} customers")
        write_raw_tables(project.raw, size)
        project.copy_project()
        notify("building the first night, which trains")
        build_night(project, "first", FIRST_NIGHT)
        shutil.copy2(project.raw / "retention_contacts.parquet", project.folder / "contacts.parquet")
    return [_measure(project, behind, notify) for behind in nights]


def _measure(project: BenchmarkProject, behind: int, notify: Callable[[str], None]) -> Night:
    name = f"night_{behind}"
    project.remove(name)
    shutil.copy2(project.warehouse("first"), project.warehouse(name))
    notify(f"fabricating {behind - 2} nights")
    fabricate(project.warehouse(name), behind - 2)
    _write_contacts(project, name)
    notify(f"building the night before, with {behind - 1} nights behind it")
    build_night(project, name, SETTLED_ON)
    shutil.rmtree(project.folder / "published", ignore_errors=True)
    _publish(project, name)
    before = project.warehouse(name).stat().st_size
    notify(f"building a night, with {behind} nights behind it")
    usage = build_night(project, name, ENDS_ON)
    seconds = node_seconds(project.copy / "target")
    publishing = _publish(project, name)
    after = project.warehouse(name).stat().st_size
    with quiet_connection(project.warehouse(name)) as connection:
        counts = "select count(*), count(*) filter (as_of_date = ?) from retention_actions_history"
        rows, at_risk = connection.execute(counts, [ENDS_ON]).fetchall()[0]
    return Night(behind, at_risk, rows, usage, publishing, (after - before) / 1e6, after / 1e6, seconds)


def build_night(project: BenchmarkProject, name: str, as_of_date: date) -> Usage:
    """Run ``dbt build`` for a date, as a scheduler does."""
    variables = json.dumps({"source": "demo", "as_of_date": f"{as_of_date}"})
    return _copy(project, name).build("--vars", variables)


def _publish(project: BenchmarkProject, name: str) -> Usage:
    finished = _copy(project, name).run("bayespilot", "publish")
    if finished.returncode:
        raise BayesPilotError(
            "bayespilot publish failed", where=str(project.warehouse(name)), values=[finished.output[-500:]]
        )
    return finished.usage


def _copy(project: BenchmarkProject, name: str) -> ProjectCopy:
    settings = {"RETENTION_DB": str(project.warehouse(name)), "RETENTION_MEMORY_LIMIT": project.memory_limit}
    return ProjectCopy(project.copy, project.raw, settings)


def node_seconds(target: Path) -> dict[str, float]:
    """Return the seconds of each node of the last run, from dbt's own records."""
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    return {result["unique_id"].split(".")[2]: result["execution_time"] for result in results}


def fabricate(warehouse: Path, nights: int, first_night: date = FIRST_NIGHT) -> None:
    """Add ``nights`` nights before the first one of a warehouse: decisions, and the logs of their runs.

    Night by night, the earliest first, as runs would: each one's rows lie together, and no night needs memory of
    another. Probabilities, percentiles and values differ from night to night by a few per cent, so that they compress
    as those of real nights do.
    """
    with quiet_connection(warehouse) as connection:
        for back in range(nights, 0, -1):
            connection.execute("begin")
            for table in RUN_LOGS:
                unknown = {"decisions_hash": "null"} if table == "policy_runs" else {}
                _repeat(connection, table, first_night, {"as_of_date": f"as_of_date - {back}"} | unknown)
            _repeat(connection, "int_stored_decisions", first_night, _decided_before(back))
            connection.execute("commit")
        connection.execute("checkpoint")


def _decided_before(back: int) -> dict[str, str]:
    """Return the columns in which decisions of ``back`` days before differ from those of the first night."""
    changed = {name: f"{name} - {back}" for name in ("as_of_date", "valid_from", "valid_to")} | {
        "decided_at": f"decided_at - {back} * interval 1 day",
        "updated_at": f"updated_at - {back} * interval 1 day",
        **{
            name: f"round({name} * (1 - hash(customer_id, {back}) % 1000 / 2e4), {digits})"
            for name, digits in MOVING
        },
        "row_hash": f"md5(row_hash || '{back}')",
    }
    if back % CYCLE_DAYS == 0:  # the customers that the first night picked are picked again
        return changed
    waits = "arm in ('policy', 'pick_holdout', 'trial')"
    return changed | {
        name: f"case when {waits} then {value} else {changed.get(name, name)} end"
        for name, value in WAITING.items()
    }


def _repeat(
    connection: duckdb.DuckDBPyConnection, table: str, first_night: date, changed: dict[str, str]
) -> None:
    replaced = ", ".join(f"({value}) as {name}" for name, value in changed.items())
    connection.execute(
        f"insert into {table} by name select * replace ({replaced}) from {table}"
        f" where as_of_date = date '{first_night}'"
    )


def _write_contacts(project: BenchmarkProject, name: str) -> None:
    """Add to the raw contacts those that execute four in five of the warehouse's actions, two days later."""
    with quiet_connection(project.warehouse(name)) as connection:
        connection.execute(
            f"""
            copy (
                from '{project.folder / "contacts.parquet"}'
                union all by name
                select
                    9000000000000 + row_number() over (order by action_id) as contact_id,
                    action_id,
                    customer_id::bigint as customer_id,
                    action as offer,
                    (as_of_date + 2)::date as contacted_on,
                    case when hash(action_id, 1) % 4 = 0 then (as_of_date + 4)::date end as accepted_on,
                    expected_cost::decimal(10, 2) as cost,
                    false as is_randomized,
                    null::double as propensity
                from retention_actions_history
                where action <> 'no_action' and hash(action_id) % 5 > 0 and as_of_date + 4 <= date '{ENDS_ON}'
            ) to '{project.raw / "retention_contacts.parquet"}' (format parquet, compression zstd)
            """
        )
