"""Predicted churn that chance does not explain: when a pipeline without opponent is refused, and what is said after."""

from __future__ import annotations

import contextlib
import io
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pytest
import training_data as data
import typer
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_training import quick_settings
from typer.testing import CliRunner

from models_ml.cli import app as cli
from models_ml.decisions.what_if import draw_curve, read_what_if_inputs
from models_ml.deployment.challenge import (
    Miscalibration,
    Outcomes,
    chance_range,
    find_miscalibration,
    refuse_miscalibration,
)
from models_ml.deployment.deployed import read_record
from models_ml.errors import BayesPilotError
from models_ml.reports.monitoring_findings import ACT, findings, read_monitoring, scores_answer
from models_ml.reports.monitoring_page import monitoring_page
from models_ml.reports.page import render
from models_ml.reports.policy_data import read_calibration_warning, read_last_plan
from models_ml.reports.policy_page import policy_page
from models_ml.reports.what_if_page import whatif_page
from models_ml.summary import print_summary, read_summary
from models_ml.train import app as by_hand
from models_ml.train_and_deploy import Trained, deployment_row, ensure_deployed, train_and_deploy
from models_ml.training.context import warehouse_tables
from models_ml.training.examples import DateCount
from models_ml.training.settings import load_settings

BOUNDS = load_settings().promotion
DAY = date(2026, 9, 10)
WARNING = Miscalibration("random_forest", DAY, 1.5, 0.8, 1.25, 0.99).warning
JUDGED = data.MONTH_ENDS[-1]
# On the judged date two of three churners stay: the pipeline then predicts about three times what happens.
STAYING = (
    "update training_examples set has_churned = has_churned and hash(customer_id) % 3 = 0"
    f" where as_of_date = date '{JUDGED}'"
)


def outcomes(churners: int, rows: int, *, predicted: float, weight: float = 1.0) -> Outcomes:
    return Outcomes(np.arange(rows) < churners, np.full(rows, predicted), np.full(rows, weight))


def found(judged: Outcomes, calibrated: Outcomes) -> Miscalibration | None:
    return find_miscalibration("random_forest", DAY, judged, calibrated, BOUNDS)


class TestRange:
    def test_it_counts_the_churners_of_both_dates(self) -> None:
        # 36 and 64 churners, predicted 10 %: √(0.9/36 + 0.9/64) = 0.19764; times 2.57583 = 0.50909
        low, high = chance_range(
            outcomes(36, 360, predicted=0.1), outcomes(64, 640, predicted=0.1), confidence=0.99
        )
        assert (low, high) == pytest.approx((0.60104, 1.66378), abs=2e-5)

    def test_a_churner_of_weight_four_among_others_counts_as_fewer(self) -> None:
        # Weights 4, 1 and 1: (16 + 1 + 1) · 0.1 · 0.9 / (6 · 0.1 · 5) = 0.54, against 0.9 / 2 with equal weights.
        mixed = Outcomes(np.array([True, True, False]), np.full(3, 0.1), np.array([4.0, 1.0, 1.0]))
        assert mixed.variance_of_log_churn == pytest.approx(0.54)
        assert outcomes(2, 3, predicted=0.1, weight=4).variance_of_log_churn == pytest.approx(0.45)
        assert mixed.ratio == pytest.approx(0.1 * 6 / 5)

    def test_certain_churn_leaves_nothing_to_chance(self) -> None:
        certain = Outcomes(np.array([True, False]), np.array([1.0, 0.0]), np.ones(2))
        assert chance_range(certain, certain, 0.99) == (1.0, 1.0)

    @given(
        churners=st.integers(5, 500),
        more=st.integers(1, 500),
        confidence=st.floats(0.5, 0.999),
        weight=st.floats(0.1, 10),
    )
    def test_more_churners_narrow_it_and_a_common_weight_changes_nothing(
        self, churners: int, more: int, confidence: float, weight: float
    ) -> None:
        few = outcomes(churners, 5000, predicted=0.05, weight=weight)
        many = outcomes(churners + more, 5000, predicted=0.05)
        low, high = chance_range(few, few, confidence)
        narrow_low, narrow_high = chance_range(many, many, confidence)
        assert low < narrow_low < 1 < narrow_high < high
        assert low == pytest.approx(1 / high)

    @pytest.mark.parametrize("expected_churners", [8, 40, 100, 1000])
    def test_one_in_a_hundred_right_pipelines_lies_outside(self, expected_churners: int) -> None:
        random, trials, rows = np.random.default_rng(expected_churners), 4000, 25 * expected_churners
        counts = random.binomial(rows, 0.04, (trials, 2))
        refused = 0
        for calibrated, judged in counts[(counts > 0).all(axis=1)]:
            level = calibrated / rows  # the pipeline predicts what left on the calibration date
            refused += (
                found(
                    outcomes(judged, rows, predicted=level),
                    outcomes(calibrated, rows, predicted=level),
                )
                is not None
            )
        assert refused / trials <= 0.015
        if expected_churners == 100:  # and not far fewer: the range is no wider than it says
            assert refused / trials >= 0.005

    def test_nor_with_the_weights_of_a_holdout(self) -> None:
        random, trials, rows = np.random.default_rng(0), 3000, 600
        refused = 0
        for _ in range(trials):
            probability = np.clip(random.gamma(1.2, 1 / 30, rows), 0.001, 0.9)
            weight = np.where(random.random(rows) < 0.05, 20.0, 1.0)
            calibrated, judged = random.random((2, rows)) < probability
            level = (weight * calibrated).sum() / (weight * probability).sum()
            dates = [
                Outcomes(churned, np.minimum(level * probability, 1), weight)
                for churned in (judged, calibrated)
            ]
            refused += bool(judged.any() and calibrated.any()) and found(*dates) is not None
        assert refused / trials <= 0.015


class TestFinding:
    def test_many_churners_refuse_a_ratio_that_few_allow(self) -> None:
        # Predicted 10 % of 300, 20 left: ratio 1.5, range exp(±2.576·√(0.9/20 + 0.9/30)) = 0.49 to 2.02.
        assert found(outcomes(20, 300, predicted=0.1), outcomes(30, 300, predicted=0.1)) is None
        # Ten times the customers: exp(±2.576·√(0.9/200 + 0.9/300)) = 0.80 to 1.25.
        many = found(outcomes(200, 3000, predicted=0.1), outcomes(300, 3000, predicted=0.1))
        assert many is not None
        assert (many.ratio, many.low, many.high) == pytest.approx((1.5, 0.80003, 1.24995), abs=1e-4)

    def test_too_little_churn_predicted_is_refused_too(self) -> None:
        low = found(outcomes(450, 3000, predicted=0.1), outcomes(300, 3000, predicted=0.1))
        assert low is not None
        assert low.ratio == pytest.approx(2 / 3)

    def test_a_ratio_within_the_guardrail_passes_however_many_churners_there_are(self) -> None:
        calibrated = outcomes(100_000, 1_000_000, predicted=0.1)
        assert found(outcomes(92_000, 1_000_000, predicted=0.1), calibrated) is None  # 1.087
        assert found(outcomes(90_000, 1_000_000, predicted=0.1), calibrated) is not None  # 1.111

    def test_the_refusal_names_ratio_range_dates_and_both_ways_on(self) -> None:
        refused = Miscalibration("random_forest", DAY, 1.5, 0.8, 1.25, 0.99)
        counts = [DateCount(date(2026, 8, 12), 3000, 300, 3000), DateCount(DAY, 3000, 200, 3000)]
        with pytest.raises(BayesPilotError) as error:
            refuse_miscalibration(refused, counts, "acme")
        text = str(error.value)
        assert "predicted 1.50 times the churn that was observed after 2026-09-10" in text
        assert "0.80 to 1.25" in text
        assert "2026-09-10: 6.67 % of 3,000 left, 2026-08-12: 10.00 % of 3,000 left" in text
        assert "correct it and build again" in text
        assert "bayespilot run --source acme --vars '{allow_miscalibrated: true}'" in text
        assert "bayespilot train --source acme --allow-miscalibrated" in text


def trained(folder: Path, *changes: str, customers: int = 800, allow: bool = False) -> Trained:
    connection = data.warehouse(customers=customers)
    for change in changes:
        connection.execute(change)
    return train_and_deploy(
        connection,
        warehouse_tables(),
        folder,
        quick_settings(),
        notify=lambda _: None,
        allow_miscalibrated=allow,
    )


class TestTraining:
    def test_a_first_pipeline_is_refused_and_nothing_is_left(self, tmp_path: Path) -> None:
        with pytest.raises(BayesPilotError, match=rf"observed after {JUDGED}(.|\n)*allow_miscalibrated"):
            trained(tmp_path, STAYING)
        assert list(tmp_path.iterdir()) == []

    def test_on_request_it_is_deployed_and_says_so(self, tmp_path: Path) -> None:
        done = trained(tmp_path, STAYING, allow=True)
        assert done.selection.outcome == "first"
        warning = done.deployed.calibration_warning
        assert warning is not None
        assert f"observed after {JUDGED}" in warning
        record = read_record(tmp_path)
        assert record is not None
        assert record.calibration_warning == warning
        connection = data.warehouse(customers=800)
        again = ensure_deployed(
            connection, warehouse_tables(), tmp_path, quick_settings(), notify=lambda _: None
        )
        assert again.trained_because == ()
        assert deployment_row(again)["calibration_warning"].to_pylist() == [warning]

    def test_the_variable_of_dbt_lets_it_through(self, tmp_path: Path) -> None:
        connection = data.warehouse(customers=800, int_run=data.run_table(allow_miscalibrated=True))
        connection.execute(STAYING)
        done = ensure_deployed(
            connection, warehouse_tables(), tmp_path, quick_settings(), notify=lambda _: None
        )
        assert done.record.calibration_warning is not None

    def test_a_successor_of_a_pipeline_that_no_longer_fits_is_refused_too(self, tmp_path: Path) -> None:
        first = trained(tmp_path)
        assert first.deployed.calibration_warning is None
        record = tmp_path / "deployed_pipeline.json"
        other_map = record.read_text().replace('"activity_map_hash": "abc"', '"activity_map_hash": "old"')
        record.write_text(other_map)
        with pytest.raises(BayesPilotError, match="not deployed"):
            trained(tmp_path, STAYING)
        assert record.read_text() == other_map

    def test_too_few_churners_to_know_are_deployed(self, tmp_path: Path) -> None:
        few = (
            "delete from training_examples where as_of_date >= date '2025-05-31'"
            " and hash(customer_id) % 20 > 0"
        )
        done = trained(tmp_path, few, STAYING)
        assert not 0.9 <= done.winner.judged["metrics"]["calibration_ratio"] <= 1.1
        assert done.selection.outcome == "first"
        assert done.deployed.calibration_warning is None


@pytest.mark.parametrize("given", [(), ("--allow-miscalibrated",)])
@pytest.mark.parametrize(("command", "name"), [(cli, ("train",)), (by_hand, ())])
def test_both_command_lines_pass_the_request_on(
    command: typer.Typer, name: tuple[str, ...], given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "models_ml.train.train_and_deploy",
        lambda *_, allow_miscalibrated, **__: asked.append(allow_miscalibrated),
    )
    monkeypatch.setattr("models_ml.train.open_warehouse", lambda _: contextlib.nullcontext())
    CliRunner().invoke(command, [*name, *given])
    assert asked == [bool(given)]


def texts(warehouse: Path) -> dict[str, str]:
    """Return what people read about the last run, by name."""
    summary = io.StringIO()
    print_summary(Console(file=summary, width=1000), read_summary("demo", warehouse), "demo")
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        plan, inputs = read_last_plan(connection, "demo"), read_what_if_inputs(connection)
        warning = read_calibration_warning(connection)
    curves = [draw_curve(inputs, inputs.month.find("budget"), [100.0])]
    monitoring = read_monitoring(warehouse, "demo", None)
    return {
        "summary": summary.getvalue(),
        "policy": render(policy_page(plan, curves, source="demo")),
        "what-if": render(whatif_page(curves, source="demo", inputs=inputs, warning=warning)),
        "monitoring": render(monitoring_page(monitoring)),
    }


def test_summary_and_pages_say_it_while_it_is_deployed(fresh_copy: Project) -> None:
    path = fresh_copy.warehouse()
    for text in texts(path).values():
        assert WARNING not in text
        assert "failed their check" not in text
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"update deployed_pipeline set calibration_warning = '{WARNING}'")
    for name, text in texts(path).items():
        assert WARNING in text, name
    data_read = read_monitoring(path, "demo", None)
    assert scores_answer(data_read)[0] == "in doubt"
    assert any(one.urgency == ACT and one.evidence == WARNING for one in findings(data_read))
