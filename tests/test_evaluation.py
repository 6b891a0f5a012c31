"""Metrics and profit measures: hand-worked values, identities and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution

from models_ml.errors import BayesPilotError
from models_ml.evaluation.metrics import (
    brier_decomposition,
    calibration_bins,
    calibration_ratio,
    expected_calibration_error,
    lift,
    notice_metrics,
    score_metrics,
    threshold_evaluation,
)
from models_ml.evaluation.profit import (
    JudgedProfit,
    compare_profits,
    contact_values,
    expected_maximum_profit,
    maximum_profit,
    probability_better,
    simplest_within_one_error,
)

Y = np.array([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
MONEY = {"clv": 200.0, "incentive_cost": 10.0, "contact_cost": 1.0, "alpha": 6.0, "beta": 14.0}


def sample(seed: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probability = random.beta(2, 6, rows).round(2)  # rounded, so that there are ties
    churned = random.random(rows) < probability
    churned[:2] = True, False
    return churned, probability


class TestMaximumProfit:
    def test_published_vectors(self) -> None:
        assert maximum_profit(Y, P, **MONEY) == pytest.approx(15.8, abs=1e-9)
        assert expected_maximum_profit(Y, P, **MONEY) == pytest.approx(15.880102, abs=5e-7)

    def test_equal_to_the_published_implementation(self) -> None:
        published = pytest.importorskip("empulse.metrics")
        random = np.random.default_rng(0)
        for seed in range(100):
            churned, probability = sample(seed, int(random.integers(20, 400)))
            clv, incentive, contact = random.uniform(50, 500), random.uniform(0, 40), random.uniform(0, 5)
            alpha, beta = random.uniform(1, 10, 2)
            costs = {"clv": clv, "incentive_cost": incentive, "contact_cost": contact}
            label = churned.astype(int)
            expected = published.empc_score(label, probability, alpha=alpha, beta=beta, **costs)
            best = published.mpc_score(label, probability, accept_rate=alpha / (alpha + beta), **costs)
            mine = {"alpha": alpha, "beta": beta} | costs
            assert expected_maximum_profit(churned, probability, **mine) == pytest.approx(expected, abs=1e-8)
            assert maximum_profit(churned, probability, **mine) == pytest.approx(best, abs=1e-8)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_average_equals_numerical_integration_over_every_cut_off(self, seed: int) -> None:
        churned, probability = sample(seed, 60)

        def best_profit(accepted: float) -> float:
            reached = [probability >= cut for cut in np.unique(probability)] + [probability > 1]
            gains = [
                (accepted * 190 * churned[r].sum() - 1 * r.sum() - 10 * (~churned[r]).sum()) / 60
                for r in reached
            ]
            return max(gains)

        weight = beta_distribution(6, 14).pdf
        expected = quad(lambda g: best_profit(g) * weight(g), 0, 1, limit=500, epsabs=1e-7)[0]
        assert expected_maximum_profit(churned, probability, **MONEY) == pytest.approx(expected, abs=1e-4)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_each_customer_may_have_a_value_and_costs(self, seed: int) -> None:
        """Over every cut-off by hand, some customers worth less than their incentive."""
        churned, probability = sample(seed, 80)
        random = np.random.default_rng(seed)
        value, incentive = random.lognormal(3.5, 1.0, 80), random.uniform(5, 30, 80)
        contact = random.uniform(0, 3, 80)
        assert (value[churned] < incentive[churned]).any()

        def best_profit(accepted: float) -> float:
            gain = np.where(churned, accepted * (value - incentive), -incentive) - contact
            reached = [probability >= cut for cut in np.unique(probability)] + [probability > 1]
            return max(gain[rows].sum() / 80 for rows in reached)

        money = {
            "clv": value,
            "incentive_cost": incentive.tolist(),
            "contact_cost": contact,
            "alpha": 6.0,
            "beta": 14.0,
        }
        weight = beta_distribution(6, 14).pdf
        expected = quad(lambda g: best_profit(g) * weight(g), 0, 1, limit=500, epsabs=1e-7)[0]
        assert expected_maximum_profit(churned, probability, **money) == pytest.approx(expected, abs=1e-4)
        assert maximum_profit(churned, probability, **money) == pytest.approx(best_profit(0.3), abs=1e-9)

    def test_a_cut_off_that_adds_only_a_loss_does_not_displace_a_better_one(self) -> None:
        """By hand, contacts free, γ 0.3 on average: the first customer brings (20 - 15) / 3 · γ.

        The second loses 15 / 3 · γ, the third costs its incentive: best is to stop after the first, whatever γ is.
        """
        money = {"clv": [20.0, 0.0, 100.0], "incentive_cost": 15.0, "contact_cost": 0.0}
        for measure in (maximum_profit, expected_maximum_profit):
            found = measure(np.array([1, 1, 0]), np.array([0.9, 0.8, 0.1]), **money, alpha=6.0, beta=14.0)
            assert found == pytest.approx(0.3 * 5 / 3)

    @pytest.mark.parametrize("seed", range(10))
    def test_free_contacts_stop_at_the_best_cut_off(self, seed: int) -> None:
        """Cut-offs of equal spend, over every cut-off by hand."""
        random = np.random.default_rng(seed)
        churned = random.random(12) < 0.8
        churned[:2] = True, False
        score, value = random.integers(0, 8, 12), random.integers(0, 40, 12).astype(float)
        value[0] = 30.0
        gain = np.where(churned, 0.3 * (value - 15.0), -15.0)
        best = max(gain[score >= cut].sum() / 12 for cut in range(9))
        money = {"clv": value, "incentive_cost": 15.0, "contact_cost": 0.0, "alpha": 6.0, "beta": 14.0}
        assert maximum_profit(churned, score, **money) == pytest.approx(best, abs=1e-9)

    def test_the_same_money_for_all_is_the_same_as_one_number(self) -> None:
        churned, probability = sample(5)
        rows = MONEY | {name: np.full(200, MONEY[name]) for name in ("clv", "incentive_cost", "contact_cost")}
        for measure in (maximum_profit, expected_maximum_profit):
            assert measure(churned, probability, **rows) == pytest.approx(
                measure(churned, probability, **MONEY)
            )

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=30)
    def test_averaging_over_acceptance_never_loses_and_nobody_need_be_contacted(self, seed: int) -> None:
        churned, probability = sample(seed)
        best = maximum_profit(churned, probability, **MONEY)
        assert expected_maximum_profit(churned, probability, **MONEY) >= best - 1e-9
        assert best >= 0

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=20)
    def test_only_the_order_of_scores_counts(self, seed: int) -> None:
        churned, probability = sample(seed)
        stretched = np.exp(3 * probability)
        assert expected_maximum_profit(churned, stretched, **MONEY) == pytest.approx(
            expected_maximum_profit(churned, probability, **MONEY)
        )

    def test_an_incentive_above_the_customer_value_is_refused(self) -> None:
        with pytest.raises(BayesPilotError, match="must exceed"):
            expected_maximum_profit(Y, P, **(MONEY | {"clv": 10.0}))


class TestCalibration:
    @given(seed=st.integers(0, 10_000), bins=st.integers(2, 25))
    @settings(max_examples=50)
    def test_parts_add_up_to_the_brier_score(self, seed: int, bins: int) -> None:
        churned, probability = sample(seed)
        weight = np.random.default_rng(seed).uniform(1, 3, len(churned))
        parts = brier_decomposition(churned, probability, bins=bins, weight=weight)
        total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
        assert total == pytest.approx(np.average((probability - churned) ** 2, weights=weight))
        assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0

    def test_equal_probabilities_share_a_bin(self) -> None:
        bins = calibration_bins(np.array([1, 0, 1, 0]), np.full(4, 0.3), bins=20)
        assert bins.share.tolist() == [1.0]
        assert bins.churn_rate.tolist() == [0.5]

    def test_error_is_the_mean_gap(self) -> None:
        churned = np.array([0, 0, 1, 0, 1, 1])
        probability = np.array([0.1, 0.1, 0.1, 0.8, 0.8, 0.8])
        expected = (abs(0.1 - 1 / 3) + abs(0.8 - 2 / 3)) / 2
        assert expected_calibration_error(churned, probability, bins=2) == pytest.approx(expected)

    def test_a_weight_of_two_is_the_row_twice(self) -> None:
        churned, probability = sample(5)
        weight = np.random.default_rng(5).integers(1, 3, len(churned))
        twice = np.repeat(np.arange(len(churned)), weight)
        by_weight = score_metrics(churned, probability, weight=weight.astype(float), bins=20, lift_share=0.1)
        by_copy = score_metrics(
            churned[twice], probability[twice], weight=np.ones(len(twice)), bins=20, lift_share=0.1
        )
        for name in (
            "auc",
            "average_precision",
            "brier",
            "log_loss",
            "calibration_ratio",
            "calibration_error",
            "brier_reliability",
            "brier_resolution",
            "lift",
        ):
            assert by_weight[name] == pytest.approx(by_copy[name]), name

    def test_ratio_and_lift(self) -> None:
        assert calibration_ratio(np.array([1, 0, 0, 0]), np.full(4, 0.5)) == 2.0
        assert lift(Y, P, share=0.2, weight=np.ones(10)) == pytest.approx(0.5 / 0.4)
        alike = np.full(10, 0.4)  # no row is riskier than another, in whatever order they stand
        assert lift(Y, alike, share=0.2) == lift(Y[::-1], alike, share=0.2) == pytest.approx(1.0)


def test_threshold_sweep_counts_from_the_cut_off_up() -> None:
    rows = threshold_evaluation(Y, P, [0.7, 0.95], value_if_contacted=np.full(10, 2.0))
    assert rows[0] == {
        "threshold": 0.7,
        "contacted_share": 0.3,
        "precision": pytest.approx(2 / 3),
        "recall": 0.5,
        "profit": 6.0,
    }
    assert rows[1]["contacted_share"] == rows[1]["precision"] == rows[1]["profit"] == 0.0


class TestJudgedProfit:
    def test_hand_worked_contacts(self) -> None:
        values = contact_values(
            np.array([1, 0, 0, -1]),
            np.array([True, True, False, True]),
            np.array([1.0, 2.0, 1.25, 9.0]),
            relative_risk=np.array([[1.0, 0.7], [1.2, 0.5], [0.5, 0.5], [0.0, 0.0]]),
            customer_value=np.array([100.0, 50.0, 80.0, 1000.0]),
            expected_cost=np.array([[1.0, 4.0]] * 4),
        )
        # saved 0.3·100 − 4; harmed twice −0.2·50 − 1; a stayer costs 1.25·1; untouched is nothing
        assert values.tolist() == pytest.approx([26.0, -22.0, -1.25, 0.0])

    def test_bootstrap_spread_is_that_of_the_sum(self) -> None:
        random = np.random.default_rng(0)
        value = np.where(random.random(4000) < 0.1, random.normal(5, 10, 4000), 0.0)
        judged = compare_profits({"a": value}, bootstraps=2000, seed=1)["a"]
        assert judged.profit == pytest.approx(value.sum())
        assert judged.standard_error == pytest.approx(value.std() * np.sqrt(4000), rel=0.06)

    def test_draws_are_paired(self) -> None:
        value = np.random.default_rng(0).normal(1, 30, 500)
        judged = compare_profits({"a": value, "b": value - 0.5}, bootstraps=200, seed=1)
        assert judged["b"].shortfall == pytest.approx(250)
        assert judged["b"].shortfall_standard_error < 15  # unpaired it would be about 950

    def test_nobody_contacted_is_worth_nothing_for_certain(self) -> None:
        judged = compare_profits({"a": np.zeros(5), "b": np.zeros(5)}, bootstraps=10, seed=1)
        assert judged["a"] == judged["b"] == JudgedProfit(0.0, 0.0, 0.0, 0.0)

    @pytest.mark.parametrize(("gain", "low", "high"), [(0.0, 0.3, 0.7), (3.0, 0.95, 1.0), (-3.0, 0.0, 0.05)])
    def test_probability_better_follows_the_paired_gain(self, gain: float, low: float, high: float) -> None:
        random = np.random.default_rng(0)
        champion = random.normal(2, 40, 3000)
        noise = random.normal(0, 1, 3000)
        challenger = champion + noise - noise.mean() + gain * noise.std() / np.sqrt(3000)
        found = probability_better(challenger, champion, bootstraps=500, seed=1)
        assert low <= found <= high
        other = probability_better(champion, challenger, bootstraps=500, seed=1)
        assert found + other == pytest.approx(1, abs=1e-9)

    def test_leaving_out_a_few_good_contacts_is_rarely_called_better(self) -> None:
        # twenty contacts that cost 1 and bring 2: one in 25 would leave, and is then worth 50
        random = np.random.default_rng(0)
        variance = 20 * 0.04 * 0.96 * 50**2
        called = {0.0: 0, variance: 0}
        for world in range(200):
            worth = np.zeros(2000)
            worth[:20] = 50.0 * (random.random(20) < 0.04) - 1.0
            for spread in called:
                found = probability_better(
                    np.zeros(2000), worth, bootstraps=200, seed=world, outcome_variance=spread
                )
                called[spread] += found >= 0.9
        assert called[0.0] > 0.35 * 200  # no churner is among them in 44 % of worlds
        assert called[variance] == 0

    def test_nobody_is_better_than_itself_and_customers_must_be_the_same(self) -> None:
        values = np.random.default_rng(0).normal(size=50)
        assert probability_better(values, values, bootstraps=50, seed=1) == 0.0
        with pytest.raises(BayesPilotError, match="same customers"):
            probability_better(values, values[1:], bootstraps=50, seed=1)

    @pytest.mark.parametrize(("error", "chosen"), [(4.9, "boosting"), (5.0, "forest"), (6.0, "forest")])
    def test_simplest_within_one_standard_error(self, error: float, chosen: str) -> None:
        judged = {
            "logistic": JudgedProfit(10.0, 1.0, 90.0, 20.0),
            "forest": JudgedProfit(95.0, 1.0, 5.0, error),
            "boosting": JudgedProfit(100.0, 1.0, 0.0, 0.0),
        }
        assert simplest_within_one_error(judged, ["logistic", "forest", "boosting"]) == chosen


class TestRefusals:
    """A public measure says what is wrong instead of returning a number that means nothing."""

    @pytest.mark.parametrize(
        ("labels", "scores", "said"),
        [
            ([], [], "two columns of the same rows"),
            ([0, 1], [0.5], "two columns of the same rows"),
            ([0, 2], [0.5, 0.5], "neither 0 nor 1"),
            ([0, 1], [0.5, np.nan], "not a finite number"),
        ],
    )
    @pytest.mark.parametrize("measure", ["ece", "brier", "empc", "mpc"])
    def test_rows_that_are_none(
        self, measure: str, labels: list[int], scores: list[float], said: str
    ) -> None:
        measures = {
            "ece": lambda y, p: expected_calibration_error(y, p, bins=2),
            "brier": lambda y, p: brier_decomposition(y, p, bins=2),
            "empc": lambda y, p: expected_maximum_profit(y, p, **MONEY),
            "mpc": lambda y, p: maximum_profit(y, p, **MONEY),
        }
        with pytest.raises(BayesPilotError, match=said):
            measures[measure](np.array(labels), np.array(scores))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"contact_cost": -5.0}, "contact_cost"),
            ({"alpha": -1.0}, "alpha and beta"),
            ({"alpha": [1.0, 2.0]}, "alpha has shape"),
            ({"clv": [200.0, 100.0]}, "clv has shape"),
            ({"clv": "much"}, "clv holds something other than numbers"),
            ({"contact_cost": np.array([1.0] * 9 + [-1.0])}, "contact_cost is below 0"),
            ({"clv": np.nan}, "clv is not a finite number"),
            ({"clv": 5.0}, "must exceed"),
        ],
    )
    def test_money_that_is_none(self, change: dict[str, float], said: str) -> None:
        for measure in (maximum_profit, expected_maximum_profit):
            with pytest.raises(BayesPilotError, match=said):
                measure(Y, P, **(MONEY | change))
            with pytest.raises(BayesPilotError, match="both classes"):
                measure(np.ones(10), P, **MONEY)

    def test_probabilities_weights_and_bins_that_are_none(self) -> None:
        with pytest.raises(BayesPilotError, match="outside"):
            expected_calibration_error(Y, 3 * P, bins=2)
        with pytest.raises(BayesPilotError, match="above 0"):
            brier_decomposition(Y, P, bins=2, weight=np.zeros(10))
        with pytest.raises(BayesPilotError, match="at least one bin"):
            expected_calibration_error(Y, P, bins=0)


class TestAnnouncedChurn:
    CHURNED = np.array([True, True, True, False, False])
    PROBABILITY = np.array([0.9, 0.5, 0.2, 0.3, 0.1])
    NOTICE = np.array([True, False, False, False, False])

    def found(
        self, notice: np.ndarray | None, weight: tuple[float, ...] = (1, 1, 1, 1, 1)
    ) -> dict[str, float]:
        return notice_metrics(
            self.CHURNED, self.PROBABILITY, has_given_notice=notice, weight=np.array(weight, dtype=float)
        )

    def test_the_share_and_the_ranking_of_the_rest(self) -> None:
        # Without the first row, the pairs of a leaver and a stayer rank right in 3 of 4: 0.2 stands below 0.3.
        assert self.found(self.NOTICE) == {"announced_churn_share": 1 / 3, "auc_without_notice": 0.75}

    def test_weights_count_in_both(self) -> None:
        # 4 of 4 + 1 + 1; pairs by weight of their stayers 3 and 1: (1 + 1)·1 + 1·3 + 0·3 = 5 of 8.
        found = self.found(self.NOTICE, (4, 1, 1, 3, 1))
        assert found == {"announced_churn_share": pytest.approx(2 / 3), "auc_without_notice": 0.625}

    def test_nothing_is_claimed_where_it_is_not_known(self) -> None:
        assert self.found(None) == {}
        assert self.found(self.CHURNED) == {"announced_churn_share": 1.0}
        nobody = np.zeros(5, dtype=bool)
        assert self.found(nobody)["announced_churn_share"] == 0
