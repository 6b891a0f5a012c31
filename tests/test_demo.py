"""The bundled demo, built as a new user builds it: its forecasts come true and its plan holds up."""

from __future__ import annotations

import re

import duckdb
import joblib
import numpy as np
import pytest
import true_value_of_demo
from check_forecasts import agreement, last_day
from conftest import ROOT, Project, copy_project
from scipy.stats import norm

from models_ml.deployment.challenge import Outcomes, perfect_range
from models_ml.evaluation import expected_calibration_error
from models_ml.training.contact_weights import read_examples
from models_ml.training.examples import ExampleReader
from models_ml.training.settings import load_settings

pytestmark = pytest.mark.build

PERFECT_DRAWS = 400
BINS = 20


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The demo, built from the files in the repository."""
    project = copy_project(tmp_path_factory.mktemp("demo") / "project")
    project.dbt("build")
    return project


def judged_rows(demo: Project) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Churn, churn probability and weight of the judged date, by the selected candidate as it was judged."""
    candidate, judged_on = demo.query(
        "select candidate, judged_on from pipeline_candidates where is_selected"
    )[0]
    pipeline = joblib.load(demo.folder / f"models_ml/artifacts/demo/candidates/{candidate}.pkl")
    with duckdb.connect(str(demo.warehouse()), read_only=True) as connection:
        reader = ExampleReader(connection, "select * from training_examples", pipeline.encoder.schema, ())
        rows = read_examples(reader, [judged_on], 0, load_settings())
    return rows.has_churned.astype(float), pipeline.score(rows.features)[0], rows.example_weight


def test_forecasts_lie_within_the_range_of_a_perfect_one(demo: Project) -> None:
    churned, probability, weight = judged_rows(demo)
    recorded_error, recorded_ratio = demo.query(
        "select calibration_error, calibration_ratio from pipeline_candidates where is_selected"
    )[0]
    error = expected_calibration_error(churned, probability, bins=BINS, weight=weight)
    assert error == pytest.approx(recorded_error, abs=1e-6), "the rows and the pipeline that were judged"
    random = np.random.default_rng(7)
    level_sd = np.sqrt(Outcomes(churned > 0, probability, weight).variance_of_log_churn)
    perfect = [  # right on average, at a level that the churners of a date of the same size have set
        expected_calibration_error(
            (random.random(len(probability)) < probability).astype(float),
            np.minimum(probability * np.exp(random.normal(0.0, level_sd)), 1.0),
            bins=BINS,
            weight=weight,
        )
        for _ in range(PERFECT_DRAWS)
    ]
    assert error <= np.quantile(perfect, 0.99), "the confidence of the guardrail too"
    low, high = perfect_range(probability, weight)
    assert low <= recorded_ratio <= high


def test_the_plan_spends_the_budget_on_more_than_simpler_rules_would_return(demo: Project) -> None:
    run = demo.query(
        "select planned_contacts, planned_spend, available_budget, planned_value, plan_gap,"
        " greatest(reference_greedy_value, reference_break_even_value, reference_top_risk_value,"
        " reference_fixed_thresholds_value) from policy_runs"
    )[0]
    contacts, spend, budget, value, gap, best_reference = run
    assert contacts >= 500
    assert 0.95 * budget <= spend <= budget, "the next contact costs more than what is left"
    assert value >= best_reference
    assert gap <= 5e-3


def test_the_hidden_truth_of_the_demo_is_printed(
    demo: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTION_DB", str(demo.warehouse()))
    monkeypatch.setenv("COLUMNS", "120")
    true_value_of_demo.main()
    printed = capsys.readouterr().out
    [done] = re.findall(r"done +│ +(\d+) │ +([\d,]+) │ +([\d,]+) │", printed)
    contacts, low, high = demo.query("select contacts, done_value_low, done_value_high from policy_runs")[0]
    assert int(done[0]) == contacts
    assert low <= float(done[2].replace(",", "")) <= high, "the demo is a draw that its interval holds"
    assert "best possible" in printed


def test_the_readme_shows_the_plan_of_the_demo(demo: Project) -> None:
    text = (ROOT / "README.md").read_text()
    [row] = re.findall(r"^ +350 +350 +([\d.]+) +(\d+) +([\d,.]+) +([\d.]+) ", text, re.MULTILINE)
    [worth] = re.findall(r"worth ([\d,]+) EUR \(([\d,]+) to ([\d,]+) .*?cost of (\d+) EUR", text)
    shown = [float(number.replace(",", "")) for number in (*row, *worth)]
    found = demo.query(
        "select planned_spend, planned_contacts, planned_value, budget_price,"
        " done_value, done_value_low, done_value_high, done_cost from policy_runs"
    )[0]
    assert shown == pytest.approx([float(number) for number in found], rel=0.01)


def test_forecasts_of_the_last_day_follow_the_hidden_truth(demo: Project) -> None:
    """As far as the churners of one date can tell; scripts/check_forecasts.py compares a larger world."""
    churned, probability, weight = judged_rows(demo)
    level_sd = np.sqrt(Outcomes(churned > 0, probability, weight).variance_of_log_churn)
    ratio, correlation = agreement(*last_day(demo, ROOT / "seeds" / "raw" / "demo"))
    assert abs(np.log(ratio)) <= norm.ppf(0.995) * level_sd
    assert correlation > 0.8
