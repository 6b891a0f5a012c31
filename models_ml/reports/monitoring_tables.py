"""The tables of the monitoring report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from models_ml.monitoring.reading import MonitoringData, Row
from models_ml.monitoring.reference import EVERYBODY
from models_ml.reports.figures import money, share
from models_ml.reports.monitoring_findings import findings
from models_ml.reports.page import Table

SHOWN_FEATURES = 15
SHOWN_STEADY_FEATURES = 5
SHOWN_RUNS = 12
SHOWN_NODES = 8
SHOWN_MONTHS = 12
NONE = "–"


def needs_a_person(data: MonitoringData) -> Table:
    """List what to do, most urgent first."""
    rows = [(one.urgency, one.what, one.evidence, one.next_step) for one in findings(data)]
    return Table(("", "What", "Evidence", "Next step"), rows)


def calibration_groups(rows: Sequence[Row], month: date) -> Table:
    """Compare predicted and observed churn of one outcome month, by tier and segment."""
    words = {"ok": "holds", "too_low": "too low", "too_high": "too high"}
    cells = [
        (
            f"{row['breakdown'].replace('_', ' ')}: {row['group_name']}",
            f"{row['customers']:,}",
            share(row["predicted_churn"]),
            share(row["observed_churn"]),
            f"{share(row['observed_lower'])} – {share(row['observed_upper'])}",
            words[row["status"]],
        )
        for row in rows
        if row["outcome_month"] == month and row["breakdown"] in ("risk_tier", "segment")
    ]
    return Table(
        ("Group", "Customers", "Predicted", "Observed", "95 % interval", "Prediction"),
        cells,
        f"Customers left alone, decided on in {month:%B %Y}",
    )


def moved_features(data: MonitoringData) -> Table:
    """List the features that moved furthest, with the slices that moved by themselves."""
    latest = [row for row in data.latest(data.features) if row["status"] != "exempt"]
    order = {"error": 0, "alert": 1, "warn": 2, "ok": 3}
    latest.sort(key=lambda row: (order[row["status"]], -row["psi"], row["feature"], row["slice"]))
    shown = [row for row in latest if row["status"] != "ok"][:SHOWN_FEATURES] or latest[
        :SHOWN_STEADY_FEATURES
    ]
    cells = [
        (
            row["feature"],
            "everybody" if row["slice"] == EVERYBODY else row["slice"],
            f"{row['psi']:.3f}",
            f"{row['psi_by_chance']:.3f}",
            f"{share(row['missing_share_then'])} → {share(row['missing_share'])}",
            _sizes(row),
            row["status"],
        )
        for row in shown
    ]
    columns = ("Feature", "Of", "Index", "By chance", "Missing, then → now", "Median, then → now", "Reads")
    return Table(columns, cells)


def runs(data: MonitoringData) -> Table:
    """List who was decided on and what the plan promised, run by run, latest first."""
    planned = {
        row["as_of_date"]: row["row_count"]
        for row in data.volume
        if row["measure"] == "planned_action" and row["item"] == "no_action"
    }
    shifts = {row["as_of_date"]: f"{row['psi']:.3f}" for row in data.scores}
    several = len({row["pipeline_version"] for row in data.performance}) > 1
    cells = [
        (
            str(row["as_of_date"]),
            f"{row['customers']:,}",
            f"{row['expected_churners']:,.0f}",
            f"{row['customers'] - planned.get(row['as_of_date'], row['customers']):,}",
            _money(row["expected_spend"], row["currency"]),
            _money(row["expected_profit"], row["currency"]),
            NONE if row["expected_auc"] is None else f"{row['expected_auc']:.3f}",
            shifts.get(row["as_of_date"], NONE),
            *([row["pipeline_version"]] if several else []),
        )
        for row in list(reversed(data.performance))[:SHOWN_RUNS]
    ]
    columns = (
        "Run", "At risk", "Expected to leave", "Planned contacts", "Expected cost", "Expected profit",
        "Expected AUC", "Score shift", *(["Pipeline"] if several else []),
    )  # fmt: skip
    return Table(columns, cells)


CONTACT_WORDS = {
    "executed": "Executed",
    "executed_late": "Late",
    "executed_unplanned": "Without a decision",
    "not_executed": "Never executed",
}


def contacts(data: MonitoringData) -> Table:
    """Hold what was done against what was decided, month by month, since the first run."""
    counts: dict[date, dict[str, Row]] = {}
    for row in data.contacts:
        if row["contact_status"] in CONTACT_WORDS:
            counts.setdefault(row["month"], {})[row["contact_status"]] = row
    cells = [
        (
            f"{month:%Y-%m}",
            *(f"{rows[status]['contacts']:,}" if status in rows else "0" for status in CONTACT_WORDS),
            f"{sum(row['realised_cost'] for row in rows.values()):,.2f}",
        )
        for month, rows in sorted(counts.items())[-SHOWN_MONTHS:]
    ]
    return Table(("Month", *CONTACT_WORDS.values(), "Cost"), cells, "Contacts, against what was decided")


def quarantined(data: MonitoringData) -> Table:
    """Count the rows set aside by the latest run and the one before."""
    dates = sorted({row["as_of_date"] for row in data.volume})
    before = dates[-2] if len(dates) > 1 else None
    counts: dict[tuple[str, str], dict[date, int]] = {}
    for row in data.volume:
        if row["measure"] == "quarantined":
            counts.setdefault((row["item"], row["detail"]), {})[row["as_of_date"]] = row["row_count"]
    cells = [
        (
            item,
            detail.replace("_", " "),
            f"{by_date.get(data.as_of_date, 0):,}",
            NONE if before is None else f"{by_date.get(before, 0):,}",
        )
        for (item, detail), by_date in sorted(counts.items())
        if data.as_of_date in by_date or before in by_date
    ]
    return Table(("Table", "Reason", "This run", "Run before"), cells, "Rows set aside (quarantine)")


def feeds(data: MonitoringData) -> Table:
    """Say when each feed last delivered."""
    cells = [
        (
            row["feed"],
            str(row["latest_event_on"]),
            str(row["silent_days"]),
            NONE if row["longest_gap_days"] is None else str(row["longest_gap_days"]),
            f"{row['events_last_28_days']:,}",
            NONE if row["usual_events_per_28_days"] is None else f"{row['usual_events_per_28_days']:,.0f}",
            row["status"].replace("_", " "),
        )
        for row in data.latest(data.feeds)
    ]
    columns = ("Feed", "Latest event", "Days since", "Longest gap", "Events in 28 days", "Usually", "Reads")
    return Table(columns, cells, "Feeds")


def slowest_nodes(data: MonitoringData) -> Table:
    """Say where the seconds of the last dbt run went."""
    total = sum(seconds for _, seconds in data.seconds)
    cells = [(name, f"{seconds:.1f}", share(seconds / total)) for name, seconds in data.seconds[:SHOWN_NODES]]
    caption = f"Slowest of {len(data.seconds)} nodes of the last dbt run, {total:,.1f} s together"
    return Table(("Node", "Seconds", "Share"), cells, caption)


def _money(amount: float | None, currency: str | None) -> str:
    return NONE if amount is None or currency is None else money(amount, currency)


def _sizes(row: Row) -> str:
    if row["slice"] != EVERYBODY or row["median_size_then"] is None or row["median_size"] is None:
        return NONE
    return f"{row['median_size_then']:,.6g} → {row['median_size']:,.6g}"
