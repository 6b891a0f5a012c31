"""What the monitoring page reads: the monitoring tables of a warehouse, and the seconds of the last dbt run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from models_ml.warehouse import no_decisions, open_warehouse

Row = Mapping[str, Any]

_ORDERED = {
    "rpt_feature_drift": "as_of_date, psi desc, feature, slice",
    "rpt_score_drift": "as_of_date, bin_position",
    "rpt_expected_performance": "as_of_date",
    "rpt_feed_freshness": "as_of_date, feed",
    "rpt_run_volume": "as_of_date, measure, item, detail",
    "rpt_calibration": "outcome_month, breakdown, group_name",
    "rpt_contacts": "month, contact_status",
    "rpt_retraining_advice": "reason",
    "deployed_pipeline": "pipeline_version",
    "int_monitoring_limits": "psi_warn",
    "rpt_policy_value": "last_month, period, method, revision",
    "rpt_planned_realised": "offer = 'all', offer",
    "pipeline_deployments": "event_number",
}


@dataclass(frozen=True)
class MonitoringData:
    """Rows of the report tables as dicts, over all run dates where the table is a log.

    ``seconds`` holds node and seconds of the last dbt run, slowest first, and ``tests`` name and status of its data
    tests that did not pass; both empty where dbt left no results.
    """

    source: str
    as_of_date: date
    features: Sequence[Row]
    scores: Sequence[Row]
    performance: Sequence[Row]
    feeds: Sequence[Row]
    volume: Sequence[Row]
    calibration: Sequence[Row]
    contacts: Sequence[Row]
    advice: Sequence[Row]
    deployed: Row
    limits: Row
    policy_value: Sequence[Row]
    planned_realised: Sequence[Row]
    deployments: Sequence[Row]
    tests: Sequence[tuple[str, str]]
    seconds: Sequence[tuple[str, float]]

    def latest(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of the latest run."""
        return [row for row in rows if row["as_of_date"] == self.as_of_date]


def read_monitoring(warehouse: Path, source: str, run_results: Path) -> MonitoringData:
    """Read everything through one read-only connection.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing, held by another process, lacks a report table or holds no run.
    """
    with open_warehouse(source, warehouse) as connection:
        rows = {name: _rows(connection, name, order) for name, order in _ORDERED.items()}
    if not rows["deployed_pipeline"] or not rows["rpt_expected_performance"]:
        raise no_decisions(source, "deployed_pipeline, rpt_expected_performance")
    return MonitoringData(
        source=source,
        as_of_date=rows["rpt_expected_performance"][-1]["as_of_date"],
        features=rows["rpt_feature_drift"],
        scores=rows["rpt_score_drift"],
        performance=rows["rpt_expected_performance"],
        feeds=rows["rpt_feed_freshness"],
        volume=rows["rpt_run_volume"],
        calibration=rows["rpt_calibration"],
        contacts=rows["rpt_contacts"],
        advice=rows["rpt_retraining_advice"],
        deployed=rows["deployed_pipeline"][0],
        limits=rows["int_monitoring_limits"][0],
        policy_value=rows["rpt_policy_value"],
        planned_realised=rows["rpt_planned_realised"],
        deployments=rows["pipeline_deployments"],
        tests=unpassed_tests(run_results),
        seconds=node_seconds(run_results),
    )


def node_seconds(run_results: Path) -> list[tuple[str, float]]:
    """Return models and seeds of the last dbt run with their seconds, slowest first; empty without results."""
    timed = [
        (result["unique_id"].rsplit(".", 1)[-1], float(result["execution_time"]))
        for result in _results(run_results)
        if result["unique_id"].startswith(("model.", "seed."))
    ]
    return sorted(timed, key=lambda item: (-item[1], item[0]))


def unpassed_tests(run_results: Path) -> list[tuple[str, str]]:
    """Return data tests of the last dbt run that failed or warned, with that status, those that failed first."""
    found = [
        (result["unique_id"].split(".")[2], str(result["status"]))
        for result in _results(run_results)
        if result["unique_id"].startswith("test.") and result.get("status") in ("warn", "fail", "error")
    ]
    return sorted(found, key=lambda test: (test[1] == "warn", test[0]))


def _results(run_results: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(run_results.read_text(encoding="utf-8"))["results"])
    except (OSError, ValueError, KeyError):
        return []


def _rows(connection: duckdb.DuckDBPyConnection, table: str, order: str) -> list[dict[str, Any]]:
    return connection.sql(f"select * from {table} order by {order}").to_arrow_table().to_pylist()
