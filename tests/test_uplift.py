"""Learning a policy from a trial: worlds whose truth is known, limits, and a real promotion where it is at hand."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from uplift_study import (
    ARMS,
    COST,
    SCHEMA,
    VALUE,
    WORLDS,
    learn_promotion,
    read_promotion,
    shuffled,
    simulate_trial,
)

from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError
from models_ml.evaluation import PolicyValue
from models_ml.training import feature_schema
from models_ml.uplift import LearnedPolicy, learn_policy
from models_ml.uplift.held_out import HeldOut, Worth, contrast, parts_of, worth_of
from models_ml.uplift.learners import LEARNERS, LearnerInputs
from models_ml.uplift.learning import reach_verdict
from models_ml.uplift.policies import LEARNED, NOBODY
from models_ml.uplift.settings import load_settings
from models_ml.uplift.trial import Money, Trial

PROMOTION_VARIABLE = "RETENTION_TEST_PROMOTION"
POSTERIOR = ["effect_posterior"]
BY_LOT = "all call, by lot"
THIRDS = dict.fromkeys(ARMS, 1 / 3)


def learn(frame: pd.DataFrame, **changes: object) -> LearnedPolicy:
    parts: dict[str, object] = {
        "treatment": "offer",
        "control": "none",
        "outcome": "stayed",
        "value": VALUE,
        "cost": COST,
        "propensity": THIRDS,
        "learners": POSTERIOR,
    }
    schema = changes.pop("schema", SCHEMA)
    return learn_policy(frame, schema, **parts | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def harmed() -> LearnedPolicy:
    return learn(simulate_trial(WORLDS["some harmed"], 4000, 1).frame)


class TestWorlds:
    def test_personalising_is_found_where_an_offer_harms_some(self, harmed: LearnedPolicy) -> None:
        assert harmed.verdict.is_shown
        assert "Personalising is shown to help" in harmed.verdict.sentence("EUR")
        new = pd.DataFrame(
            {"tenure": [-1.5, 1.5, -1.5], "usage": [0.0, 0.0, 0.0], "plan": ["pro", "pro", "basic"]}
        )
        assert harmed.choose(new).tolist() == ["none", "call", "discount"]

    def test_all_learners_compete(self) -> None:
        world = simulate_trial(WORLDS["some harmed"], 3000, 2)
        learned = learn(world.frame, learners=None)
        assert set(learned.selection.judged) >= {
            NOBODY, "all call", "all discount", "effect_posterior", "t_logistic_regression", "t_random_forest",
            "t_gradient_boosting", "dr_logistic_regression", "dr_gradient_boosting",
        }  # fmt: skip
        assert learned.verdict.is_shown
        assert world.true_gain(learned, LEARNED) > world.true_gain(learned, "all call") + 3

    @pytest.mark.parametrize("name", ["same for all", "break even"])
    def test_personalising_is_not_shown_where_offers_do_the_same_for_everybody(self, name: str) -> None:
        called = [learn(simulate_trial(WORLDS[name], 900, seed).frame).verdict.is_shown for seed in range(8)]
        assert sum(called) <= 1  # at most 2.5 % expected

    def test_one_offer_for_all_is_shown_to_earn(self) -> None:
        learned = learn(simulate_trial(WORLDS["same for all"], 4000, 3).frame)
        assert learned.verdict.best_offer == "all call"
        assert learned.verdict.is_earning
        assert "“all call” is shown to earn more than treating none" in learned.verdict.sentence("EUR")
        assert learned.worth["all call"].against_none.low < 11.0 < learned.worth["all call"].against_none.high

    def test_intervals_cover_the_true_value_of_the_held_out_policies(self) -> None:
        held = []
        for seed in range(10):
            world = simulate_trial(WORLDS["some harmed"], 900, seed)
            learned = learn(world.frame)
            for policy in (LEARNED, "all call"):
                found = learned.worth[policy].against_none
                held.append(found.low <= world.true_gain(learned, policy) <= found.high)
        assert np.mean(held) > 0.8

    def test_a_learner_that_remembers_rows_earns_nothing_by_it(self) -> None:
        """In-sample, boosted trees on noise look far better than doing nothing; held out they must not."""
        settings = load_settings()
        greedy = dict(settings.learners["gradient_boosting"]) | {"rows_per_leaf": 5, "iterations": 60}
        settings = replace(settings, learners=dict(settings.learners) | {"gradient_boosting": greedy})
        statistics = []
        for seed in range(3):
            frame = simulate_trial(WORLDS["break even"], 900, seed).frame
            learned = learn(frame, learners=["t_gradient_boosting"], settings=settings)
            found = learned.worth[LEARNED].against_none
            statistics.append(0.0 if found is None else found.value / found.standard_error)
            assert learned.qini.coefficient_low < 3.0
        assert np.mean(statistics) < 1.7

    def test_the_offer_that_lowers_a_loss_is_found(self) -> None:
        """An outcome that is a loss has a negative value: churn instead of staying."""
        frame = simulate_trial(WORLDS["some harmed"], 4000, 1).frame
        churn = frame.assign(churned=1 - frame["stayed"])
        learned = learn(churn, outcome="churned", value=-VALUE)
        assert learned.verdict.is_shown
        kept = learn(frame)
        assert learned.worth[LEARNED].against_none.value == pytest.approx(
            kept.worth[LEARNED].against_none.value,
            rel=0.2,  # the parts are other ones
        )

    def test_an_outcome_in_money_needs_no_value(self) -> None:
        frame = simulate_trial(WORLDS["some harmed"], 4000, 1).frame
        random = np.random.default_rng(0)
        frame["margin"] = frame["stayed"] * random.gamma(4.0, VALUE / 4.0, len(frame))
        learned = learn(
            frame, outcome="margin", value=1.0, learners=["effect_posterior", "dr_logistic_regression"]
        )
        assert not learned.trial.is_binary
        assert learned.verdict.is_shown

    def test_value_cost_and_propensity_may_be_columns(self) -> None:
        frame = simulate_trial(WORLDS["some harmed"], 4000, 1).frame
        frame = frame.assign(worth=VALUE, call_cost=COST["call"], chance=1 / 3)
        learned = learn(
            frame, value="worth", cost={"call": "call_cost", "discount": 8.0}, propensity="chance"
        )
        same = learn(frame)
        assert learned.worth[LEARNED].value.value == pytest.approx(same.worth[LEARNED].value.value)
        assert learned.choose(frame.head(20)).tolist() == same.choose(frame.head(20)).tolist()

    def test_an_offer_is_kept_from_customers_worth_less_than_it_costs(self) -> None:
        frame = simulate_trial(WORLDS["same for all"], 4000, 1).frame
        frame["worth"] = np.where(frame["plan"] == "basic", 5.0, 100.0)
        learned = learn(frame, value="worth")
        treated = learned.planned_arm() > 0
        assert not treated[frame["plan"] == "basic"].any()
        assert treated[frame["plan"] != "basic"].mean() > 0.9
        assert learned.verdict.is_shown


class TestProcedure:
    def test_the_same_seed_gives_the_same_policy_and_another_seed_other_parts(
        self, harmed: LearnedPolicy
    ) -> None:
        frame = simulate_trial(WORLDS["some harmed"], 4000, 1).frame
        again = learn(frame)
        assert again.worth == harmed.worth
        np.testing.assert_array_equal(again.planned_arm(), harmed.planned_arm())
        np.testing.assert_array_equal(again.qini.low, harmed.qini.low)
        other = learn(frame, seed=5)
        assert set(other.held_out.rows) != set(harmed.held_out.rows)

    def test_nothing_is_judged_by_what_has_seen_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No row that a learner is asked about was among those that it, or what it competes with, was fitted on."""
        learner = LEARNERS["effect_posterior"]
        asked: list[tuple[int, int]] = []

        class Watched:
            def __init__(self, inputs: LearnerInputs) -> None:
                self.model = learner.fit(inputs)
                self.seen = set(inputs.trial.features["tenure"].to_pylist())

            def effects(self, features: pa.Table) -> np.ndarray:
                assert not self.seen & set(features["tenure"].to_pylist())
                asked.append((len(self.seen), features.num_rows))
                return self.model.effects(features)

        monkeypatch.setitem(LEARNERS, "effect_posterior", replace(learner, fit=Watched))
        learned = learn(simulate_trial(WORLDS["some harmed"], 1200, 1).frame)
        # Parts of 200: three inner folds of what came before each, then all of it for the part itself.
        inner = [[(size - size // 3, size // 3)] * 3 for size in (400, 600, 800, 1000, 1200)]
        near = [
            pair for before in inner[:4] for pair in (*before, (before[0][0] + before[0][1], 200))
        ] + inner[4]
        np.testing.assert_allclose(asked, near, atol=2)
        assert len(np.unique(learned.held_out.rows)) == 800

    def test_parts_do_not_repeat_the_luck_of_the_parts_before(self) -> None:
        random, settings = np.random.default_rng(7), load_settings()
        early, late = [], []
        for seed in range(300):
            arm, outcome = random.integers(0, 2, 600), (random.random(600) < 0.3).astype(np.float64)
            ones = np.ones(600)
            trial = Trial(
                pa.table({"x": ones}), feature_schema({"x": "numeric"}), arm, ("call",), "none", outcome, True,
                ones / 2, ones, np.zeros((600, 2)),
            )  # fmt: skip
            part = parts_of(trial, replace(settings, seed=seed))
            for found, rows in ((early, part < 2), (late, part >= 2)):
                found.append(outcome[rows & (arm == 1)].mean() - outcome[rows & (arm == 0)].mean())
        assert abs(np.corrcoef(early, late)[0, 1]) < 0.2

    def test_unknown_learners_are_refused(self) -> None:
        with pytest.raises(BayesPilotError, match="choose among effect_posterior"):
            learn(simulate_trial(WORLDS["no effect"], 900, 1).frame, learners=["x_learner"])

    def test_the_order_of_the_arms_decides_nothing(self, harmed: LearnedPolicy) -> None:
        frame = simulate_trial(WORLDS["some harmed"], 4000, 1).frame
        renamed = frame.assign(offer=frame["offer"].replace({"call": "z_call"}))
        learned = learn(renamed, cost={"z_call": 4.0, "discount": 8.0}, propensity=None)
        assert learned.trial.offers == ("discount", "z_call")
        assert learned.verdict.is_shown
        agree = (learned.planned_arm() == np.array([0, 2, 1])[harmed.planned_arm()]).mean()
        assert agree > 0.95


class TestLimits:
    LIMITS = Limits(
        4000.0,
        np.array([np.inf, 300.0]),
        {"phone": np.inf, "mail": np.inf},
        ("phone", "mail"),
        ("call", "discount"),
    )

    def test_plans_keep_to_the_limits(self) -> None:
        frame = simulate_trial(WORLDS["some harmed"], 3000, 1).frame
        learned = learn(frame, limits=self.LIMITS)
        planned = learned.planned_arm()
        spent = np.array([0.0, COST["call"], COST["discount"]])[planned].sum()
        assert 3900 < spent <= 4000
        assert (planned == 2).sum() <= 300
        share = len(learned.held_out.rows) / 3000
        for name, policy in learned.held_out.policies.items():
            assert (policy * learned.held_out.trial.cost).sum() <= 4000 * share + 1e-6, name
            assert policy[:, 2].sum() <= 300 * share + 1e-6, name
        # 4,000 buys calls for 1,000 of 3,000 customers; 300 discounts are a tenth.
        assert learned.worth["all call"].treated == pytest.approx(1 / 3)
        assert learned.worth["all discount"].treated == pytest.approx(0.1)

    def test_targeting_under_a_budget_beats_drawing_by_lot(self) -> None:
        learned = learn(simulate_trial(WORLDS["some harmed"], 3000, 1).frame, limits=self.LIMITS)
        assert learned.verdict.is_shown

    def test_new_customers_are_chosen_under_their_own_limits(self, harmed: LearnedPolicy) -> None:
        new = simulate_trial(WORLDS["some harmed"], 200, 9).frame
        few = Limits(
            40.0,
            np.array([np.inf, np.inf]),
            {"phone": np.inf, "mail": np.inf},
            ("phone", "mail"),
            ("call", "discount"),
        )
        assert 5 <= (harmed.choose(new, few) != "none").sum() <= 10
        assert (harmed.choose(new) != "none").sum() > 60

    def test_limits_of_other_offers_are_refused(self) -> None:
        other = Limits(1.0, np.array([1.0, 1.0]), {"x": 1.0}, ("x", "x"), ("discount", "call"))
        with pytest.raises(BayesPilotError, match="limits and offers of the trial differ"):
            learn(simulate_trial(WORLDS["no effect"], 900, 1).frame, limits=other)

    def test_limits_of_nothing_leave_nothing_to_choose(self) -> None:
        none = Limits(0.0, np.array([0.0, 0.0]), {"x": 0.0}, ("x", "x"), ("call", "discount"))
        learned = learn(simulate_trial(WORLDS["some harmed"], 900, 1).frame, limits=none)
        assert not learned.verdict.is_shown
        assert not learned.planned_arm().any()

    def test_a_policy_that_treats_all_alike_serves_by_lot_under_limits(self) -> None:
        learned = learn(simulate_trial(WORLDS["same for all"], 3000, 4).frame)
        learned = replace(learned, model=None, selection=replace(learned.selection, chosen="all call"))
        new = simulate_trial(WORLDS["same for all"], 100, 5).frame
        assert (learned.choose(new) == "call").all()
        few = Limits(80.0, np.array([np.inf, np.inf]), {"x": np.inf}, ("x", "x"), ("call", "discount"))
        chosen = learned.choose(new, few)
        assert (chosen == "call").sum() == 20
        assert not (chosen[:20] == "call").all()
        new["price"] = np.where(np.arange(100) < 50, 1.0, 7.0)
        priced = replace(learned, money=Money(VALUE, "price"))
        half = replace(few, budget=200.0)
        cheap, expensive = (priced.choose(new, half) == "call").reshape(2, 50).sum(axis=1)
        assert expensive > 15
        assert abs(cheap - expensive) <= 12


class TestFewRows:
    """A policy has a value where at least ten customers of each arm that it asks for got that arm."""

    @staticmethod
    def held_out(learned: np.ndarray) -> HeldOut:
        """Hold out 60 customers; the first 30 were called by the toss of a coin, every second of each half stayed."""
        arm, outcome = np.arange(60) < 30, np.arange(60) % 2
        features = pa.table({"age": np.arange(60.0)})
        trial = Trial(
            features, feature_schema({"age": "numeric"}), arm.astype(np.int64), ("call",), "none",
            outcome.astype(float), True, np.full(60, 0.5), np.full(60, 20.0), np.tile([0.0, 1.0], (60, 1)),
        )  # fmt: skip
        nobody, policy = np.tile([1.0, 0.0], (60, 1)), np.eye(2)[learned.astype(np.int64)]
        outcomes = np.full((60, 2), 0.5)
        scores = trial.money(trial.scores(outcomes))
        return HeldOut(
            np.arange(60), trial, {NOBODY: nobody, BY_LOT: np.full((60, 2), 0.5), LEARNED: policy}, outcomes, scores,
            np.linspace(0, 1, 60), np.ones(60, dtype=np.int64), (),
        )  # fmt: skip

    def test_nine_customers_who_got_it_tell_nothing(self) -> None:
        found = worth_of(
            self.held_out((np.arange(60) < 9) | (np.arange(60) > 50)), LEARNED, NOBODY, load_settings()
        )
        assert found.value is None
        assert found.against_none is None
        assert found.treated == pytest.approx(18 / 60)
        assert found.cost == pytest.approx(18 / 60)

    def test_ten_customers_who_got_it_do(self) -> None:
        """Half stay whatever is done: worth 20 / 2, less a cost of 1 for ten of sixty."""
        found = worth_of(self.held_out(np.arange(60) < 10), LEARNED, NOBODY, load_settings())
        assert found.value is not None
        assert found.value.value == pytest.approx(10.0 - 10 / 60)

    def test_a_draw_by_lot_among_all_does_not_tell_what_a_plan_for_nine_does(self) -> None:
        settings = load_settings()
        assert contrast(self.held_out(np.arange(60) < 9), LEARNED, BY_LOT, settings) is None
        assert contrast(self.held_out(np.arange(60) < 10), LEARNED, BY_LOT, settings) is not None

    def test_a_policy_without_offers_asks_for_the_control_only(self) -> None:
        found = worth_of(self.held_out(np.arange(60) < 10), NOBODY, NOBODY, load_settings())
        assert found.value is not None
        assert found.value.value == pytest.approx(10.0)
        assert found.against_none is None


class TestVerdict:
    @staticmethod
    def value(value: float, error: float) -> PolicyValue:
        reach = 1.96 * error
        return PolicyValue(value, error, value - reach, value + reach, 1e6, "dr", 1000, 1000, 500.0)

    def worth(self, value: float, error: float) -> Worth:
        return Worth(self.value(1.0, 0.1), self.value(value, error), 1.0, 0.0)

    def test_every_policy_that_treats_all_alike_must_be_beaten(self) -> None:
        worth = {NOBODY: self.worth(0.0, 0.0), "all a": self.worth(1.0, 0.4), LEARNED: self.worth(2.0, 0.4)}
        contrasts = {NOBODY: self.value(2.0, 0.4), "all a": self.value(1.0, 0.6)}
        verdict = reach_verdict(worth, contrasts, [])
        assert not verdict.is_shown
        assert verdict.closest == "all a"
        assert reach_verdict(worth, contrasts | {"all a": self.value(1.0, 0.5)}, []).is_shown

    def test_a_policy_that_is_the_same_is_not_beaten(self) -> None:
        worth = {NOBODY: self.worth(0.0, 0.0), "all a": self.worth(1.0, 0.4), LEARNED: self.worth(1.0, 0.4)}
        verdict = reach_verdict(worth, {NOBODY: self.value(1.0, 0.4), "all a": None}, ["all a"])
        assert not verdict.is_shown
        assert "the selection kept “all a”" in verdict.sentence("")

    def test_too_few_differences_are_said(self) -> None:
        worth = {NOBODY: self.worth(0.0, 0.0), "all a": self.worth(-1.0, 0.4), LEARNED: self.worth(0.0, 0.1)}
        verdict = reach_verdict(worth, {NOBODY: None, "all a": self.value(1.0, 0.4)}, [])
        assert not verdict.is_shown
        assert "differs from “treat none” for too few customers to tell" in verdict.sentence("")
        assert "“all a” is shown to earn less than treating none" in verdict.sentence("")

    def test_several_offers_share_the_level(self) -> None:
        # t = 2.1: enough for one offer alone, not for the best of two (2.24).
        one = {NOBODY: self.worth(0.0, 0.0), "all a": self.worth(2.1, 1.0), LEARNED: self.worth(0.0, 0.1)}
        contrasts = {NOBODY: self.value(0.0, 1.0), "all a": self.value(0.0, 1.0)}
        assert reach_verdict(one, contrasts, []).is_earning
        two = one | {"all b": self.worth(0.5, 1.0)}
        assert not reach_verdict(two, contrasts | {"all b": self.value(0.0, 1.0)}, []).is_earning


@pytest.mark.skipif(PROMOTION_VARIABLE not in os.environ, reason=f"needs {PROMOTION_VARIABLE}")
class TestPromotion:
    @pytest.fixture
    def folder(self) -> Path:
        return Path(os.environ[PROMOTION_VARIABLE])

    def test_personalising_is_shown_to_help(self, folder: Path) -> None:
        learned = learn_promotion(read_promotion(folder, 0), POSTERIOR)
        assert learned.verdict.is_shown
        assert learned.worth["treat all"].against_none.high < 0 < learned.worth[LEARNED].against_none.low

    def test_a_shuffled_treatment_is_not(self, folder: Path) -> None:
        table = read_promotion(folder, 20_000)
        for seed in range(3):
            learned = learn_promotion(shuffled(table, seed), POSTERIOR)
            assert not learned.verdict.is_shown
            assert "Personalising is not shown to help" in learned.verdict.sentence("USD")


def test_a_feature_may_be_missing() -> None:
    frame = simulate_trial(WORLDS["some harmed"], 2000, 1).frame
    gone = np.random.default_rng(0).random(2000) < 0.2
    frame["tenure"] = frame["tenure"].mask(gone)
    frame["plan"] = frame["plan"].mask(gone)
    frame["empty"] = np.nan
    schema = feature_schema({"tenure": "numeric", "plan": "categorical", "empty": "numeric"})
    assert learn(frame, schema=schema).worth[LEARNED].against_none is not None
