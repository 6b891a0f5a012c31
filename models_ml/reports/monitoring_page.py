"""The monitoring page: is the programme earning, are the scores right, and what needs a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from models_ml.monitoring.drift import ALL_CUSTOMERS
from models_ml.reports import monitoring_figures as figures
from models_ml.reports.earnings import earning_answer, earning_section, earning_sentence
from models_ml.reports.figures import money, share
from models_ml.reports.monitoring_figures import STATUS_WORDS
from models_ml.reports.monitoring_findings import (
    ACT,
    MonitoringData,
    Row,
    findings,
    is_within,
    pooled_calibration,
    ratio_interval,
    scores_answer,
)
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text, on_one_line

SHOWN_FEATURES = 15
SHOWN_STEADY_FEATURES = 5
SHOWN_RUNS = 12
SHOWN_NODES = 8
SHOWN_MONTHS = 12
NONE = "–"
TESTS_UNKNOWN = (
    "The data tests of this run are not known here: the published copy does not hold them, and in the project folder"
    " only the page written right after the build does."
)
RUNS_EXPLAINED = (
    "Planned contacts include held-out customers. Expected AUC: the ranking quality that the probabilities themselves"
    " promise, 0.5 is chance, 1 is perfect. Score shift: the population stability index of the churn probabilities"
    " against training."
)
INDEX_EXPLAINED = (
    "Index: the population stability index compares the shares of customers at training (then) and in this run (now),"
    " bin by bin: the sum of (share now − share then) × ln(share now / share then). 0 is no change. The bins were set"
    " at training. By chance: what the index reaches by chance alone with so few customers; up to it, a feature is"
    " steady. Features that grow with the calendar are left out."
)
CONTACT_WORDS = {
    "executed": "Executed",
    "executed_late": "Executed late",
    "executed_unplanned": "Without a decision",
    "not_executed": "Never executed",
}


def monitoring_page(data: MonitoringData) -> Page:
    """Return the report of the latest run.

    Parameters
    ----------
    data : MonitoringData
        Rows of the monitoring tables, at least one run.
    """
    run = data.latest(data.performance)[0]
    sections = [
        earning_section(data),
        _scores(data),
        _person(data),
        _population(data),
        _volume(data),
        _deliveries(data),
    ]
    return Page(
        title=f"Monitoring: {data.source}",
        subtitle=f"Run of {data.as_of_date}: {run['customers']:,} customers at risk, scored by"
        f" {run['pipeline_version']}, calibrated on {data.deployed['calibrated_on']}.",
        verdict=verdict(data),
        warning=data.deployed["calibration_warning"],
        facts=_facts(data),
        sections=[section for section in sections if section is not None],
        footer=f"Latest run {data.as_of_date}; runs on record: {len(data.performance)}."
        " Limits: models_ml/monitoring/settings.toml.",
    )


def verdict(data: MonitoringData) -> str:
    """Answer the three questions in one sentence each."""
    scores = scores_answer(data)[1]
    found = findings(data)
    acts = [finding for finding in found if finding.urgency == ACT]
    if acts:
        more = len(acts) - 1
        person = acts[0].what + (f", and {more} more finding{'s' * (more > 1)} to act on" if more else "")
    elif found:
        person = f"Nothing to act on; findings to look at: {len(found)}"
    elif data.tests is None:
        person = "Nothing that is known here needs a person (data tests are not)"
    else:
        person = "Nothing needs a person"
    return f"{earning_sentence(data)}. {scores[0].upper()}{scores[1:]}. {person}."


def _facts(data: MonitoringData) -> list[Fact]:
    found = findings(data)
    acts = sum(finding.urgency == ACT for finding in found)
    scores = data.latest(data.scores)
    moved = [row for row in data.latest(data.features) if row["slice"] == "all"]
    far = sum(row["status"] in ("warn", "alert", "error") for row in moved)
    return [
        Fact("Programme earning?", *earning_answer(data)),
        Fact("Scores still right?", *scores_answer(data)),
        Fact("Findings to act on", str(acts), f"and {len(found) - acts} to look at"),
        _calibration_fact(data),
        Fact(
            "Score shift (index)",
            f"{scores[0]['psi']:.3f}" if scores else NONE,
            f"{scores[0]['status']}; warns above {data.limits['psi_warn']:g}"
            if scores
            else "no bins were set at training",
        ),
        Fact("Features moved", f"{far} of {len(moved)}", "since training"),
    ]


def _calibration_fact(data: MonitoringData) -> Fact:
    pooled = pooled_calibration(data)
    if pooled is None:
        return Fact("Observed ÷ predicted churn", NONE, "no outcome yet")
    low, high = ratio_interval(pooled)
    note = f"95 %: {low:.2f} to {high:.2f}; {pooled['customers']:,} outcomes without contact"
    return Fact("Observed ÷ predicted churn", f"{pooled['observed_over_predicted']:.2f}", note)


def _person(data: MonitoringData) -> Section:
    blocks: list[Text | Table | Figure] = []
    if findings(data):
        blocks.append(needs_a_person(data))
    elif data.tests is None:
        blocks.append(Text("Nothing in the monitoring tables: they are within their limits."))
    else:
        blocks.append(Text("Nothing: every check of this run is within its limits."))
    if data.tests is None:
        blocks.append(Text(TESTS_UNKNOWN))
    return Section("What needs a person?", blocks)


def _scores(data: MonitoringData) -> Section:
    months = [row for row in data.calibration if row["breakdown"] == "all"]
    if not months:
        text = (
            "Not known yet: predicted and observed churn are compared here once the churn horizon of the first run has"
            " passed."
        )
        return Section("Are the scores still right?", [Text(text)])
    caption = "Churn of customers without contact, weighted to represent all, by month of the decision."
    return Section(
        "Are the scores still right?",
        [
            Figure(figures.calibration(months), caption),
            calibration_groups(
                data.calibration, months[-1]["outcome_month"], data.limits["calibration_ratio"]
            ),
        ],
    )


def _population(data: MonitoringData) -> Section:
    title = "Has the population moved since training?"
    scores = data.latest(data.scores)
    if not scores:
        return Section(
            title, [Text("The deployed pipeline has no bins to compare with; the next training sets them.")]
        )
    caption = "Churn probabilities of this run in the bins set at training."
    blocks: list[Text | Table | Figure] = [Figure(figures.score_bins(scores), caption)]
    if _run_count(data) > 1:
        blocks.append(
            Figure(figures.moved_over_time(data), "Features that have moved since training, run by run.")
        )
    return Section(title, [*blocks, moved_features(data), Text(INDEX_EXPLAINED)])


def _volume(data: MonitoringData) -> Section:
    caption = "Planned contacts by offer, held-out customers included."
    drawn = [Figure(figures.actions_over_time(data), caption)] if _run_count(data) > 1 else []
    done = contacts(data)
    return Section(
        "What was planned, and what was done?",
        [*drawn, runs(data), Text(RUNS_EXPLAINED), *([done] if done.rows else [])],
    )


def _run_count(data: MonitoringData) -> int:
    return len(data.performance)


def _deliveries(data: MonitoringData) -> Section:
    blocks: list[Text | Table | Figure] = [feeds(data)]
    rejected = quarantined(data)
    if rejected.rows:
        blocks.append(rejected)
    if data.seconds:
        blocks.append(slowest_nodes(data))
    return Section("What was delivered, and how long the run took", blocks)


def needs_a_person(data: MonitoringData) -> Table:
    """List what to do, most urgent first."""
    rows = [(one.urgency, one.what, one.evidence, one.next_step) for one in findings(data)]
    return Table(("", "What", "Evidence", "Next step"), rows)


def calibration_groups(rows: Sequence[Row], month: date, allowed: float) -> Table:
    """Compare predicted and observed churn of one outcome month, by risk tier and segment.

    A prediction holds where the whole interval of observed over predicted churn lies between 1 / ``allowed`` and
    ``allowed``.
    """
    words = {"too_low": "too low", "too_high": "too high"}
    cells = [
        (
            f"{row['breakdown'].replace('_', ' ')}: {row['group_name']}",
            f"{row['customers']:,}",
            share(row["predicted_churn"]),
            share(row["observed_churn"]),
            f"{share(row['observed_lower'])} – {share(row['observed_upper'])}",
            words.get(row["status"], "holds" if is_within(row, allowed) else "too few to tell"),
        )
        for row in rows
        if row["outcome_month"] == month and row["breakdown"] in ("risk_tier", "segment")
    ]
    return Table(
        ("Group", "Customers", "Predicted churn", "Observed churn", "95 % interval", "Prediction"),
        cells,
        f"Customers without contact, decided on in {month:%B %Y}. Too few to tell: the interval does not refute the"
        f" prediction, but allows observed churn of less than {1 / allowed:.2g} or more than {allowed:g} times it.",
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
            "all customers" if row["slice"] == ALL_CUSTOMERS else row["slice"],
            f"{row['psi']:.3f}",
            f"{row['psi_by_chance']:.3f}",
            f"{share(row['missing_share_then'])} → {share(row['missing_share'])}",
            _sizes(row),
            STATUS_WORDS.get(row["status"], "steady"),
        )
        for row in shown
    ]
    columns = (
        "Feature",
        "Among",
        "Index",
        "By chance",
        "Missing, then → now",
        "Median, then → now",
        "Status",
    )
    return Table(columns, cells)


def runs(data: MonitoringData) -> Table:
    """List customers at risk, planned contacts and what was expected of them, run by run, latest first."""
    planned = {
        row["as_of_date"]: row["row_count"]
        for row in data.volume
        if row["measure"] == "planned_action" and row["item"] == "no_action"
    }
    shifts = {row["as_of_date"]: f"{row['psi']:.3f}" for row in data.scores}
    several = len({row["pipeline_version"] for row in data.performance}) > 1
    cells = [
        (
            on_one_line(row["as_of_date"]),
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
        "Run", "At risk", "Expected churners", "Planned contacts", "Planned cost", "Planned value",
        "Expected AUC", "Score shift", *(["Pipeline"] if several else []),
    )  # fmt: skip
    return Table(columns, cells)


def contacts(data: MonitoringData) -> Table:
    """Compare what was done with what was decided, month by month, since the first run."""
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
    return Table(
        ("Month", *CONTACT_WORDS.values(), "Cost"),
        cells,
        "Contacts reported, compared with the actions decided",
    )


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
    """List when each feed delivered last, and how much."""
    cells = [
        (
            row["feed"],
            NONE if row["latest_event_on"] is None else on_one_line(row["latest_event_on"]),
            str(row["silent_days"]),
            NONE if row["longest_gap_days"] is None else str(row["longest_gap_days"]),
            f"{row['events_last_28_days']:,}",
            NONE if row["usual_events_per_28_days"] is None else f"{row['usual_events_per_28_days']:,.0f}",
            row["status"].replace("_", " "),
        )
        for row in data.latest(data.feeds)
    ]
    columns = (
        "Feed",
        "Latest event",
        "Days since",
        "Longest gap",
        "Events in 28 days",
        "Usual events",
        "Status",
    )
    return Table(columns, cells, "Feeds: when each delivered last, in days, and how much")


def slowest_nodes(data: MonitoringData) -> Table:
    """List the nodes of the build that took longest."""
    total = sum(seconds for _, seconds in data.seconds)
    cells = [(name, f"{seconds:.1f}", share(seconds / total)) for name, seconds in data.seconds[:SHOWN_NODES]]
    caption = f"Slowest of {len(data.seconds)} nodes of the build, {total:,.1f} s together"
    return Table(("Node", "Seconds", "Share"), cells, caption)


def _money(amount: float | None, currency: str | None) -> str:
    return NONE if amount is None or currency is None else money(amount, currency)


def _sizes(row: Row) -> str:
    if row["slice"] != ALL_CUSTOMERS or row["median_size_then"] is None or row["median_size"] is None:
        return NONE
    return f"{row['median_size_then']:,.6g} → {row['median_size']:,.6g}"
