"""What a policy is worth: hand-worked numbers, unbiasedness, intervals, and the warehouse's report of it."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_value_study import app, compare_mailings, holdout_shares, missed_targets, read_promotion, study
from policy_value_world import Logged, simulate_months
from typer.testing import CliRunner

from models_ml.errors import BayesPilotError
from models_ml.evaluation import (
    Estimate,
    months_needed,
    pick_holdout_contrast,
    policy_value,
    universal_holdout_contrast,
    verdict,
)
from models_ml.evaluation.intervals import student_interval
from models_ml.evaluation.policy_value_table import POLICY_VALUE_SCHEMA, Chosen, policy_value_table

PROMOTION_VARIABLE = "RETENTION_TEST_PROMOTION"
MONITORING = Path(__file__).parents[1] / "dbt_project" / "models" / "monitoring"
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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=30, deadline=None)
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
        ({"propensity": [float("nan"), 1, 0.5, 0.5, 0.5]}, "propensity is not finite"),
        ({"propensity": [0.5] * 4}, "propensity has shape"),
        ({"reward": [1.0, 2, 3, 4, float("inf")]}, "reward is not finite"),
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
        ({"cluster": ["a"] * 5}, "one row or cluster"),
        ({"cluster": ["a"] * 4}, "another length"),
    ],
)
def test_what_cannot_be_answered_is_refused(changes: dict[str, Any], message: str) -> None:
    inputs: dict[str, Any] = TOSSED | {"target": [1] * 5, "reference": 0, "method": "snips"} | changes
    with pytest.raises(BayesPilotError, match=message):
        policy_value(**inputs)


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


def test_verdict_and_months_needed() -> None:
    assert verdict(Estimate(5.0, 1.0, 3.0, 7.0, 9.0), 1) == "earns more than contacting nobody"
    assert verdict(Estimate(-5.0, 1.0, -7.0, -3.0, 9.0), 1) == "loses against contacting nobody"
    unsure = Estimate(5.0, 3.0, -1.0, 11.0, 9.0)  # 4 · (6 / 5)² = 5.76 months in all
    assert months_needed(unsure, 4) == 2
    assert "not yet distinguishable from zero; about 2 more months" in verdict(unsure, 4)
    assert months_needed(Estimate(0.0, 3.0, -6.0, 6.0, 9.0), 4) is None
    assert months_needed(Estimate(0.5, 3.0, -5.5, 6.5, 9.0), 1) is None  # 144 months
    assert "ten years would not show it" in verdict(Estimate(0.5, 3.0, -5.5, 6.5, 9.0), 1)


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
    with pytest.raises(BayesPilotError, match=r"0\.05 to 0\.95"):
        holdout_shares("0.05,0.01")


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


# ---- the warehouse's report


def outcomes(logged: Logged, months: np.ndarray, *, universal: np.ndarray, share: float) -> pa.Table:
    """Return made rows of action_outcomes, as the world played them with a holdout ``share``."""
    chosen = (logged.planned > 0) & ~universal
    contacted = logged.is_contacted & chosen
    arm = np.where(chosen, np.where(contacted, "policy", "pick_holdout"), "not_chosen")
    first = [date(2026, month + 1, 1) for month in months]
    left = logged.loss < -20.0
    return pa.table(
        {
            "customer_id": [f"c{number:05d}" for number in logged.customer],
            "as_of_date": [day.replace(day=28) for day in first],
            "horizon_ends_on": [date(2026, month + 2, 26) for month in months],
            "outcome_month": first,
            "action": np.where(contacted, "call", "no_action"),
            "arm": np.where(universal, "universal_holdout", arm),
            "propensity": np.where(chosen, np.where(contacted, 1 - share, share), 1.0),
            "churn_probability": -logged.predicted_nothing / logged.customer_value,
            "customer_value": logged.customer_value,
            "relative_risk": np.full(len(left), 0.88),
            "expected_cost": np.full(len(left), 0.3),
            "has_churned": left,
            "realised_cost": np.where(contacted, 0.3, 0.0),
        }
    )


def made_outcomes(share: float = 0.1, months: int = 3) -> pa.Table:
    logged = simulate_months(customers=2000, months=months, holdout=share, random=np.random.default_rng(4))
    month = np.cumsum(np.diff(logged.customer, prepend=0) < 0)  # customers stand in order within a month
    return outcomes(logged, month, universal=logged.customer % 20 == 0, share=share)


def report(table: pa.Table) -> list[dict[str, Any]]:
    """Build the totals by the models' own SQL and the report by its function."""
    connection = duckdb.connect()
    connection.register("made", table)
    connection.execute("create table action_outcomes as select * from made")
    connection.execute(
        "create table int_customer_months as select *, horizon_ends_on as month_horizon_ends_on,"
        " has_churned as has_churned_by_month_horizon from made"
    )
    model = (MONITORING / "int_policy_value_totals.sql").read_text()
    sql = jinja2.Template(model).render(ref=lambda table: table)
    connection.execute(f"create table int_policy_value_totals as {sql}")
    built = policy_value_table(
        connection.cursor(),
        action_outcomes="select * from action_outcomes",
        totals="select * from int_policy_value_totals",
    )
    assert built.schema == POLICY_VALUE_SCHEMA
    return built.to_pylist()


def test_report_has_three_methods_a_period_and_agrees_with_the_functions() -> None:
    table = made_outcomes()
    rows = report(table)
    assert [(row["period"], row["method"]) for row in rows] == [
        (period, method)
        for period in ("2026-01", "2026-02", "2026-03", "all")
        for method in ("universal_holdout", "pick_holdout", "doubly_robust")
    ]
    column = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    reward = -(column["has_churned"] * column["customer_value"]) - column["realised_cost"]
    drawn = np.isin(column["arm"], ["policy", "pick_holdout"])
    contacted = column["arm"][drawn] == "policy"
    pick = pick_holdout_contrast(
        reward[drawn], contacted, column["propensity"][drawn], customer=column["customer_id"][drawn]
    )
    pooled = {row["method"]: row for row in rows[-3:]}
    assert pooled["pick_holdout"]["value"] == pytest.approx(drawn.sum() * pick.value, abs=0.01)
    assert pooled["pick_holdout"]["left_alone"] == (~contacted).sum()
    losses = column["churn_probability"] * column["customer_value"]
    robust = policy_value(
        contacted.astype(int),
        column["propensity"][drawn],
        reward[drawn],
        np.ones(drawn.sum(), dtype=int),
        reference=0,
        predicted_reward=np.column_stack([-losses, -0.88 * losses - 0.3])[drawn],
        cluster=column["customer_id"][drawn],
        method="dr",
    )
    assert pooled["doubly_robust"]["value"] == pytest.approx(drawn.sum() * robust.value, abs=0.01)
    assert pooled["doubly_robust"]["value_high"] == pytest.approx(drawn.sum() * robust.high, abs=0.01)
    whole = universal_holdout_contrast(
        reward,
        column["arm"] == "universal_holdout",
        customer=column["customer_id"],
        weight=np.where(drawn, np.where(column["arm"] == "policy", 1 / 0.9, 0), 1),
    )
    assert pooled["universal_holdout"]["value"] == pytest.approx(1900 * whole.value, abs=10)
    assert (pooled["universal_holdout"]["customers"], pooled["universal_holdout"]["left_alone"]) == (
        1900,
        100,
    )
    for row in rows:
        assert row["value_low"] < row["value"] < row["value_high"]
        assert row["is_distinguishable"] == (row["value_low"] > 0 or row["value_high"] < 0)
        assert row["months"] == (3 if row["period"] == "all" else 1)


def test_report_does_not_depend_on_the_order_of_rows() -> None:
    table = made_outcomes()
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    assert report(table) == report(shuffled)


def test_a_loss_counts_once_where_horizons_overlap() -> None:
    table = made_outcomes(months=2).slice(0, 0)
    row = {
        "action": "no_action",
        "propensity": 1.0,
        "churn_probability": 0.1,
        "customer_value": 100.0,
        "relative_risk": 1.0,
        "expected_cost": 0.0,
        "has_churned": True,
        "realised_cost": 0.0,
    }
    rows = [
        {
            **row,
            "customer_id": customer,
            "as_of_date": date(2026, month, 1),
            "outcome_month": date(2026, month, 1),
            "horizon_ends_on": date(2026, month + 3, 1),
            "arm": "universal_holdout" if customer in "ab" else "not_chosen",
            "has_churned": customer != "c",
        }
        for customer in "abcd"
        for month in (1, 2, 6)
    ]
    found = {row["period"]: row for row in report(pa.Table.from_pylist(rows, schema=table.schema))[::3]}
    assert found["2026-02"]["value_per_customer"] == 50.0  # d left, c stayed; a and b left
    assert (
        found["all"]["value_per_customer"] == 100.0
    )  # January's loss still covers February's, June's is another


def test_a_customer_chosen_again_within_the_horizon_is_one_customer() -> None:
    """Chosen on days 0, 30, 60 and 90 with 90 days of horizon: two rows stand, the first pays for the next two."""
    days = np.array([0, 30, 60, 90, 30])
    chosen = Chosen(
        month=np.arange(5),
        customer_id=np.array(["a", "a", "a", "a", "b"]),
        is_contacted=np.ones(5, bool),
        propensity=np.full(5, 0.9),
        decided_on=days,
        ends_on=days + 90,
        reward=np.array([-100.0, -100.0, -101.0, -2.0, -3.0]),
        realised_cost=np.array([0.0, 0.0, 1.0, 2.0, 3.0]),
        predicted_nothing=np.zeros(5),
        predicted_planned=np.zeros(5),
    )
    whole = chosen.without_overlaps()
    assert whole.decided_on.tolist() == [0, 90, 30]
    assert whole.reward.tolist() == [-101.0, -2.0, -3.0]
    shuffled = chosen.where(np.array([4, 2, 0, 3, 1])).without_overlaps()
    assert sorted(shuffled.reward.tolist()) == sorted(whole.reward.tolist())


def test_report_says_why_nothing_can_be_measured() -> None:
    assert report(made_outcomes().slice(0, 0)) == []
    table = made_outcomes()
    arms = table.column("arm").to_numpy(zero_copy_only=False)
    alone = table.filter(pa.array(np.isin(arms, ["not_chosen", "policy"])))
    found = {row["method"]: row for row in report(alone)[-3:]}
    assert found["universal_holdout"]["verdict"].endswith("fewer than two customers in the universal holdout")
    assert found["doubly_robust"]["verdict"] == "not measurable: none of the chosen was left alone"
    assert found["doubly_robust"]["value"] is None
    certain = alone.set_column(
        alone.column_names.index("propensity"), "propensity", pa.array(np.ones(len(alone)))
    )
    found = {row["method"]: row for row in report(certain)[-3:]}
    assert found["pick_holdout"]["verdict"].endswith("pick_holdout_share is 0")
    nobody = table.filter(pa.array(np.isin(arms, ["not_chosen", "universal_holdout"])))
    assert report(nobody)[-1]["verdict"] == "not measurable: nobody was chosen"
