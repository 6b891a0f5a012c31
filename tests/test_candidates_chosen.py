"""How candidates are chosen: by profit at one reference probability, never by their own."""

from __future__ import annotations

from dataclasses import replace

import candidate_scenes as scenes
import numpy as np
import pytest
import training_data as data
from scipy.special import expit, logit

from models_ml.decisions.limits import Limits
from models_ml.evaluation.profit import contact_values, simplest_within_one_error
from models_ml.training.candidates import CANDIDATES
from models_ml.training.judging import JudgedDate, judge, metrics_of
from models_ml.training.stage import TrainingResult, reason_for

SETTINGS = scenes.quick_settings()


def test_the_more_accurate_candidate_earns_less_and_is_not_selected() -> None:
    """One ranks the many small customers well, the other the few large ones."""
    random = np.random.default_rng(1)
    is_large = random.random(6000) < 0.15
    examples = scenes.judged_examples(6000, {"monthly_revenue": np.where(is_large, 300.0, 4.0)})
    truth = examples.table["truth"].to_numpy()
    guess = random.permutation(truth)
    probabilities = {"accurate": np.where(is_large, guess, truth), "useful": np.where(is_large, truth, guess)}
    limits = Limits(3000.0, np.array([300.0, 300.0]), {"phone": 300.0, "email": 300.0}, ("phone", "email"))
    verdicts = judge(probabilities, scenes.judged_date(probabilities, examples, limits), SETTINGS)
    assert verdicts["accurate"].metrics["auc"] > verdicts["useful"].metrics["auc"] + 0.1
    assert verdicts["accurate"].metrics["log_loss"] < verdicts["useful"].metrics["log_loss"]
    profits = {name: verdict.profit for name, verdict in verdicts.items()}
    assert profits["useful"].profit > profits["accurate"].profit > 0
    assert simplest_within_one_error(profits, ["accurate", "useful"]) == "useful"
    assert reason_for("useful", verdicts) == "highest judged profit"


@pytest.mark.parametrize("shift", [2.0, 1.0, -1.0])
@pytest.mark.parametrize("copies", [1, 3])
def test_a_copy_that_predicts_too_much_or_too_little_gains_nothing(shift: float, copies: int) -> None:
    """All are graded at one reference, even where the copies outnumber the honest one."""
    examples = scenes.judged_examples(20_000)
    truth = examples.table["truth"].to_numpy()
    probabilities = {f"copy {i}": expit(logit(truth) + shift) for i in range(copies)} | {"honest": truth}
    verdicts = judge(probabilities, scenes.judged_date(probabilities, examples), SETTINGS)
    profits = {name: verdict.profit for name, verdict in verdicts.items()}
    assert profits["copy 0"].shortfall > profits["copy 0"].shortfall_standard_error > 0
    assert simplest_within_one_error(profits, list(probabilities)) == "honest"


def test_where_limits_bind_a_scaled_copy_earns_the_same_within_its_error() -> None:
    examples = scenes.judged_examples(3000, {"monthly_revenue": np.full(3000, 60.0)})
    truth = examples.table["truth"].to_numpy()
    probabilities = {"honest": truth, "doubled": np.minimum(2 * truth, 0.999)}
    limits = Limits(100.0, np.array([50.0, 0.0]), {"phone": 50.0, "email": 0.0}, ("phone", "email"))
    profits = judge(probabilities, scenes.judged_date(probabilities, examples, limits), SETTINGS)
    found = [profits[name].profit for name in probabilities]
    assert all(each.shortfall <= each.shortfall_standard_error for each in found)


class TestWholeStage:
    names = ("logistic_regression", "predicts_too_much", "predicts_too_little")

    @pytest.fixture(autouse=True)
    def registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, kind in (
            ("predicts_too_much", scenes.PredictsTooMuch),
            ("predicts_too_little", scenes.PredictsTooLittle),
        ):
            monkeypatch.setitem(CANDIDATES, name, scenes.candidate_of(name, kind))  # type: ignore[arg-type]

    def trained(self, methods: tuple[str, ...]) -> TrainingResult:
        offers = data.offers_table()
        for column, capacity in (("monthly_capacity", 5000), ("channel_capacity", 9000)):
            position = offers.schema.get_field_index(column)
            offers = offers.set_column(position, column, [[capacity, capacity]])
        policy = data.policy_table(monthly_budget=1e6)
        return scenes.train_on(
            data.examples_table(1500),
            self.names,
            scenes.settings_with(self.names[1:], methods),
            int_policy_parameters=policy,
            int_offers=offers,
        )

    def test_calibration_takes_back_what_copies_pretend(self) -> None:
        verdicts = self.trained(("sigmoid",)).verdicts
        honest = verdicts["logistic_regression"]
        for name in self.names[1:]:
            assert verdicts[name].profit.profit == pytest.approx(honest.profit.profit, rel=1e-3)
            assert verdicts[name].metrics["calibration_ratio"] == pytest.approx(
                honest.metrics["calibration_ratio"], rel=1e-3
            )

    def test_calibration_changes_the_decision(self) -> None:
        calibrated, raw = self.trained(("sigmoid",)), self.trained(("none",))
        for name in self.names[1:]:
            before, after = raw.verdicts[name], calibrated.verdicts[name]
            assert before.metrics["auc"] == pytest.approx(after.metrics["auc"], abs=1e-9)
            assert abs(before.planned_contacts / after.planned_contacts - 1) > 0.05
            assert before.profit.profit < after.profit.profit

    def test_without_calibration_the_honest_one_is_selected(self) -> None:
        result = self.trained(("none",))
        assert result.chosen == "logistic_regression"
        assert result.judged.pipelines["predicts_too_much"].calibrator.method == "none"


def test_holdouts_represent_all_chosen_customers() -> None:
    """Of the customers that a policy chose, one holdout in ten represents all; plan and profit stay the same."""
    examples = scenes.judged_examples(20_000)
    truth = examples.table["truth"].to_numpy()
    limits = Limits(6000.0, np.array([600.0, 900.0]), {"phone": 600.0, "email": 900.0}, ("phone", "email"))
    everybody = judge({"one": truth}, scenes.judged_date({"one": truth}, examples, limits), SETTINGS)["one"]

    was_chosen = truth > np.quantile(truth, 0.9)
    kept = ~was_chosen | (np.random.default_rng(2).random(20_000) < 0.1)
    thinned = scenes.judged_examples(20_000, {"example_weight": np.where(was_chosen, 10.0, 1.0)})
    thinned = replace(thinned, table=thinned.table.filter(kept))
    date = scenes.judged_date({"one": truth[kept]}, thinned, limits)
    left = judge({"one": truth[kept]}, date, SETTINGS)["one"]
    assert left.planned_contacts == pytest.approx(everybody.planned_contacts, rel=0.01)
    assert left.planned_cost == pytest.approx(everybody.planned_cost, rel=0.03)
    assert left.planned_cost <= limits.budget
    assert left.profit.profit == pytest.approx(everybody.profit.profit, abs=3 * left.profit.standard_error)
    assert left.profit.standard_error > everybody.profit.standard_error


def test_a_weight_counts_in_profit_whatever_the_copies() -> None:
    examples = scenes.judged_examples(500, {"example_weight": np.full(500, 1.25)})
    truth = examples.table["truth"].to_numpy()
    date = scenes.judged_date({"one": truth}, examples)
    worth = date.contact_value(date.plan(truth))
    single = scenes.judged_date({"one": truth}, scenes.judged_examples(500))
    np.testing.assert_allclose(worth, 1.25 * single.contact_value(single.plan(truth)), rtol=1e-4)


class TestJudgedDate:
    """Four hundred customers, two offers (a call at 6, a discount at 0.1 + 0.3 · 10), nothing scarce."""

    truth = np.full(400, 0.4)

    def date(self, **changes: object) -> JudgedDate:
        examples = scenes.judged_examples(400, {"monthly_revenue": np.full(400, 300.0), **changes})
        return scenes.judged_date({"one": self.truth}, examples)

    def test_a_touch_price_above_all_values_contacts_nobody(self) -> None:
        date = self.date()
        assert (date.plan(self.truth) >= 0).all()
        expensive = replace(date.inputs, policy=replace(date.inputs.policy, touch_price=1e6))
        assert (replace(date, inputs=expensive).plan(self.truth) == -1).all()

    @pytest.mark.parametrize("only", [0, 1])
    def test_an_offer_that_is_not_allowed_is_worth_nothing(self, only: int) -> None:
        date = self.date(offers_allowed=np.full(400, 1 << only))
        expected = contact_values(
            np.full(400, only),
            date.examples.has_churned,
            np.ones(400),
            relative_risk=date.reference.relative_risk,
            customer_value=date.reference.customer_value,
            expected_cost=date.reference.expected_cost,
        )
        np.testing.assert_allclose(date.value_if_contacted(), expected)
        assert (date.plan(self.truth) == only).all()

    @pytest.mark.parametrize("weight", [1.0, 2.0, 0.01, 1e9])
    def test_empc_stands_at_the_published_terms(self, weight: float) -> None:
        churned = np.array([1, 0, 1, 0, 0, 1, 0, 0, 0, 1], dtype=bool)
        probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
        changes = {"has_churned": churned, "example_weight": np.full(10, weight)}
        found = metrics_of(probability, scenes.judged_examples(10, changes), SETTINGS)["empc"]
        assert found == pytest.approx(15.880102, abs=1e-6)
