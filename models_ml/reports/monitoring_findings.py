"""What the monitoring tables say, in sentences: findings that need a person, and whether scores and policy hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models_ml.reports.figures import money, share
from models_ml.reports.monitoring_data import MonitoringData, Row
from models_ml.reports.monitoring_figures import value_by_month
from models_ml.reports.page import Figure, Section, Table, Text

ACT, LOOK = "act", "look"
LISTED_FEATURES = 3
UNDONE_SHARE = 1 / 3  # of the actions of a month; some always come too late
NONE = "–"
ALL_MONTHS = "all"  # the period of rpt_policy_value that holds every month together
HEADLINE = "doubly_robust"  # the narrowest interval of the three
METHODS = {
    "doubly_robust": "chosen customers, doubly robust",
    "pick_holdout": "chosen customers, contacted against held out",
    "universal_holdout": "whole programme, against the universal holdout",
}


@dataclass(frozen=True)
class Finding:
    """Something a person should do (``act``) or look at (``look``)."""

    urgency: str
    what: str
    evidence: str
    next_step: str


def findings(data: MonitoringData) -> list[Finding]:
    """Return what needs a person at the latest run, most urgent first."""
    found = [*_broken_input(data), *_advice(data), *_questions(data), *_undone(data), *_moved(data)]
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
    if data.advice:
        return "in doubt", f"retraining is advised ({data.advice[0]['reason']})"
    if pooled is None:
        return "so far, yes", "no check fails, and no outcome is known yet"
    low, high = ratio_interval(pooled)
    allowed = data.limits["calibration_ratio"]
    if low < 1 / allowed or high > allowed:
        return "so far, yes", "no check fails; outcomes are too few to be sure"
    return "yes", "observed churn agrees with the predicted churn"


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
                "repair the feed, load the missing days, then dbt build",
            )
    features = data.latest(data.features)
    units = [
        f"{row['feature']} ({row['median_size_then']:,.6g} at training, {row['median_size']:,.6g} now)"
        for row in features
        if row["has_changed_unit"]
    ]
    if units:
        what = f"The unit of {_features(len(units))} seems to have changed"
        yield Finding(ACT, what, _first(units), "correct the unit in staging, then dbt build")
    missing = [
        f"{row['feature']} ({share(row['missing_share_then'])} at training, {share(row['missing_share'])} now)"
        for row in features
        if row["has_missing_jump"]
    ]
    if missing:
        what = f"Values of {_features(len(missing))} have gone missing"
        yield Finding(
            ACT, what, _first(missing), "repair the feed or the join that fills them, then dbt build"
        )


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
            f"{missed:,} of {decided:,} in {months[-1]:%Y-%m}; they use capacity and budget without any effect",
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


def _features(count: int) -> str:
    return "a feature" if count == 1 else f"{count} features"


def _first(named: Sequence[str]) -> str:
    more = len(named) - LISTED_FEATURES
    return ", ".join(named[:LISTED_FEATURES]) + (f" and {more} more" if more > 0 else "")


def policy_answer(data: MonitoringData) -> tuple[str, str]:
    """Say whether the policy earns: one word, and the amount with its interval."""
    pooled = _headline(data)
    if pooled is None or pooled["value"] is None:
        return "not known yet", "no outcome yet"
    earns = "yes" if pooled["value"] > 0 else "no"
    interval = f"{_amount(pooled, 'value')} so far, 95 %: {_interval(pooled)}"
    return (earns if pooled["is_distinguishable"] else "not yet known"), interval


def policy_sentence(data: MonitoringData) -> str:
    """Say the same as one sentence without a full stop."""
    pooled = _headline(data)
    if pooled is None or pooled["value"] is None:
        return "What the policy earns is not known yet"
    beginning = "The policy" if pooled["is_distinguishable"] else "What the policy has earned is"
    return f"{beginning} {str(pooled['verdict']).rstrip('.')}"


def policy_section(data: MonitoringData) -> Section:
    """Return what the policy has earned against contacting nobody, by method and by month."""
    pooled = _headline(data)
    if pooled is None or pooled["value"] is None:
        text = "Contacted and held-out customers are compared here once the churn horizon of the first run has passed."
        return Section("Is the policy earning?", [Text(text)])
    months = [
        row
        for row in data.policy_value
        if row["method"] == HEADLINE and row["period"] != ALL_MONTHS and row["value"] is not None
    ]
    months.sort(key=lambda row: row["period"])
    drawn = [
        Figure(
            value_by_month(months),
            "Money earned beyond contacting nobody, by month of the decision, with 95 % intervals.",
        )
    ]
    return Section(
        "Is the policy earning?",
        [*(drawn if len(months) > 1 else []), _table(data), Text(f"{policy_sentence(data)}.")],
    )


def _table(data: MonitoringData) -> Table:
    rows = {row["method"]: row for row in data.policy_value if row["period"] == ALL_MONTHS}
    cells = [
        (
            words,
            f"{rows[method]['months']}",
            f"{rows[method]['customers']:,}",
            f"{rows[method]['left_alone']:,}",
            _amount(rows[method], "value"),
            _interval(rows[method]),
        )
        for method, words in METHODS.items()
        if method in rows
    ]
    columns = ("Measured on", "Months", "Customers", "Not contacted", "Value", "95 % interval")
    return Table(columns, cells, "Value beyond contacting nobody, all months together")


def _headline(data: MonitoringData) -> Row | None:
    rows = [row for row in data.policy_value if (row["period"], row["method"]) == (ALL_MONTHS, HEADLINE)]
    return rows[0] if rows else None


def _amount(row: Row, column: str) -> str:
    return NONE if row[column] is None else money(row[column], row["currency"])


def _interval(row: Row) -> str:
    return f"{_amount(row, 'value_low')} to {_amount(row, 'value_high')}"
