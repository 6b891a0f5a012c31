"""The training report: what it says is what the training found, on a page that needs nothing else."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import training_data as data
from sklearn.metrics import average_precision_score, roc_auc_score
from test_training import quick_settings

from models_ml.decisions.economics import needed_columns
from models_ml.deployment.challenge import Guardrail, Selection
from models_ml.deployment.record import DeploymentRecord, deployment_record, pipeline_version
from models_ml.reports import training_tables as tables
from models_ml.reports.page import render
from models_ml.reports.training_figures import (
    POINTS,
    Curve,
    precision_recall_points,
    profit_points,
    reliability,
    reliability_bins,
    roc_points,
    thin,
)
from models_ml.reports.training_page import captions, training_page, training_plots, write_training_files
from models_ml.training.candidates import CANDIDATES
from models_ml.training.context import read_inputs, read_purpose, warehouse_tables
from models_ml.training.examples import ExampleReader
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import TrainingResult, train

RAILS = (
    Guardrail("calibration_ratio", 1.03, 0.9, 1.1, True, "predicted over observed"),
    Guardrail("contacts_ratio", 2.31, None, 2.0, False, "231 contacts against 100"),
)


def settings_with_a_search() -> TrainingSettings:
    chosen = quick_settings()
    linear = replace(chosen.spaces["logistic_regression"], at_most=2)
    return replace(chosen, spaces=chosen.spaces | {"logistic_regression": linear})


def trained_with(candidates: list[str]) -> tuple[TrainingResult, DeploymentRecord]:
    connection, names, settings = data.warehouse(), warehouse_tables(), settings_with_a_search()
    inputs, purpose = read_inputs(connection, names, data.CURVES), read_purpose(connection, names)
    reader = ExampleReader(connection, names.training_examples, purpose.schema, needed_columns(inputs))
    result = train(reader, inputs, settings, candidates=candidates, notify=lambda message: None)
    version = pipeline_version(result, purpose, settings, b"pipeline")
    return result, deployment_record(result, purpose, settings, b"pipeline", version, "run-1", [])


@pytest.fixture(scope="module")
def trained() -> tuple[TrainingResult, DeploymentRecord]:
    return trained_with(list(CANDIDATES))


@pytest.fixture(scope="module")
def result(trained: tuple[TrainingResult, DeploymentRecord]) -> TrainingResult:
    return trained[0]


@pytest.fixture(scope="module")
def record(trained: tuple[TrainingResult, DeploymentRecord]) -> DeploymentRecord:
    return trained[1]


@pytest.fixture(scope="module")
def plots(result: TrainingResult) -> dict[str, str]:
    return training_plots(result, "EUR")


@pytest.fixture(scope="module")
def files(
    trained: tuple[TrainingResult, DeploymentRecord],
    plots: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports") / "demo"
    paths = write_training_files(
        folder, trained[0], selection(trained[1]), trained[1], currency="EUR", plots=plots
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    return {path.name: path for path in paths}


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 20,000 customers with perfectly calibrated probabilities: churned, churn probability, weight."""
    random = np.random.default_rng(4)
    probability = random.beta(1, 12, 20_000)
    return random.random(20_000) < probability, probability, np.where(probability > 0.1, 3.0, 1.0)


def selection(record: DeploymentRecord, outcome: str = "kept", **changes: Any) -> Selection:
    kept = Selection(
        record.pipeline_version, "kept", "better with probability 0.71; 0.90 is needed", "old-1", 0.71, RAILS
    )
    return replace(kept, outcome=outcome, **changes)


def page_of(
    result: TrainingResult,
    record: DeploymentRecord,
    outcome: str = "kept",
    plots: Mapping[str, str] = MappingProxyType({}),
    **changes: Any,
) -> str:
    return render(training_page(result, selection(record, outcome, **changes), record, plots, currency="EUR"))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestFiles:
    def test_the_comparison_holds_every_candidate_as_judged(
        self, files: dict[str, Path], result: TrainingResult
    ) -> None:
        rows = {row["candidate"]: row for row in read_csv(files["model_comparison.csv"])}
        assert rows.keys() == result.verdicts.keys()
        for name, verdict in result.verdicts.items():
            row = rows[name]
            assert float(row["judged_profit"]) == pytest.approx(verdict.profit.profit, abs=0.005)
            assert float(row["profit_shortfall"]) == pytest.approx(verdict.profit.shortfall, abs=0.005)
            assert int(row["planned_contacts"]) == verdict.planned_contacts
            for metric, value in verdict.metrics.items():
                assert float(row[metric]) == pytest.approx(value, abs=1e-9), metric
        assert [name for name, row in rows.items() if row["is_selected"] == "True"] == [result.chosen]

    def test_the_cut_offs_hold_every_candidate_and_threshold(
        self, files: dict[str, Path], result: TrainingResult
    ) -> None:
        rows = read_csv(files["threshold_evaluation.csv"])
        expected = [
            {"candidate": name} | {part: str(value) for part, value in row.items()}
            for name, candidate in sorted(result.diagnostics.candidates.items())
            for row in candidate.thresholds
        ]
        assert rows == expected
        assert len(rows) > 2 * len(result.verdicts)

    def test_the_summary_says_what_was_selected_and_what_is_deployed(
        self, files: dict[str, Path], result: TrainingResult, record: DeploymentRecord
    ) -> None:
        summary = json.loads(
            files["selected_model.json"].read_text(encoding="utf-8"), parse_constant=pytest.fail
        )
        assert summary["candidate"] == result.chosen
        assert summary["selection_reason"] == result.reason
        assert summary["pipeline_version"] == record.pipeline_version
        assert summary["deployed_version"] == "old-1"
        assert summary["hyperparameters"] == result.recipes[result.chosen]
        assert summary["judged"]["metrics"]["auc"] == pytest.approx(
            result.verdicts[result.chosen].metrics["auc"], abs=1e-9
        )
        assert summary["refitted"]["metrics"]["auc"] == pytest.approx(result.refit_metrics["auc"], abs=1e-9)
        assert summary["judged"]["judged_on"] == str(result.judged.split.judged_on)
        assert summary["refitted"]["data_fingerprint"] == result.refitted.data_fingerprint
        assert [rail["passes"] for rail in summary["guardrails"]] == [True, False]
        assert summary["libraries"] == record.libraries

    def test_the_same_training_gives_the_same_bytes(
        self,
        files: dict[str, Path],
        trained: tuple[TrainingResult, DeploymentRecord],
        tmp_path: Path,
    ) -> None:
        again = write_training_files(tmp_path, trained[0], selection(trained[1]), trained[1], currency="EUR")
        for path in again:
            assert path.read_bytes() == files[path.name].read_bytes(), path.name

    def test_a_promoted_version_is_the_deployed_one(
        self, trained: tuple[TrainingResult, DeploymentRecord], tmp_path: Path
    ) -> None:
        promoted = selection(trained[1], "promoted")
        *_, path = write_training_files(tmp_path, trained[0], promoted, trained[1], currency="EUR", plots={})
        assert json.loads(path.read_text())["deployed_version"] == trained[1].pipeline_version


class TestPage:
    def test_it_needs_no_network(self, files: dict[str, Path]) -> None:
        html = files["training.html"].read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", html)
        assert "<script" not in html
        assert len(html) < 1_500_000
        assert html.count("<svg") == 10

    @pytest.mark.parametrize(
        ("outcome", "says"),
        [
            ("first", "is deployed, the first of this source"),
            ("promoted", "is deployed and replaces old-1"),
            ("kept", "The champion old-1 stays deployed"),
            ("forced", "since the champion cannot compete"),
        ],
    )
    def test_the_verdict_names_candidate_outcome_and_reason(
        self, result: TrainingResult, record: DeploymentRecord, outcome: str, says: str
    ) -> None:
        verdict = training_page(result, selection(record, outcome), record, {}, currency="EUR").verdict
        assert says in verdict
        assert result.chosen.replace("_", " ") in verdict.lower()
        assert result.reason in verdict
        assert "better with probability 0.71" in verdict
        profit = result.verdicts[result.chosen].profit.profit
        assert f"{profit:,.0f} EUR" in verdict

    def test_headline_facts_are_those_of_the_chosen_candidate(
        self, result: TrainingResult, record: DeploymentRecord
    ) -> None:
        page = training_page(result, selection(record), record, {}, currency="EUR")
        facts = {fact.label: fact for fact in page.facts}
        found = result.verdicts[result.chosen]
        assert facts["AUC"].value == f"{found.metrics['auc']:.3f}"
        assert facts["Calibration ratio"].value == f"{found.metrics['calibration_ratio']:.3f}"
        assert facts["Calibration error"].value == f"{found.metrics['calibration_error']:.3f}"
        assert facts["Contacts planned"].value == f"{found.planned_contacts:,}"
        low = found.profit.profit - 1.96 * found.profit.standard_error
        assert f"95 %: {low:,.0f} to" in facts["Judged profit"].note
        idle = replace(found, choice=np.full_like(found.choice, -1), planned_cost=0.0)
        idle_result = replace(result, verdicts={**result.verdicts, result.chosen: idle})
        assert "nobody is contacted" in page_of(idle_result, record)
        free = replace(found, choice=np.zeros_like(found.choice), planned_cost=0.0)
        free_page = page_of(replace(result, verdicts={**result.verdicts, result.chosen: free}), record)
        assert "the planned contacts cost nothing" in free_page
        assert "nobody is contacted" not in free_page

    def test_texts_are_escaped(self, result: TrainingResult, record: DeploymentRecord) -> None:
        html = page_of(result, record, reason="<b>1 < 2</b>")
        assert "&lt;b&gt;1 &lt; 2" in html
        assert "<b>" not in html
        segments = np.where(np.arange(len(result.diagnostics.weight)) % 2 == 0, "<i>", "plain").astype(object)
        segmented = replace(result, diagnostics=replace(result.diagnostics, segment=segments))
        assert "<td>&lt;i&gt;</td>" in page_of(segmented, record)

    def test_guardrails_and_versions_stand_on_it(
        self, result: TrainingResult, record: DeploymentRecord
    ) -> None:
        html = page_of(result, record)
        assert "FAILS" in html
        assert "231 contacts against 100" in html
        for text in (record.pipeline_version, record.settings_fingerprint, result.judged.data_fingerprint):
            assert text in html

    def test_every_figure_has_its_question(
        self, result: TrainingResult, record: DeploymentRecord, plots: dict[str, str]
    ) -> None:
        assert len(plots) == 10
        html = page_of(result, record, plots=plots)
        for name in plots:
            assert "?" in captions(result)[name], name
        assert html.count("<figcaption>") == len(plots)

    def test_figures_stand_alone_as_files(self, plots: dict[str, str]) -> None:
        for name, drawing in plots.items():
            assert re.match(r'<svg [^>]*xmlns="http://www.w3.org/2000/svg"', drawing), name


class TestLess:
    def test_a_single_candidate(self) -> None:
        result, record = trained_with(["logistic_regression"])
        alone = {"champion_version": None, "probability_better": None, "guardrails": ()}
        html = page_of(result, record, "first", training_plots(result), **alone)
        assert "the only candidate" in html
        assert "random" not in html.replace("at random", "")
        assert "earns more than the champion" not in html

    def test_without_explanations_search_and_segments(
        self, result: TrainingResult, record: DeploymentRecord
    ) -> None:
        important = result.diagnostics.importance[result.chosen]
        bare = replace(
            result.diagnostics,
            segment=None,
            importance={result.chosen: tuple(replace(row, shap=float("nan")) for row in important)},
            coefficients=(),
            candidates={
                name: replace(candidate, search=(), calibration=(), thresholds=())
                for name, candidate in result.diagnostics.candidates.items()
            },
        )
        less = replace(result, diagnostics=bare)
        plots = training_plots(less)
        assert "permutation_importance" in plots
        assert not {"shap_importance", "coefficients", "search"} & plots.keys()
        html = page_of(less, record, plots=plots)
        assert "nan" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL).lower()
        assert "Segments" not in html
        assert "cut-off do" not in html


class TestTables:
    def test_the_chosen_candidate_is_marked_with_its_numbers(self, result: TrainingResult) -> None:
        table = tables.candidates(result, "EUR")
        assert table.highlight is not None
        row = table.rows[table.highlight]
        assert row[0].replace("\u00a0", "_") == result.chosen
        for line, verdict in zip(table.rows, result.verdicts.values(), strict=True):
            profit = verdict.profit
            assert line[1] == f"{profit.profit:,.0f} ± {profit.standard_error:,.0f}".replace("-", "−")
            assert line[2].startswith(f"{profit.shortfall:,.0f} ±" if profit.shortfall else "–")
        assert row[table.columns.index("AUC")] == f"{result.verdicts[result.chosen].metrics['auc']:.3f}"
        assert {len(row) for row in table.rows} == {len(table.columns)}

    def test_the_most_profitable_cut_off_is_marked(self, result: TrainingResult) -> None:
        table = tables.thresholds(result, "EUR")
        assert table is not None
        assert table.highlight is not None
        reached = [
            row
            for row in result.diagnostics.candidates[result.chosen].thresholds
            if row["contacted_share"] > 0
        ]
        best = max(row["profit"] for row in reached)
        assert table.rows[table.highlight][-1] == tables.money(best, "EUR")

    def test_segments_add_up(self, result: TrainingResult) -> None:
        names = np.where(np.arange(len(result.diagnostics.weight)) % 3 == 0, "small", "").astype(object)
        table = tables.segments(
            replace(result, diagnostics=replace(result.diagnostics, segment=names)), "EUR"
        )
        assert table is not None
        assert [row[0] for row in table.rows] == ["(none)", "small"]
        assert sum(int(row[1].replace(",", "")) for row in table.rows) == result.judged_rows
        churned = float((result.diagnostics.weight * result.diagnostics.has_churned).sum())
        assert sum(float(row[2].replace(",", "")) for row in table.rows) == pytest.approx(churned, abs=0.11)
        for row in table.rows:  # the ratio is that of the columns beside it
            assert float(row[4]) == pytest.approx(float(row[3]) / float(row[2]), abs=0.02)


class TestCurves:
    def test_drawn_areas_are_the_stated_ones(self, many: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        churned, probability, weight = many
        roc = roc_points(churned, probability, weight)
        stated = roc_auc_score(churned, probability, sample_weight=weight)
        assert len(roc.x) <= POINTS + 1
        assert np.trapezoid(roc.y, roc.x) == pytest.approx(stated, abs=1e-3)
        curve = precision_recall_points(churned, probability, weight)
        stated = average_precision_score(churned, probability, sample_weight=weight)
        assert len(curve.x) <= POINTS + 1
        assert np.trapezoid(curve.y, curve.x) == pytest.approx(stated, abs=0.01)

    def test_the_area_of_a_real_result_is_its_auc(self, result: TrainingResult) -> None:
        diagnostics = result.diagnostics
        for name, verdict in result.verdicts.items():
            curve = roc_points(
                diagnostics.has_churned, diagnostics.candidates[name].churn_probability, diagnostics.weight
            )
            assert np.trapezoid(curve.y, curve.x) == pytest.approx(verdict.metrics["auc"], abs=2e-3), name

    def test_the_profit_curve_meets_the_cut_offs(self, result: TrainingResult) -> None:
        diagnostics, worth = result.diagnostics, result.judged_date.value_if_contacted()
        for name, candidate in diagnostics.candidates.items():
            probability = candidate.churn_probability
            fine = profit_points(probability, diagnostics.weight, worth, points=len(worth) + 1)
            for row in candidate.thresholds:
                at = np.interp(row["contacted_share"], fine.x, fine.y)
                assert at == pytest.approx(row["profit"], abs=0.05), (name, row)

    def test_a_thinned_line_keeps_ends_and_extremes(self) -> None:
        x = np.linspace(0, 1, 5000)
        line = thin(Curve(x, 1e6 * np.sin(3 * x)))
        assert len(line.x) <= POINTS + 1
        assert (line.x[0], line.x[-1]) == (0, 1)
        assert line.y.max() == pytest.approx(1e6, rel=1e-3)

    def test_reliability_is_fair_to_a_perfect_forecast_and_catches_a_doubled_one(
        self, many: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> None:
        churned, probability, weight = many
        fair = reliability(churned, probability, weight, bins=20)
        assert fair.customers.sum() == len(churned)
        assert fair.outside.mean() <= 0.2
        doubled = reliability(churned, np.minimum(2 * probability, 1), weight, bins=20)
        assert doubled.outside.mean() > 0.8

    def test_unequal_weights_widen_the_range(self) -> None:
        random = np.random.default_rng(0)
        churned, probability = random.random(1000) < 0.2, np.full(1000, 0.2)
        equal = reliability(churned, probability, np.ones(1000), bins=1)
        unequal = reliability(churned, probability, random.choice([0.1, 5.0], 1000), bins=1)
        assert (unequal.high - unequal.low)[0] > 1.2 * (equal.high - equal.low)[0]

    def test_a_weight_shared_by_a_whole_bin_leaves_its_range(self) -> None:
        churned, probability = np.arange(1000) % 3 == 0, np.repeat([0.2, 0.4], 500)
        equal = reliability(churned, probability, np.ones(1000), bins=20)
        heavier = reliability(churned, probability, np.repeat([1.0, 9.0], 500), bins=20)
        np.testing.assert_allclose(heavier.low, equal.low)
        np.testing.assert_allclose(heavier.high, equal.high)

    def test_bins_before_and_after_are_of_the_same_customers(self, result: TrainingResult) -> None:
        for before in (False, True):
            found = reliability_bins(result, result.chosen, before=before)
            assert found.customers.sum() == result.judged_rows
