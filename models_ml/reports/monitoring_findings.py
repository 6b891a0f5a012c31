"""What the monitoring tables hold, and what they say: findings that need a person, and whether the scores hold.

The data tests and seconds of the build that made them are read with them, where dbt has left its results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from models_ml.reports.figures import share
from models_ml.warehouse import build_command, no_decisions, open_warehouse

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

ACT, LOOK = "act", "look"
LISTED_FEATURES = 3
UNDONE_SHARE = 1 / 3  # of the actions of a month; some always come too late


@dataclass(frozen=True)
class MonitoringData:
    """Rows of the report tables as dicts, over all run dates where the table is a log.

    ``seconds`` holds node and seconds of the build of this run, slowest first, and ``tests`` name and status of its
    data tests that did not pass; where dbt's results are not those of this run, they are empty and None.
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
    tests: Sequence[tuple[str, str]] | None
    seconds: Sequence[tuple[str, float]]

    def latest(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of the latest run."""
        return [row for row in rows if row["as_of_date"] == self.as_of_date]


def read_monitoring(warehouse: Path, source: str, run_results: Path | None) -> MonitoringData:
    """Read everything through one read-only connection.

    Parameters
    ----------
    warehouse : Path
        The warehouse, or a published copy of it.
    source : str
        Name of the source.
    run_results : Path, optional
        What the last command of dbt left; None where the file is a published copy, which holds none.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing, held by another process, lacks a report table or holds no run.
    """
    with open_warehouse(source, warehouse) as connection:
        rows = {name: _rows(connection, name, order) for name, order in _ORDERED.items()}
        results = results_of_run(run_results, _invocation(connection)) if run_results else None
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
        tests=unpassed_tests(results),
        seconds=node_seconds(results),
    )


def results_of_run(run_results: Path, invocation: str | None) -> list[Row] | None:
    """Return what dbt says of every node, where its last command was the build of this run; else None.

    Parameters
    ----------
    run_results : Path
        run_results.json, which every command of dbt replaces, for whatever source.
    invocation : str, optional
        The invocation that built the run; None where the run has not come to its end.
    """
    try:
        said = json.loads(run_results.read_text(encoding="utf-8"))
        is_of_run = said["args"]["which"] == "build" and said["metadata"]["invocation_id"] == invocation
        return list(said["results"]) if is_of_run else None
    except (OSError, ValueError, KeyError):
        return None


def _invocation(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the invocation that began the run and came to its end."""
    found = connection.sql("select dbt_invocation_id from int_run natural join int_finished_run").fetchall()
    return str(found[0][0]) if found else None


def node_seconds(results: Sequence[Row] | None) -> list[tuple[str, float]]:
    """Return models and seeds of a build with their seconds, slowest first; empty without results."""
    timed = [
        (result["unique_id"].rsplit(".", 1)[-1], float(result["execution_time"]))
        for result in results or ()
        if result["unique_id"].startswith(("model.", "seed."))
    ]
    return sorted(timed, key=lambda item: (-item[1], item[0]))


def unpassed_tests(results: Sequence[Row] | None) -> list[tuple[str, str]] | None:
    """Return data tests of a build that failed or warned, with that status, those that failed first.

    None where no data test ran, or none is known.
    """
    tests = [result for result in results or () if result["unique_id"].startswith("test.")]
    if not tests:
        return None
    found = [
        (result["unique_id"].split(".")[2], str(result["status"]))
        for result in tests
        if result.get("status") in ("warn", "fail", "error")
    ]
    return sorted(found, key=lambda test: (test[1] == "warn", test[0]))


def _rows(connection: duckdb.DuckDBPyConnection, table: str, order: str) -> list[dict[str, Any]]:
    return connection.sql(f"select * from {table} order by {order}").to_arrow_table().to_pylist()


@dataclass(frozen=True)
class Finding:
    """Something a person should do (``act``) or look at (``look``)."""

    urgency: str
    what: str
    evidence: str
    next_step: str


def findings(data: MonitoringData) -> list[Finding]:
    """Return what needs a person at the latest run, most urgent first."""
    found = [
        *_broken_input(data),
        *_advice(data),
        *_questions(data),
        *_undone(data),
        *_moved(data),
        *_miscalibrated(data),
        *_guardrails(data),
        *_tests(data),
    ]
    return sorted(found, key=lambda finding: finding.urgency != ACT)


def pooled_calibration(data: MonitoringData) -> Row | None:
    """Return predicted and observed churn over all outcomes of the deployed pipeline; None before the first."""
    version = data.deployed["pipeline_version"]
    rows = [
        row for row in data.calibration if row["breakdown"] == "pipeline" and row["group_name"] == version
    ]
    return rows[-1] if rows else None


def scores_answer(data: MonitoringData) -> tuple[str, str]:
    """Say whether the scores are still right: one word, and one sentence."""
    pooled = pooled_calibration(data)
    if any(True for _ in _broken_input(data)):
        return "no", "the scores were computed from broken input"
    if pooled is not None and pooled["status"] != "ok":
        ratio = pooled["observed_over_predicted"]
        return "no", f"observed churn is {ratio:.2f} times the predicted churn"
    warning = data.deployed["calibration_warning"]
    if warning and (pooled is None or not _is_sure(data, pooled)):
        return "in doubt", "no outcome yet refutes the failed check of the deployed churn probabilities"
    if data.advice:
        return "in doubt", f"retraining is advised ({data.advice[0]['reason']})"
    is_sure = pooled is not None and _is_sure(data, pooled)
    doubt = next((finding for check in (_moved, _guardrails) for finding in check(data)), None)
    if doubt is not None:
        agreed = "observed churn agrees with the predicted churn, but " if is_sure else ""
        return "in doubt", f"{agreed}{doubt.what[0].lower()}{doubt.what[1:]} ({doubt.evidence})"
    checks = "no check of the scores fails"
    if pooled is None:
        return "so far, yes", f"{checks}, and no outcome is known yet"
    if not is_sure:
        return "so far, yes", f"{checks}; outcomes are too few to be sure"
    return "yes", "observed churn agrees with the predicted churn"


def _is_sure(data: MonitoringData, pooled: Row) -> bool:
    return is_within(pooled, data.limits["calibration_ratio"])


def is_within(calibration: Row, allowed: float) -> bool:
    """Say whether the whole interval of observed over predicted churn lies between 1 / ``allowed`` and ``allowed``."""
    low, high = ratio_interval(calibration)
    return bool(1 / allowed <= low and high <= allowed)


def ratio_interval(calibration: Row) -> tuple[float, float]:
    """Return the 95 % interval of observed over predicted churn."""
    predicted = max(calibration["predicted_churn"], 1e-9)
    return calibration["observed_lower"] / predicted, calibration["observed_upper"] / predicted


def _broken_input(data: MonitoringData) -> Iterator[Finding]:
    for feed in data.latest(data.feeds):
        if feed["status"] == "stopped":
            yield Finding(
                ACT,
                f"The feed {feed['feed']} has stopped",
                f"nothing since {feed['latest_event_on']}, {feed['silent_days']} days"
                + (
                    "; nothing is left of it"
                    if feed["longest_gap_days"] is None
                    else f"; its longest gap before was {feed['longest_gap_days']} days"
                ),
                f"repair the feed, load the missing days, then {build_command(data.source)}",
            )
        if feed["status"] in ("fallen", "risen"):
            what = "far fewer" if feed["status"] == "fallen" else "far more"
            yield Finding(
                ACT,
                f"The feed {feed['feed']} delivers {what} rows than ever in the last year",
                f"{feed['events_last_7_days']:,} valid rows in 7 days, usually {feed['usual_events_per_7_days']:,.0f}",
                f"repair the feed, load the missing days, then {build_command(data.source)}",
            )
    features = data.latest(data.features)
    units = [
        f"{row['feature']} ({row['median_size_then']:,.6g} at training, {row['median_size']:,.6g} now)"
        for row in features
        if row["has_changed_unit"]
    ]
    if units:
        what = f"The unit of {_features(len(units))} seems to have changed"
        yield Finding(
            ACT, what, _first(units), f"correct the unit in staging, then {build_command(data.source)}"
        )
    missing = [
        f"{row['feature']} ({share(row['missing_share_then'])} at training, {share(row['missing_share'])} now)"
        for row in features
        if row["has_missing_jump"]
    ]
    if missing:
        what = f"Values of {_features(len(missing))} have gone missing"
        next_step = f"repair the feed or the join that fills them, then {build_command(data.source)}"
        yield Finding(ACT, what, _first(missing), next_step)


def _advice(data: MonitoringData) -> Iterator[Finding]:
    for row in data.advice:
        yield Finding(ACT, f"Retraining is advised: {row['reason']}", row["evidence"], row["next_step"])


def _quiet(feed: Row) -> Finding:
    is_contacts = feed["feed"] == "retention contacts"
    return Finding(
        LOOK,
        "No retention contact for a long time"
        if is_contacts
        else f"The feed {feed['feed']} delivers nothing",
        f"the latest on {feed['latest_event_on']}",
        "check that actions are executed and reported"
        if is_contacts
        else "ask the owner of the feed; the source allows it to stop (feeds in its sources.yml)",
    )


def _questions(data: MonitoringData) -> Iterator[Finding]:
    for feed in data.latest(data.feeds):
        if feed["status"] == "thin":
            usual = feed["usual_events_per_28_days"]
            yield Finding(
                LOOK,
                f"The feed {feed['feed']} delivers little",
                f"{feed['events_last_28_days']:,} events in 28 days, usually {usual:,.0f}",
                "ask the owner of the feed whether the business or the feed has changed",
            )
        if feed["status"] == "quiet":
            yield _quiet(feed)
    for row in data.latest(data.features):
        if row["has_new_category"]:
            yield Finding(
                LOOK,
                f"New categories of {row['feature']}",
                f"{row['new_values']}: {share(row['new_share'])} of customers",
                "they count as unknown until the next training",
            )


def _undone(data: MonitoringData) -> Iterator[Finding]:
    """Report actions that were never executed, in the latest month that has one."""
    months = sorted({row["month"] for row in data.contacts if row["contact_status"] == "not_executed"})
    if not months:
        return
    counts = {row["contact_status"]: row["contacts"] for row in data.contacts if row["month"] == months[-1]}
    missed = counts["not_executed"]
    decided = missed + counts.get("executed", 0) + counts.get("executed_late", 0)
    if missed > UNDONE_SHARE * decided:
        yield Finding(
            LOOK,
            "Many actions are never executed",
            f"{missed:,} of {decided:,} in {months[-1]:%Y-%m}; each holds capacity and budget until it lapses",
            "check the process that executes retention_actions_deliverable, or lower the capacities to what is done",
        )


def _moved(data: MonitoringData) -> Iterator[Finding]:
    alerting = [
        row["feature"] if row["slice"] == "all" else f"{row['feature']} where {row['slice']}"
        for row in data.latest(data.features)
        if row["status"] == "alert"
    ]
    if alerting:
        next_step = "find the change of the business that explains it"
        yield Finding(LOOK, "The population has moved far", _first(alerting), next_step)


def _miscalibrated(data: MonitoringData) -> Iterator[Finding]:
    warning = data.deployed["calibration_warning"]
    if warning:
        yield Finding(
            ACT,
            "The deployed churn probabilities failed their check before they were deployed",
            warning,
            "find the cause in the training report and correct it, then "
            + build_command(data.source, "--vars '{retrain: true}'"),
        )


def _guardrails(data: MonitoringData) -> Iterator[Finding]:
    """Name guardrails that the deployed pipeline failed in the latest event that deployed it."""
    version = data.deployed["pipeline_version"]
    events = [
        row for row in data.deployments if row["pipeline_version"] == row["deployed_version"] == version
    ]
    if events and events[-1]["failed_guardrails"]:
        yield Finding(
            LOOK,
            "The deployed pipeline has failed a guardrail",
            str(events[-1]["failed_guardrails"]),
            "see guardrails and reason in pipeline_deployments; train again once there is more data",
        )


def _tests(data: MonitoringData) -> Iterator[Finding]:
    """Name data tests that did not pass, whatever else is found from the same rows."""
    for words, urgency, statuses in (
        ("Data tests have failed", ACT, ("fail", "error")),
        ("Data tests warn", LOOK, ("warn",)),
    ):
        named = [name for name, status in data.tests or () if status in statuses]
        if named:
            next_step = f"{build_command(data.source)}, and read the rows that each names"
            yield Finding(urgency, words, _first(named), next_step)


def _features(count: int) -> str:
    return "a feature" if count == 1 else f"{count} features"


def _first(named: Sequence[str]) -> str:
    more = len(named) - LISTED_FEATURES
    return ", ".join(named[:LISTED_FEATURES]) + (f" and {more} more" if more > 0 else "")
