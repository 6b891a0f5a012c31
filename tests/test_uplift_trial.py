"""Reading a randomised trial: what is refused, in words, and what is taken as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from models_ml.errors import BayesPilotError
from models_ml.training import feature_schema
from models_ml.training.schema import fit_encoder
from models_ml.uplift.randomisation import _dependence, check_randomisation
from models_ml.uplift.settings import load_settings
from models_ml.uplift.trial import Money, Trial, read_trial

SETTINGS = load_settings()
SCHEMA = feature_schema({"age": "numeric", "plan": "categorical"})


def trial_frame(rows: int = 2000, seed: int = 0, share: float = 0.5) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": random.normal(40, 10, rows), "plan": random.choice(["a", "b"], rows)})
    frame["arm"] = np.where(random.random(rows) < share, "call", "none")
    frame["stayed"] = (random.random(rows) < 0.5).astype(int)
    return frame


def read(frame: pd.DataFrame, **changes: object) -> Trial:
    parts: dict[str, object] = {
        "treatment": "arm",
        "control": "none",
        "outcome": "stayed",
        "propensity": None,
        "money": Money(10.0, 1.0),
        "settings": SETTINGS.trial,
    }
    schema = changes.pop("schema", SCHEMA)
    return read_trial(frame, schema, **parts | changes)  # type: ignore[arg-type]


def edited(column: str, value: object, rows: slice = slice(0, 3)) -> pd.DataFrame:
    frame = trial_frame()
    frame[column] = frame[column].astype(object)
    frame.loc[frame.index[rows], column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "changes", "words"),
    [
        (trial_frame, {"treatment": "offer"}, "a column is missing"),
        (trial_frame, {"schema": feature_schema({"agee": "numeric"})}, "agee"),
        (trial_frame, {"control": "nobody"}, "no row of arm is the control 'nobody'"),
        (lambda: trial_frame().assign(arm="none"), {}, "holds one arm only"),
        (lambda: trial_frame().assign(arm=np.arange(2000)), {"control": 0}, "2000 different values"),
        (lambda: edited("arm", None), {}, "arm is missing in 3 rows"),
        (lambda: edited("stayed", None), {}, "stayed is missing or not finite in 3 of 2000 rows"),
        (lambda: trial_frame().assign(stayed="yes"), {}, "not numbers"),
        (lambda: trial_frame().assign(stayed=1), {}, "stayed is 1 in every row"),
        (lambda: trial_frame(150), {}, "fewer than 100 rows"),
        (lambda: trial_frame().head(0), {}, "the trial has no rows"),
        (
            lambda: trial_frame().assign(stayed=lambda frame: (frame.index < 8).astype(int)),
            {},
            "fewer than 10 rows with stayed 1",
        ),
        (
            lambda: trial_frame().assign(stayed=lambda frame: np.where(frame.index < 8, 12.5, 0.0)),
            {},
            "fewer than 10 rows with stayed other than 0",
        ),
        (trial_frame, {"money": Money(0.0, 1.0)}, "stayed is worth 0 in every row"),
        (trial_frame, {"schema": feature_schema({"stayed": "numeric"})}, "cannot be features"),
        (trial_frame, {"schema": feature_schema({"arm": "categorical"})}, "cannot be features"),
        (trial_frame, {"money": Money("margin", 1.0)}, "margin"),
        (trial_frame, {"money": Money(float("nan"), 1.0)}, "value is not a finite number"),
        (trial_frame, {"money": Money(10.0, -1.0)}, "a cost is negative"),
        (trial_frame, {"money": Money(10.0, {"email": 1.0})}, "costs and offers differ"),
        (trial_frame, {"propensity": {"email": 0.5}}, "propensities and arms differ"),
        (trial_frame, {"propensity": 1.5}, "not between 0 and 1"),
        (trial_frame, {"propensity": {"call": 0.5, "none": 0.4}}, "do not add up to 1"),
        (lambda: trial_frame().assign(p=1.0), {"propensity": "p"}, "a propensity is not between 0 and 1"),
    ],
)
def test_what_cannot_be_a_trial_is_refused_in_words(
    frame: Callable[[], pd.DataFrame], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BayesPilotError, match=words):
        read(frame(), **changes)


def test_one_propensity_for_several_offers_is_refused() -> None:
    frame = trial_frame()
    frame.loc[:600, "arm"] = "email"
    with pytest.raises(BayesPilotError, match="one propensity for 3 arms"):
        read(frame, propensity=0.5)


def test_the_control_comes_first_and_costs_nothing() -> None:
    frame = trial_frame(3000)
    frame["arm"] = np.random.default_rng(1).choice(["zero", "a", "b"], 3000)
    trial = read(
        frame, control="zero", propensity={"a": 0.25, "b": 0.25}, money=Money(10.0, {"b": 2.0, "a": 1.0})
    )
    assert trial.arms == ("zero", "a", "b")
    assert trial.arm[frame["arm"] == "b"].tolist() == [2] * int((frame["arm"] == "b").sum())
    assert np.unique(trial.cost, axis=0).tolist() == [[0.0, 1.0, 2.0]]
    assert np.unique(trial.propensity[trial.arm == 0]).tolist() == [0.5]
    paid = np.array([0.0, 1.0, 2.0])[trial.arm]
    np.testing.assert_array_equal(trial.reward, 10.0 * frame["stayed"] - paid)


def test_labels_of_arms_may_be_numbers_or_booleans() -> None:
    frame = trial_frame()
    assert read(frame.assign(arm=(frame["arm"] == "call").astype(float)), control=0).offers == ("1",)
    assert read(frame.assign(arm=frame["arm"] == "call"), control=False).offers == ("true",)


def test_scores_correct_predictions_by_what_was_seen() -> None:
    trial = read(trial_frame(), propensity=0.5).part(np.array([0, 1]))
    known = Trial(**vars(trial) | {
        "arm": np.array([0, 1]), "outcome": np.array([1.0, 0.0]), "propensity": np.array([0.8, 0.2]),
    })  # fmt: skip
    # Row 0 got the control: 0.5 + (1 − 0.5) / 0.8; row 1 the offer: 0.6 + (0 − 0.6) / 0.2.
    found = known.scores(np.array([[0.5, 0.7], [0.4, 0.6]]))
    np.testing.assert_allclose(found, [[1.125, 0.7], [0.4, -2.4]])


class TestRandomisation:
    def test_a_randomised_trial_passes(self) -> None:
        arms = check_randomisation(read(trial_frame(share=0.3), propensity=0.3), SETTINGS)
        assert [arm.label for arm in arms] == ["none", "call"]
        assert arms[1].stated_share == pytest.approx(0.3)
        assert arms[1].share == pytest.approx(0.3, abs=0.04)
        assert min(arm.probability for arm in arms) > 0.01

    def test_false_alarms_are_rare(self) -> None:
        found = []
        for seed in range(80):
            trial = read(trial_frame(400, seed), propensity=0.5)
            found.append(check_randomisation(trial, SETTINGS)[0].probability)
        assert 0 < np.mean(np.array(found) < 0.1) < 0.22  # 8 of 80 expected
        assert 0.33 < np.mean(np.array(found) > 0.5) < 0.67

    def test_another_propensity_than_that_of_the_draw_is_refused(self) -> None:
        with pytest.raises(BayesPilotError, match="contradict the shares of the arms"):
            check_randomisation(read(trial_frame(share=0.5), propensity=0.6), SETTINGS)

    def test_a_treatment_that_features_predict_is_refused(self) -> None:
        frame = trial_frame(4000)
        chance = np.where(np.abs(frame["age"] - 40) < 7, 0.65, 0.35)  # means of age are alike in both arms
        frame["arm"] = np.where(np.random.default_rng(3).random(4000) < chance, "call", "none")
        with pytest.raises(BayesPilotError, match="features predict arm") as refused:
            check_randomisation(read(frame), SETTINGS)
        assert "first values: age" in str(refused.value)

    def test_the_same_treatment_with_its_chances_is_accepted(self) -> None:
        frame = trial_frame(4000)
        chance = np.where(np.abs(frame["age"] - 40) < 7, 0.65, 0.35)
        called = np.random.default_rng(3).random(4000) < chance
        frame["arm"] = np.where(called, "call", "none")
        frame["chance"] = np.where(called, chance, 1 - chance)
        arms = check_randomisation(read(frame, propensity="chance"), SETTINGS)
        assert min(arm.probability for arm in arms) > 0.001

    def test_chances_that_were_not_those_of_the_draw_are_found(self) -> None:
        """Stated chances that depend on a feature where the draw did not: only the weighted arms show it."""
        frame = trial_frame(4000)
        chance = np.where(frame["age"] > 40, 0.6, 0.4)
        frame["chance"] = np.where(frame["arm"] == "call", chance, 1 - chance)
        trial = read(frame, propensity="chance")
        matrix = fit_encoder(trial.features, SCHEMA, 10).encode(trial.features)
        assert _dependence(trial, matrix, SETTINGS)[0] < 1e-6
        with pytest.raises(BayesPilotError):
            check_randomisation(trial, SETTINGS)

    def test_a_feature_recorded_after_the_treatment_is_refused(self) -> None:
        frame = trial_frame()
        answered = (frame["arm"] == "call") & (np.random.default_rng(2).random(2000) < 0.3)
        schema = feature_schema({"age": "numeric", "plan": "categorical", "answered": "categorical"})
        with pytest.raises(BayesPilotError, match="first values: answered"):
            check_randomisation(read(frame.assign(answered=answered), schema=schema), SETTINGS)

    @pytest.mark.parametrize("role", ["numeric", "categorical"])
    def test_a_feature_that_is_the_outcome_is_refused(self, role: str) -> None:
        frame = trial_frame()
        schema = feature_schema({"age": "numeric", "renewed": role})
        with pytest.raises(BayesPilotError, match="tells the outcome"):
            check_randomisation(read(frame.assign(renewed=frame["stayed"]), schema=schema), SETTINGS)
