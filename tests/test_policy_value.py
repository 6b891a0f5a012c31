"""What a policy is worth: hand-worked numbers, unbiasedness, intervals, and refusals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_value_study import app, compare_mailings, missed_targets, read_promotion, study
from typer.testing import CliRunner

from models_ml.errors import BayesPilotError
from models_ml.evaluation import (
    pick_holdout_contrast,
    policy_value,
    universal_holdout_contrast,
)
from models_ml.evaluation.intervals import student_interval

PROMOTION_VARIABLE = "RETENTION_TEST_PROMOTION"
TOSSED: dict[str, Any] = {
    "action": [1, 1, 1, 0, 0],
    "propensity": [0.8, 0.8, 0.5, 0.2, 0.5],
    "reward": [4.0, 2.0, 3.0, 1.0, 2.0],
}


def test_every_method_by_hand() -> None:
    contact_all = {"target": [1] * 5, "reference": 0}
    # w = 1.25, 1.25, 2, 0, 0 and v = 0, 0, 0, 5, 2
    ips = policy_value(**TOSSED, **contact_all, method="ips")
    assert ips.value == pytest.approx((5 + 2.5 + 6 - 5 - 4) / 5)
    snips = policy_value(**TOSSED, **contact_all, method="snips")
    assert snips.value == pytest.approx(13.5 / 4.5 - 9 / 7)
    expected = np.tile([1.0, 2.5], (5, 1))
    robust = policy_value(**TOSSED, **contact_all, predicted_reward=expected, method="dr")
    # 1.5 + (1.25 · 1.5 − 1.25 · 0.5 + 2 · 0.5 − 5 · 0 − 2 · 1) / 5
    assert robust.value == pytest.approx(1.5 + (1.875 - 0.625 + 1.0 - 2.0) / 5)
    assert robust.effective_sample_size == pytest.approx(min(4.5**2 / (2 * 1.25**2 + 4), 49 / 29))
    assert (robust.rows, robust.clusters, robust.method) == (5, 5, "dr")


def test_standard_error_by_hand() -> None:
    # Contributions 8, 4, −2, −2 of a fair coin: mean 2, squares about it 36 + 4 + 16 + 16 = 72. Errors alike
    # under both: Σ d² · mean e² = 16 · 22 / 4 equals Σ d² e² = 4 · 22, so that nothing is steadied.
    value = policy_value([1, 1, 0, 0], [0.5] * 4, [4, 2, 1, 1], [1] * 4, reference=0, method="ips")
    assert value.standard_error**2 == pytest.approx(72 / (4 * 3))
    assert value.high - value.value == pytest.approx(value.value - value.low)
    assert value.times(4).high == pytest.approx(4 * value.high)


def test_few_left_alone_by_luck_do_not_make_an_estimate_look_sure() -> None:
    contacted, held = np.r_[np.ones(900), np.zeros(10)], 0.01
    churned = np.r_[np.arange(900) % 5 == 0, np.zeros(10)]  # none of the ten left
    inputs = (contacted.astype(int), np.where(contacted == 1, 1 - held, held), -100.0 * churned, [1] * 910)
    value = policy_value(
        *inputs, reference=0, predicted_reward=np.full((910, 2), -20.0), cluster=None, method="dr"
    )
    alone = 20.0 * np.sqrt(10) / held / 910  # from the ten alone
    assert 1.5 * alone < value.standard_error < 2 * alone


def test_probabilities_and_actions_say_the_same() -> None:
    chosen = np.array([1, 1, 0, 0, 1])
    table = np.eye(2)[chosen]
    for method in ("ips", "snips"):
        by_action = policy_value(**TOSSED, target=chosen, method=method)
        assert policy_value(**TOSSED, target=table, method=method) == by_action
    mixed = policy_value(**TOSSED, target=np.full((5, 2), 0.5), method="ips")
    assert mixed.value == pytest.approx((2.5 + 1.25 + 3 + 2.5 + 2) / 5)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(["dr", "snips", "ips"]))
def test_order_of_rows_is_without_meaning(seed: int, method: Any) -> None:
    random = np.random.default_rng(seed)
    rows = 30
    action = np.arange(rows) % 3
    columns = {
        "action": action,
        "propensity": random.uniform(0.1, 0.9, rows),
        "reward": random.normal(size=rows),
        "target": np.where(np.arange(rows) < 3, action, random.integers(0, 3, rows)),
        "predicted_reward": random.normal(size=(rows, 3)),
        "cluster": random.integers(0, 12, rows),
    }
    order = random.permutation(rows)
    straight = policy_value(**columns, method=method)
    shuffled = policy_value(**{name: values[order] for name, values in columns.items()}, method=method)
    assert vars(shuffled) == pytest.approx(vars(straight))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_with_a_fair_split_inverse_propensity_is_the_plain_contrast(seed: int) -> None:
    random = np.random.default_rng(seed)
    action, reward = np.arange(40) % 2, random.normal(size=40)
    plain = reward[action == 1].mean() - reward[action == 0].mean()
    for method in ("ips", "snips"):
        value = policy_value(action, [0.5] * 40, reward, [1] * 40, reference=0, method=method)
        assert value.value == pytest.approx(plain)
    contrast = universal_holdout_contrast(reward, action == 0, customer=np.arange(40))
    assert contrast.value == pytest.approx(plain)
    welch = sum(reward[action == arm].var(ddof=1) / 20 for arm in (0, 1))
    assert contrast.standard_error**2 == pytest.approx(welch)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), shift=st.floats(-100, 100))
def test_doubly_robust_does_not_care_what_everybody_is_worth_anyway(seed: int, shift: float) -> None:
    random = np.random.default_rng(seed)
    worth = shift * random.random(20)
    inputs = np.arange(20) % 2, random.uniform(0.2, 0.8, 20)
    reward, expected = random.normal(size=20), random.normal(size=(20, 2))
    asked: dict[str, Any] = {"target": [1] * 20, "reference": 0, "method": "dr"}
    bare = policy_value(*inputs, reward, predicted_reward=expected, **asked)
    raised = policy_value(*inputs, reward + worth, predicted_reward=expected + worth[:, None], **asked)
    for name in ("value", "standard_error", "low", "high", "effective_sample_size"):
        assert getattr(raised, name) == pytest.approx(getattr(bare, name), rel=1e-6, abs=1e-9)


def test_a_wrong_prediction_stays_unbiased_and_a_right_one_is_precise() -> None:
    random = np.random.default_rng(5)
    customers, held = 400, 0.2
    worth = random.uniform(0, 100, customers)
    errors: dict[str, list[float]] = {"right": [], "wrong": []}
    for _ in range(600):
        action = (random.random(customers) >= held).astype(int)
        reward = worth + 5.0 * action + random.normal(0, 3, customers)
        truth = np.column_stack([worth, worth + 5.0])
        for name, expected in (("right", truth), ("wrong", 60.0 - 0.5 * truth[:, ::-1])):
            value = policy_value(
                action,
                np.where(action == 1, 1 - held, held),
                reward,
                np.ones(customers, dtype=int),
                reference=0,
                predicted_reward=expected,
                method="dr",
            )
            errors[name].append(value.value - 5.0)
    for values in errors.values():
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(600)
    assert np.std(errors["right"]) < 0.2 * np.std(errors["wrong"])


def test_months_of_one_customer_widen_the_interval() -> None:
    random = np.random.default_rng(2)
    action = (random.random(60) < 0.5).astype(int)
    reward = random.normal(size=60) + action
    repeated = [np.tile(column, 4) for column in (action, np.full(60, 0.5), reward, np.ones(60, dtype=int))]
    naive = policy_value(*repeated, reference=0, method="snips")
    robust = policy_value(*repeated, reference=0, method="snips", cluster=np.tile(np.arange(60), 4))
    assert robust.value == naive.value
    assert robust.standard_error == pytest.approx(2 * naive.standard_error, rel=0.02)
    assert (robust.rows, robust.clusters) == (240, 60)


def test_few_units_widen_the_quantile() -> None:
    assert student_interval(0.0, np.array([1.0, -1.0])).high == pytest.approx(12.706 * np.sqrt(2), rel=1e-4)
    rare = np.r_[np.ones(4) * 5, -np.ones(4) * 5, np.zeros(1000)]
    assert student_interval(0.0, rare).degrees_of_freedom == pytest.approx(2 * 8 / (1 - 8 / 1008))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"propensity": [0.0, 1, 0.5, 0.5, 0.5]}, r"propensity outside \(0, 1\]"),
        ({"propensity": [1.1, 1, 0.5, 0.5, 0.5]}, r"propensity outside \(0, 1\]"),
        ({"propensity": [float("nan"), 1, 0.5, 0.5, 0.5]}, "propensity is not a finite number"),
        ({"propensity": [0.5] * 4}, "propensity has shape"),
        ({"reward": [1.0, 2, 3, 4, float("inf")]}, "reward is not a finite number"),
        ({"action": [1, 1, 1, 0, -1]}, "action outside 0 to"),
        ({"action": [1.0, 1, 1, 0, 0]}, "not a list of whole numbers"),
        ({"target": [1, 1]}, "target has 2 rows instead of 5"),
        ({"target": np.full((5, 2), 0.4)}, "do not add up to 1"),
        ({"target": [1, 1, 1, 2, 1]}, "never logged where it would take it"),
        ({"action": [1] * 5}, "reference policy takes an action that was never logged"),
        ({"propensity": [1.0, 0.8, 0.5, 0.2, 0.5]}, "could not take: another was certain"),
        ({"method": "dr"}, "needs predicted_reward"),
        ({"method": "magic"}, "unknown method"),
        ({"method": "dr", "predicted_reward": np.ones((4, 2))}, "predicted_reward has shape"),
        ({"cost": [1.0, 1, 1, 1, -1]}, "cost below 0"),
        ({"cost": [1.0] * 4}, r"cost has shape \(4,\) instead of \(5,\)"),
        ({"cost": np.ones((5, 3))}, "cost has shape"),
        ({"reward": ["a", 1, 2, 3, 4]}, "reward holds something other than numbers"),
        ({"target": [[1.0], [0.5, 0.5], [1.0], [1.0], [1.0]]}, "target has rows of different lengths"),
        ({"action": []}, "action holds no rows"),
        ({"reward": [3.0] * 5}, "all outcomes of a group are alike"),
        ({"reward": [300.1] * 5}, "all outcomes of a group are alike"),
        ({"cluster": ["a"] * 5}, "one row or cluster"),
        ({"cluster": ["a"] * 4}, "another length"),
    ],
)
def test_what_cannot_be_answered_is_refused(changes: dict[str, Any], message: str) -> None:
    inputs: dict[str, Any] = TOSSED | {"target": [1] * 5, "reference": 0, "method": "snips"} | changes
    with pytest.raises(BayesPilotError, match=message):
        policy_value(**inputs)


def fair_coin(rows: int, propensity: float, **changes: Any) -> Any:
    random = np.random.default_rng(rows)
    inputs = {"action": np.arange(rows) % 2, "target": np.ones(rows, dtype=int), "reference": 0} | changes
    return policy_value(
        propensity=np.full(rows, propensity), reward=random.normal(size=rows), method="snips", **inputs
    )


@pytest.mark.parametrize(("propensity", "rows"), [(0.1, 60), (0.1, 4000), (0.2, 300), (0.9, 1000)])
def test_propensities_that_contradict_the_actions_are_refused(propensity: float, rows: int) -> None:
    with pytest.raises(
        BayesPilotError, match=rf"weights of the target policy average {0.5 / propensity:.2f}"
    ):
        fair_coin(rows, propensity)


def test_a_policy_that_agrees_with_every_toss_of_a_coin_knew_the_tosses() -> None:
    action = np.arange(100) % 2
    with pytest.raises(BayesPilotError, match=r"target policy average 2\.00"):
        fair_coin(100, 0.5, action=action, target=action, reference=None)


def test_propensities_slightly_off_and_luck_are_not_refused() -> None:
    assert fair_coin(100_000, 0.52).rows == 100_000
    refused = 0
    for seed in range(800):
        random = np.random.default_rng(seed)
        rows = 10 if seed % 2 else 300
        held = random.choice([0.01, 0.05, 0.4], rows)
        action = (random.random(rows) >= held).astype(int)
        if not 0 < action.sum() < rows:
            continue
        propensity = np.where(action == 1, 1 - held, held)
        try:
            policy_value(action, propensity, random.normal(size=rows), [1] * rows, reference=0, method="ips")
        except BayesPilotError:
            refused += 1
    assert refused == 0


@pytest.mark.parametrize("method", ["dr", "snips", "ips"])
def test_costs_per_customer_are_taken_off_what_followed(method: Any) -> None:
    """A cost per customer is one of every action but 0; as a table it says the same, and rewards net of it as well."""
    cost = np.array([1.0, 2.0, 0.5, 4.0, 8.0])
    table = np.column_stack([np.zeros(5), cost])
    expected = np.tile([1.0, 2.5], (5, 1))
    asked: dict[str, Any] = {"target": [1] * 5, "reference": 0, "method": method}
    gross = TOSSED | asked | {"predicted_reward": expected}
    by_customer = policy_value(**gross, cost=cost)
    assert by_customer == policy_value(**gross, cost=table)
    net = np.asarray(TOSSED["reward"]) - cost * TOSSED["action"]
    assert by_customer == policy_value(**gross | {"reward": net, "predicted_reward": expected - table})
    plain = policy_value(**gross)
    if method == "dr":  # known costs of all five, not only of those contacted
        assert plain.value - by_customer.value == pytest.approx(cost.mean())
    assert policy_value(**gross, cost=2.0) == policy_value(**gross, cost=[2.0] * 5)


def test_pick_holdout_contrast_weighs_by_propensity() -> None:
    # Left alone with probability 0.2 and 0.5: (10 / 0.2 + 4 / 0.5) / (5 + 2); contacted (8 · 1.25 + 6 · 2) / 3.25
    contrast = pick_holdout_contrast(
        [10.0, 4.0, 8.0, 6.0], [False, False, True, True], [0.2, 0.5, 0.8, 0.5], customer=list("abcd")
    )
    assert contrast.value == pytest.approx(22 / 3.25 - 58 / 7)


def test_a_holdout_of_whom_nobody_left_shows_no_loss() -> None:
    """Of 34 customers left alone, by luck, none left: their own variance is 0, and says nothing."""
    reward = np.concatenate([np.zeros(34), np.where(np.arange(716) < 30, -300.0, 0.0)])
    found = universal_holdout_contrast(reward, np.arange(750) < 34, customer=np.arange(750))
    assert found.value < 0
    assert not found.is_distinguishable


@pytest.mark.parametrize(("customers", "held"), [(750, 37), (2663, 133)])
def test_universal_contrast_covers_where_contacts_do_nothing(customers: int, held: int) -> None:
    random, covered, loses = np.random.default_rng(customers), 0, 0
    for _ in range(400):
        lost = np.where(random.random(customers) < 0.04, -random.lognormal(5.0, 0.7, customers), 0.0)
        found = universal_holdout_contrast(lost, np.arange(customers) < held, customer=np.arange(customers))
        covered += found.low <= 0 <= found.high
        loses += found.high < 0
    assert covered / 400 >= 0.92
    assert loses / 400 <= 0.06


def test_universal_contrast_adds_up_months_of_a_customer_first() -> None:
    reward, held, customer = [-10.0, -2, -2, -2, -6, -8], [False] * 4 + [True] * 2, list("abbcde")
    contrast = universal_holdout_contrast(reward, held, customer=customer)
    assert contrast.value == pytest.approx(-16 / 3 + 7)
    weighted = universal_holdout_contrast(reward, held, customer=customer, weight=[0, 1, 1, 1, 1, 1])
    assert weighted.value == pytest.approx(-6 / 3 + 7)
    with pytest.raises(BayesPilotError, match="belong to both groups"):
        universal_holdout_contrast(reward, held, customer=list("abbcda"))
    with pytest.raises(BayesPilotError, match="universal holdout holds fewer than two"):
        universal_holdout_contrast(reward[:5], held[:5], customer=customer[:5])


def test_intervals_hold_the_known_value() -> None:
    found = study(replications=120, holdout=0.1, customers=1500, months=2, seed=1)
    robust, plain = found[0], found[1]
    assert (robust.method, plain.method, plain.reward) == ("dr", "snips", "margin")
    assert 0.88 <= robust.coverage <= 0.995  # 120 replications: two standard errors about 0.92 to 0.98
    assert robust.rmse <= 0.4 * plain.rmse
    assert all(abs(outcome.bias) < 3.5 for outcome in found)
    assert not [miss for miss in missed_targets({0.1: found}) if "RMSE" in miss]


def test_study_runs_and_refuses_wrong_shares() -> None:
    runs = CliRunner()
    done = runs.invoke(
        app, ["--replications", "4", "--customers", "2000", "--months", "1", "--holdout", "0.2"]
    )
    assert "dr, margin" in done.output
    assert "Targets missed" in done.output
    for wrong in ("0.05,0.01", "0.1,0.1", "many"):
        refused = runs.invoke(app, ["--holdout", wrong])
        assert refused.exit_code == 2
        assert "name different shares" in refused.output


def test_real_promotion_agrees_with_its_plain_contrast() -> None:
    folder = os.environ.get(PROMOTION_VARIABLE)
    if not folder or not (Path(folder) / "train.parquet").is_file():
        pytest.skip(f"{PROMOTION_VARIABLE} names no folder with train.parquet of the promotion")
    rows = compare_mailings(read_promotion(Path(folder)))
    by_policy = {policy: {m: value for p, m, value in rows if p == policy} for policy, _, _ in rows}
    everyone, targeted = by_policy.values()
    for found in (everyone, targeted):
        plain = found.pop("plain contrast")
        for value in found.values():
            assert abs(value.value - plain.value) < 0.1 * plain.standard_error
            assert value.standard_error == pytest.approx(plain.standard_error, rel=0.02)
    assert everyone["dr"].high < 0  # a mailing to everyone costs more than it sells
    assert targeted["dr"].low > everyone["dr"].high
