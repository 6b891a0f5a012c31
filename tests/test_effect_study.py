"""A small run of the study of offer effects: null offers stay null, intervals cover, slopes are what it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from effect_study import NULL_OFFER, SCENARIOS, Scenario, error_along_a_signal, play, study

from models_ml.effects.effect_settings import load_settings

WORLDS = 16
SETTINGS, _ = load_settings()


@pytest.mark.parametrize("scenario", SCENARIOS[:3] + SCENARIOS[5:6], ids=lambda scenario: scenario.name)
def test_a_small_study_finds_nothing_amiss(scenario: Scenario) -> None:
    found = study(scenario, WORLDS, seed=7)
    assert found.coverage > 0.88
    assert abs(found.mean_z) < 0.3


def test_without_slopes_the_error_of_the_churn_model_becomes_an_effect() -> None:
    scenario = Scenario("wrong", picked=3_000, error=error_along_a_signal(*[0.3] * 4), has_null_offer=True)
    blind = replace(SETTINGS, calibration_slope_sd=1e-3)
    covered = {
        name: np.mean(
            [
                play(scenario, np.random.default_rng(seed), chosen, correlation).covered[NULL_OFFER, 2]
                for seed in range(12)
            ]
        )
        for name, chosen, correlation in (("with", SETTINGS, 0.5), ("without", blind, 0.0))
    }
    assert covered["with"] >= 0.8
    assert covered["without"] <= 0.5
