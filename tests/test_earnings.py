"""What the monitoring page says of the programme's earnings, guardrails and data tests."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from models_ml.reports.earnings import earning_answer, earning_section, earning_sentence
from models_ml.reports.monitoring_findings import _guardrails, _tests, findings, scores_answer, unpassed_tests
from models_ml.reports.monitoring_page import _person, calibration_groups, verdict
from models_ml.reports.page import Figure, Table, Text


def total(method: str = "doubly_robust", **changes: Any) -> dict[str, Any]:
    row = {
        "method": method,
        "period": "all",
        "estimand": "money per episode",
        "last_month": date(2026, 6, 1),
        "months": 6,
        "customers": 900,
        "controls": 150,
        "treated_leavers": 60,
        "control_leavers": 25,
        "contaminated_controls": 0,
        "realised_value": -200.0,
        "value_to_come": 1400.0,
        "value": 1200.0,
        "value_per_month": 200.0,
        "value_low": 500.0,
        "value_high": 1900.0,
        "value_low_every_look": 100.0,
        "value_high_every_look": 2300.0,
        "verdict": "earns",
        "months_needed": 0,
        "reason": None,
        "revision": 0,
        "revision_reason": None,
        "is_latest": True,
        "is_headline": method == "doubly_robust",
        "currency": "EUR",
    }
    return row | changes


def said(*rows: dict[str, Any]) -> Any:
    return SimpleNamespace(policy_value=rows, planned_realised=())


def texts(data: Any) -> str:
    return " ".join(part.text for part in earning_section(data).blocks if isinstance(part, Text))


def test_the_verdict_is_that_of_the_named_figure() -> None:
    other = total("universal_holdout", verdict="loses")
    earlier = total(verdict="loses", is_latest=False)
    assert earning_answer(said(other, earlier, total())) == (
        "yes",
        "1,200 EUR with what is still to come, 95 %: 100 EUR to 2,300 EUR",
    )
    assert earning_sentence(said(other, total())).startswith(
        "The programme earns (1,200 EUR from 6 months with"
    )
    named = [other | {"is_headline": True}, total(is_headline=False)]
    assert earning_answer(said(*named))[0] == "no"


def test_planned_and_realised_stand_side_by_side() -> None:
    known = {
        "offer": "call",
        "contacts": 100,
        "controls": 12,
        "planned_value": 250.0,
        "realised_value": 400.0,
        "realised_low": -100.0,
        "realised_high": 900.0,
        "realised_over_planned": 1.6,
        "ratio_low": -0.4,
        "ratio_high": 3.6,
        "reason": None,
        "currency": "EUR",
    }
    unknown = known | {"offer": "all", "realised_value": None, "realised_low": None, "realised_high": None}
    unknown |= {"realised_over_planned": None, "reason": "too few were left alone"}
    data = SimpleNamespace(policy_value=[total("doubly_robust")], planned_realised=(known, unknown))
    page = earning_section(data)  # type: ignore[arg-type]
    [table] = [part for part in page.blocks if isinstance(part, Table) and part.columns[0] == "Offer"]
    assert table.rows[0][-2:] == ("1.60", "−0.40\u00a0to\u00a03.60")
    assert table.rows[1][0] == "all offers"
    assert table.rows[1][-2:] == ("too few were left alone", "–")


def test_what_is_not_known_is_said() -> None:
    unsure = total(verdict="not yet distinguishable", value_low_every_look=-50.0, months_needed=1)
    assert earning_answer(said(unsure))[0] == "not yet known"
    assert earning_sentence(said(unsure)).endswith("to be expected in about 1 more month")
    never = unsure | {"months_needed": None}
    assert earning_sentence(said(never)).endswith("cannot be said yet, or lies beyond ten years")
    few = total(
        verdict="too little evidence",
        controls=9,
        control_leavers=1,
        value_low_every_look=None,
        value_high_every_look=None,
    )
    assert earning_answer(said(few))[0] == "too little evidence"
    assert "9 of at least 100 controls, 1 of at least 20 who left" in earning_sentence(said(few))
    assert "1,200" not in earning_sentence(said(few))
    assert earning_answer(said()) == ("not known yet", "no month has finished")
    assert earning_sentence(said()).startswith("No month has finished yet")
    assert "first month of the programme" in texts(said())


def test_a_named_figure_without_a_row_is_not_a_month_that_has_not_finished() -> None:
    other = said(total("pick_holdout", verdict="loses"))
    assert earning_answer(other) == ("not known yet", "the figure that the policy names cannot be read yet")
    assert earning_sentence(other).startswith("The figure that the policy names")
    assert "No month has finished" not in texts(other)
    assert "not of those above" in texts(other)


@pytest.mark.parametrize(
    ("method", "treated", "month"),
    [
        ("universal_holdout", "outside the holdout", "by calendar month"),
        ("pick_holdout", "not left alone", "by month of the openings"),
        ("doubly_robust", "not left alone", "by month of the openings"),
    ],
)
def test_treated_customers_and_months_are_those_of_the_figure(method: str, treated: str, month: str) -> None:
    few = total(method, is_headline=True, verdict="too little evidence", treated_leavers=7)
    assert earning_answer(said(few))[1].endswith(f"and 7 of 20 among customers {treated}")
    months = [total(method, is_headline=True, period=period) for period in ("2026-05", "2026-06")]
    [drawn] = [part for part in earning_section(said(few, *months)).blocks if isinstance(part, Figure)]
    assert month in drawn.caption


def test_contaminated_controls_revisions_and_missing_figures_are_on_the_page() -> None:
    universal = total("universal_holdout", contaminated_controls=3)
    without = total("pick_holdout", value=None, realised_value=None, value_to_come=None, value_per_month=None)
    without |= {"reason": "fewer than two left alone", "verdict": "too little evidence"}
    without |= {"value_low": None, "value_low_every_look": None}
    revised = total(period="2026-05", revision=1, revision_reason="the data of a finished month have changed")
    found = said(universal, without, total(), revised)
    words = texts(found)
    assert "3 of 150 controls were contacted all the same" in words
    assert "nothing can be estimated, fewer than two left alone" in words
    assert (
        "2026-05, all episodes as they were run, doubly robust, revision 1: the data of a finished month"
        in words
    )
    table = next(part for part in earning_section(found).blocks if isinstance(part, Table))
    assert [row[0].split(",")[0] for row in table.rows] == [
        "Whole programme",
        "Chosen customers",
        "All episodes as they were run",
    ]
    assert table.rows[0][4:8] == ("−200", "1,400", "1,200", "200")
    assert table.rows[1][6] == "–"


def event(**changes: Any) -> dict[str, Any]:
    return {
        "pipeline_version": "v2",
        "deployed_version": "v2",
        "failed_guardrails": "calibration_ratio",
    } | changes


@pytest.mark.parametrize(
    ("events", "is_found"),
    [
        ([event()], True),
        ([event(failed_guardrails=None)], False),
        ([event(), event(pipeline_version="v3")], True),  # a challenger that was kept out
        ([event(pipeline_version="v1", deployed_version="v1")], False),
        ([], False),
    ],
)
def test_a_failed_guardrail_of_the_deployed_pipeline_is_found(
    events: list[dict[str, Any]], is_found: bool
) -> None:
    data: Any = SimpleNamespace(deployed={"pipeline_version": "v2"}, deployments=events)
    assert [finding.evidence for finding in _guardrails(data)] == ["calibration_ratio"] * is_found


def test_data_tests_that_did_not_pass_are_found() -> None:
    results = [
        {"unique_id": "test.bayespilot.b_warns", "status": "warn"},
        {"unique_id": "test.bayespilot.unique_table_id.0a1b2c", "status": "fail"},
        {"unique_id": "test.bayespilot.passes", "status": "pass"},
        {"unique_id": "model.bayespilot.table", "status": "success"},
    ]
    found = unpassed_tests(results)
    assert found == [("unique_table_id", "fail"), ("b_warns", "warn")]
    assert [(one.urgency, one.evidence) for one in _tests(monitored(tests=found))] == [
        ("act", "unique_table_id"),
        ("look", "b_warns"),
    ]
    assert list(_tests(monitored())) == []
    assert list(_tests(monitored(tests=None))) == []
    assert unpassed_tests(results[2:]) == []
    assert unpassed_tests(results[3:]) is None, "no data test ran"
    assert unpassed_tests(None) is None


def test_unknown_data_tests_are_said_to_be_unknown() -> None:
    unknown = monitored(tests=None)
    assert scores_answer(unknown)[1].startswith("no check of the scores fails")
    assert "data tests of this run are not known here" in person(unknown)
    assert "every check" not in person(unknown)
    assert "(data tests are not)" in verdict(unknown)
    found = monitored(tests=None, deployments=[event()])
    assert "data tests of this run are not known here" in person(found)
    assert person(monitored()) == "Nothing: every check of this run is within its limits."


def person(data: Any) -> str:
    return " ".join(block.text for block in _person(data).blocks if isinstance(block, Text))


def monitored(**changes: Any) -> Any:
    """Return what is monitored of a run without any finding and without outcomes."""
    sound: dict[str, Any] = {
        "source": "demo",
        "deployed": {"pipeline_version": "v2", "calibration_warning": None},
        "limits": {"calibration_ratio": 1.25},
        "latest": list,
        **{name: [] for name in ("feeds", "features", "calibration", "advice", "deployments", "tests")},
        **{name: [] for name in ("contacts", "policy_value")},
    }
    return SimpleNamespace(**(sound | changes))


def observed(low: float, high: float, **changes: Any) -> dict[str, Any]:
    return {
        "breakdown": "pipeline",
        "group_name": "v2",
        "outcome_month": date(2026, 6, 1),
        "customers": 1,
        "status": "ok",
        "predicted_churn": 0.1,
        "observed_churn": 0.1,
        "observed_over_predicted": 1.0,
        "observed_lower": low,
        "observed_upper": high,
    } | changes


MOVED = {
    "feature": "tenure_days", "slice": "all", "status": "alert", "has_changed_unit": False, "has_missing_jump": False,
    "has_new_category": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        ({"features": [MOVED]}, "the population has moved far (tenure_days)"),
        ({"deployments": [event()]}, "the deployed pipeline has failed a guardrail (calibration_ratio)"),
    ],
)
def test_scores_are_in_doubt_while_a_check_fails(finding: dict[str, Any], words: str) -> None:
    assert scores_answer(monitored())[0] == "so far, yes"
    assert scores_answer(monitored(**finding)) == ("in doubt", words)
    sure = [observed(0.09, 0.11)]
    assert scores_answer(monitored(calibration=sure))[0] == "yes"
    agrees = "observed churn agrees with the predicted churn, but "
    assert scores_answer(monitored(calibration=sure, **finding)) == ("in doubt", agrees + words)


@pytest.mark.parametrize("status", ["fail", "warn"])
def test_a_data_test_says_nothing_of_scores(status: str) -> None:
    said = scores_answer(monitored(tests=[("unique_id", status)]))
    assert said == scores_answer(monitored())
    assert said[1].startswith("no check of the scores fails")


def test_next_steps_act_on_the_source_of_the_page() -> None:
    feed = {"feed": "tickets", "status": "stopped", "latest_event_on": date(2026, 6, 1), "silent_days": 9}
    fallen = {
        "feed": "payments",
        "status": "fallen",
        "events_last_7_days": 1,
        "usual_events_per_7_days": 40.0,
    }
    broken = MOVED | {"has_changed_unit": True, "median_size_then": 1.0, "median_size": 100.0}
    missing = MOVED | {"has_missing_jump": True, "missing_share_then": 0.0, "missing_share": 0.5}
    data = monitored(
        source="acme",
        feeds=[feed | {"longest_gap_days": 1}, fallen],
        features=[broken, missing],
        deployed={"pipeline_version": "v2", "calibration_warning": "too high"},
        tests=[("unique_id", "fail")],
    )
    steps = [finding.next_step for finding in findings(data) if finding.urgency == "act"]
    assert len(steps) == 6
    assert all("bayespilot run --source acme" in step for step in steps)


def test_a_wide_interval_does_not_confirm_a_prediction() -> None:
    groups = [
        observed(0.0, 0.79, breakdown="segment"),
        observed(0.09, 0.11, breakdown="segment"),
        observed(0.2, 0.3, breakdown="segment", status="too_low"),
    ]
    table = calibration_groups(groups, date(2026, 6, 1), 1.25)
    assert [row[-1] for row in table.rows] == ["too few to tell", "holds", "too low"]
    assert "less than 0.8 or more than 1.25 times" in table.caption
