"""The champion: judged on data that it has not seen, and replaced only by a better challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import training_data as data
from scipy.special import expit, logit
from test_training import quick_settings

from models_ml.decisions.economics import needed_columns
from models_ml.deployment.challenge import Selection
from models_ml.deployment.champion import (
    Challenger,
    Champion,
    NoChampion,
    challenge,
    find_champion,
    how_judged,
    stand_in_for,
)
from models_ml.deployment.deployed import write_deployment
from models_ml.deployment.record import DeploymentRecord, deployment_record, library_versions, serialise
from models_ml.training.context import Purpose, read_inputs, read_purpose, warehouse_tables
from models_ml.training.examples import ExampleReader
from models_ml.training.pipeline import ChurnPipeline
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import train

ONLY = "logistic_regression"
LAST, BEFORE = data.MONTH_ENDS[-1], data.MONTH_ENDS[-2]


@dataclass(frozen=True)
class Noisy:
    """A pipeline whose log-odds carry noise: worse than the original, but by chance better on some customers."""

    pipeline: ChurnPipeline
    spread: float
    seed: int

    def score(self, batch: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        probability, raw = self.pipeline.score(batch)
        noise = np.random.default_rng(self.seed).normal(0, self.spread, len(raw))
        return expit(logit(probability) + noise), raw


def wide(settings: TrainingSettings) -> TrainingSettings:
    """Return settings with guardrails that always hold: with 1,500 customers, chance alone breaks some."""
    promotion = replace(
        settings.promotion,
        calibration_ratio_from=0.5,
        calibration_ratio_to=2.0,
        segment_churners_at_least=10_000,
        contacts_ratio_from=0.0,
        contacts_ratio_to=100.0,
    )
    return replace(settings, promotion=promotion, judging=replace(settings.judging, bootstraps=300))


@pytest.fixture(scope="module")
def purpose() -> Purpose:
    return read_purpose(data.warehouse(customers=1), warehouse_tables())


@pytest.fixture(scope="module")
def challenger() -> Challenger:
    connection, names = data.warehouse(customers=1500), warehouse_tables()
    inputs, schema = read_inputs(connection, names, data.CURVES), read_purpose(connection, names).schema
    reader = ExampleReader(connection, names.training_examples, schema, needed_columns(inputs))
    settings = wide(quick_settings())
    result = train(reader, inputs, settings, candidates=[ONLY], notify=lambda message: None)
    return Challenger("new-1", "abc", result, reader, settings)


@pytest.fixture
def record(challenger: Challenger, purpose: Purpose) -> DeploymentRecord:
    """Return the record of a champion trained a month ago with another recipe."""
    made = deployment_record(
        challenger.result,
        purpose,
        challenger.settings,
        serialise(challenger.result.pipeline),
        "old-1",
        "",
        [],
    )
    refitted = made.refitted | {"calibrated_on": BEFORE.isoformat()}
    return replace(made, refitted=refitted, recipe={**made.recipe, "inverse_regularisation": 0.001})


def against(
    challenger: Challenger, record: DeploymentRecord, pipeline: object, **changes: Mapping[str, object]
) -> Selection:
    return challenge(challenger, Champion(replace(record, **changes), pipeline))  # type: ignore[arg-type]


class TestContest:
    def test_a_better_challenger_is_promoted(self, challenger: Challenger, record: DeploymentRecord) -> None:
        worthless = Noisy(challenger.result.judged.pipelines[ONLY], spread=4.0, seed=1)
        selection = against(challenger, record, worthless)
        assert selection.outcome == "promoted", selection.reason
        assert selection.probability_better is not None
        assert selection.probability_better >= 0.9
        assert "as deployed" in selection.reason

    def test_a_challenger_that_is_better_by_chance_is_not(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        nearly_as_good = Noisy(challenger.result.judged.pipelines[ONLY], spread=0.1, seed=5)
        selection = against(challenger, record, nearly_as_good)
        assert " more than the champion" in selection.reason
        assert selection.probability_better is not None
        assert 0.5 < selection.probability_better < 0.9
        assert selection.outcome == "kept"

    def test_a_guardrail_keeps_a_better_challenger_out(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        strict = replace(challenger.settings.promotion, contacts_ratio_from=1e6, contacts_ratio_to=1e9)
        guarded = replace(challenger, settings=replace(challenger.settings, promotion=strict))
        worthless = Noisy(challenger.result.judged.pipelines[ONLY], spread=4.0, seed=1)
        selection = against(guarded, record, worthless)
        assert selection.outcome == "kept"
        assert [rail.name for rail in selection.failed] == ["contacts_ratio"]

    def test_the_same_recipe_on_newer_data_replaces_its_older_self(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        itself = challenger.result.judged.pipelines[ONLY]
        recipe = dict(challenger.result.recipes[ONLY])
        refreshed = against(challenger, record, itself, recipe=recipe)
        assert (refreshed.outcome, refreshed.probability_better) == ("promoted", 0.0), refreshed.reason
        assert "trained again" in refreshed.reason
        other_recipe = against(challenger, record, itself)
        assert other_recipe.outcome == "kept"

    def test_a_refresh_that_is_worse_is_kept_out(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        recipe = dict(challenger.result.recipes[ONLY])
        diagnostics = challenger.result.diagnostics
        spoilt = replace(
            diagnostics.candidates[ONLY], churn_probability=np.full(len(diagnostics.weight), 0.001)
        )
        worse = replace(diagnostics, candidates={ONLY: spoilt})
        plan = challenger.result.judged_date.plan(spoilt.churn_probability)
        verdicts = {ONLY: replace(challenger.result.verdicts[ONLY], choice=plan)}
        spoilt_result = replace(challenger.result, diagnostics=worse, verdicts=verdicts)
        challenged = replace(challenger, result=spoilt_result)
        wide_open = replace(challenger.settings.promotion, calibration_ratio_from=0.0)
        challenged = replace(challenged, settings=replace(challenger.settings, promotion=wide_open))
        selection = against(challenged, record, challenger.result.judged.pipelines[ONLY], recipe=recipe)
        assert selection.outcome == "kept", selection.reason

    def test_a_stale_champion_must_be_better_itself(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        itself = challenger.result.judged.pipelines[ONLY]
        old = (LAST - timedelta(days=challenger.settings.promotion.stale_after_days)).isoformat()
        selection = against(challenger, record, itself, refitted=record.refitted | {"calibrated_on": old})
        assert selection.outcome == "promoted"
        assert "stale" in selection.reason

    def test_the_very_same_pipeline_is_kept(self, challenger: Challenger, record: DeploymentRecord) -> None:
        selection = against(challenger, record, None, pipeline_version="new-1", sha256="abc")
        assert selection.outcome == "kept"
        assert "again" in selection.reason


class TestHonestJudging:
    @pytest.mark.parametrize(
        ("days_before", "judged_as"), [(0, "recipe"), (27, "recipe"), (28, "deployed"), (90, "deployed")]
    )
    def test_who_has_seen_the_judged_date_is_judged_by_its_recipe(
        self, challenger: Challenger, record: DeploymentRecord, days_before: int, judged_as: str
    ) -> None:
        calibrated_on = (LAST - timedelta(days=days_before)).isoformat()
        seen = replace(record, refitted=record.refitted | {"calibrated_on": calibrated_on})
        assert how_judged(seen, challenger.result) == judged_as

    def test_a_pipeline_that_knows_the_answers_gains_nothing(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        class Cheat:
            def score(self, batch: object) -> object:
                raise AssertionError("scored on a date that it has seen")

        seen = {"refitted": record.refitted | {"calibrated_on": LAST.isoformat()}}
        selection = against(challenger, record, Cheat(), **seen)
        assert "fitted without the judged date" in selection.reason

    def test_the_recipe_stands_in_as_the_judged_split_fits_it(
        self, challenger: Challenger, record: DeploymentRecord
    ) -> None:
        same = replace(record, recipe=dict(challenger.result.recipes[ONLY]))
        judged = challenger.result.diagnostics.candidates[ONLY].churn_probability
        assert np.array_equal(stand_in_for(same, challenger), judged)
        other = stand_in_for(record, challenger)
        assert other is not None
        assert not np.array_equal(other, judged)
        assert np.corrcoef(other, judged)[0, 1] > 0.8

    @pytest.mark.parametrize("change", [{"candidate": "oracle"}, {"recipe": {"depth": 3}}])
    def test_a_recipe_that_is_unknown_now_cannot_compete(
        self, challenger: Challenger, record: DeploymentRecord, change: dict[str, object]
    ) -> None:
        seen = {"refitted": record.refitted | {"calibrated_on": LAST.isoformat()}}
        selection = against(challenger, record, None, **(seen | change))
        assert selection.outcome == "forced"
        assert selection.champion_version == "old-1"


class TestFindChampion:
    @pytest.fixture
    def folder(self, challenger: Challenger, purpose: Purpose, tmp_path: Path) -> Path:
        content = serialise(challenger.result.pipeline)
        made = deployment_record(challenger.result, purpose, challenger.settings, content, "old-1", "", [])
        write_deployment(tmp_path, content, made)
        return tmp_path

    def test_what_fits_competes(self, folder: Path, purpose: Purpose) -> None:
        found = find_champion(folder, purpose)
        assert isinstance(found, Champion)
        assert found.record.pipeline_version == "old-1"

    def test_what_cannot_compete_says_why(
        self, folder: Path, purpose: Purpose, tmp_path: Path, challenger: Challenger
    ) -> None:
        assert find_champion(tmp_path / "nothing", purpose) == NoChampion(None, "")
        unfit = find_champion(folder, replace(purpose, horizon_days=90))
        assert isinstance(unfit, NoChampion)
        assert "horizon_days: made for 28, now 90" in unfit.because
        selection = challenge(challenger, unfit)
        assert (selection.outcome, selection.champion_version) == ("forced", "old-1")
        assert "horizon_days" in selection.reason
        (folder / "deployed_pipeline.pkl").write_bytes(b"damaged")
        damaged = find_champion(folder, purpose)
        assert isinstance(damaged, NoChampion)
        assert damaged == NoChampion(
            "old-1", "the champion cannot be loaded (pipeline old-1 fails its checksum)"
        )

    def test_other_libraries_are_found_before_unpickling(
        self, folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "models_ml.deployment.deployed.library_versions", lambda: library_versions() | {"numpy": "9"}
        )
        found = find_champion(folder, purpose)
        assert isinstance(found, NoChampion)
        assert "other library versions" in found.because
