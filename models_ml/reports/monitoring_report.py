"""The page of a run's health, readable in two minutes: are the scores right, is the policy earning, who must act."""

from __future__ import annotations

from models_ml.monitoring.reading import MonitoringData
from models_ml.reports import monitoring_figures as figures
from models_ml.reports import monitoring_tables as tables
from models_ml.reports.monitoring_findings import (
    ACT,
    findings,
    pooled_calibration,
    ratio_interval,
    scores_answer,
)
from models_ml.reports.monitoring_policy import policy_answer, policy_section, policy_sentence
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text

NONE = "–"
EXPLAINED = (
    "The population stability index compares two sets of shares, bin by bin: the sum of (share now − share then)"
    " × ln(share now / share then). 0 is no change. Bins are frozen when the pipeline is trained. An index that"
    " so few customers reach by chance is not counted, and features that grow with the calendar are left out."
)


def monitoring_page(data: MonitoringData) -> Page:
    """Return the report of the latest run.

    Parameters
    ----------
    data : MonitoringData
        Rows of the monitoring tables, at least one run.
    """
    run = data.latest(data.performance)[0]
    sections = [
        _person(data),
        _scores(data),
        policy_section(data),
        _population(data),
        _volume(data),
        _deliveries(data),
    ]
    return Page(
        title=f"Monitoring: {data.source}",
        subtitle=f"Run of {data.as_of_date}: {run['customers']:,} customers at risk, scored by"
        f" {run['pipeline_version']}, calibrated on {data.deployed['calibrated_on']}.",
        verdict=verdict(data),
        facts=_facts(data),
        sections=[section for section in sections if section is not None],
        footer=f"Latest run {data.as_of_date}; {len(data.performance)} runs on record."
        " Limits: models_ml/monitoring/settings.toml.",
    )


def verdict(data: MonitoringData) -> str:
    """Answer the three questions in one sentence each."""
    scores = scores_answer(data)[1]
    found = findings(data)
    acts = [finding for finding in found if finding.urgency == ACT]
    if acts:
        person = f"{acts[0].what}" + (f", and {len(acts) - 1} more must be acted on" if len(acts) > 1 else "")
    elif found:
        person = f"Nothing must be acted on; {len(found)} to look at"
    else:
        person = "Nothing needs a person"
    return f"{scores[0].upper()}{scores[1:]}. {policy_sentence(data)}. {person}."


def _facts(data: MonitoringData) -> list[Fact]:
    found = findings(data)
    acts = sum(finding.urgency == ACT for finding in found)
    scores = data.latest(data.scores)
    moved = [row for row in data.latest(data.features) if row["slice"] == "all"]
    far = sum(row["status"] in ("warn", "alert", "error") for row in moved)
    return [
        Fact("Scores still right?", *scores_answer(data)),
        Fact("Policy earning?", *policy_answer(data)),
        Fact("Needs a person", str(acts), f"and {len(found) - acts} to look at"),
        _calibration_fact(data),
        Fact(
            "Score shift (index)",
            f"{scores[0]['psi']:.3f}" if scores else NONE,
            f"{scores[0]['status']}; warns above {data.limits['psi_warn']:g}" if scores else "no frozen bins",
        ),
        Fact("Features moved", f"{far} of {len(moved)}", "since training"),
    ]


def _calibration_fact(data: MonitoringData) -> Fact:
    pooled = pooled_calibration(data)
    if pooled is None:
        return Fact("Observed ÷ predicted churn", NONE, "no outcome yet")
    low, high = ratio_interval(pooled)
    note = f"95 %: {low:.2f} to {high:.2f}; {pooled['customers']:,} outcomes left alone"
    return Fact("Observed ÷ predicted churn", f"{pooled['observed_over_predicted']:.2f}", note)


def _person(data: MonitoringData) -> Section:
    if not findings(data):
        return Section(
            "What needs a person?", [Text("Nothing: every check of this run is within its limits.")]
        )
    return Section("What needs a person?", [tables.needs_a_person(data)])


def _scores(data: MonitoringData) -> Section:
    months = [row for row in data.calibration if row["breakdown"] == "all"]
    if not months:
        text = (
            "No outcome has matured yet: predicted and observed churn are compared here once the horizon of the"
            " first run has passed. Until then the expected AUC says what the probabilities promise."
        )
        return Section("Are the scores still right?", [Text(text)])
    caption = "Churn of customers left alone, weighted to stand for everybody, by month of the decision."
    return Section(
        "Are the scores still right?",
        [
            Figure(figures.calibration(months), caption),
            tables.calibration_groups(data.calibration, months[-1]["outcome_month"]),
        ],
    )


def _population(data: MonitoringData) -> Section:
    title = "Has the population moved since training?"
    scores = data.latest(data.scores)
    if not scores:
        return Section(
            title, [Text("The deployed pipeline has no frozen bins; the next training freezes them.")]
        )
    caption = "Churn probabilities of this run in the bins frozen at training."
    blocks: list[Text | Table | Figure] = [Figure(figures.score_bins(scores), caption)]
    if _run_count(data) > 1:
        blocks.append(
            Figure(figures.moved_over_time(data), "Features that have moved since training, run by run.")
        )
    return Section(title, [*blocks, tables.moved_features(data), Text(EXPLAINED)])


def _volume(data: MonitoringData) -> Section:
    caption = "Planned contacts by offer, pick-holdouts included."
    drawn = [Figure(figures.actions_over_time(data), caption)] if _run_count(data) > 1 else []
    done = tables.contacts(data)
    return Section(
        "What ran, and what was done?", [*drawn, tables.runs(data), *([done] if done.rows else [])]
    )


def _run_count(data: MonitoringData) -> int:
    return len(data.performance)


def _deliveries(data: MonitoringData) -> Section:
    blocks: list[Text | Table | Figure] = [tables.feeds(data)]
    rejected = tables.quarantined(data)
    if rejected.rows:
        blocks.append(rejected)
    if data.seconds:
        blocks.append(tables.slowest_nodes(data))
    return Section("What came in, and how long it took", blocks)
