"""Learned survival: hand-worked values, recovery of known hazards, and worlds in which risk reverts to the mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from models_ml.decisions.retention_curves import (
    RETENTION_CURVES_SCHEMA,
    Floats,
    Integers,
    RetentionCurves,
    customer_value,
    read_retention_curves,
    survival,
)
from models_ml.decisions.retention_fit import (
    FollowUp,
    Renewals,
    fit_retention_curves,
    grouped_follow_up,
    retention_curves_table,
    risk_tenths,
)
from models_ml.decisions.settings import load_settings
from models_ml.errors import BayesPilotError

SETTINGS = load_settings().retention_curves
HORIZON = 28
FOLLOWED = 6  # later periods in the labels
JUDGED = 12  # later periods over which lost ones are counted
NO_RENEWALS = Renewals(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
NO_LABELS = FollowUp(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
TRUE = RetentionCurves(-3.0, 0.3, 0.5, 0.6, 0.6, -2.5, -4.0, 4.0, FOLLOWED, 0.05, HORIZON, {})
STEADY = RetentionCurves(
    persistent_level=float(logit(0.2)),
    persistent_slope=0.0,
    passing_level=0.0,
    passing_slope=0.0,
    pace=0.5,
    mean_log_odds=0.0,
    lowest=-9.0,
    highest=9.0,
    last_period=4,
    mean_hazard=0.2,
    horizon_days=10,
    renewal_hazard={100: 0.3},
)
TERMS = {"margin_rate": 0.5, "value_horizon_days": 35, "annual_discount_rate": 0.0}


@dataclass(frozen=True)
class World:
    """Log-odds of leaving are a lasting part, and a part that fades with ``pace`` while chance renews it."""

    mean: float = -3.2
    lasting: float = 0.8
    passing: float = 1.2
    pace: float = 0.6

    def play(self, rng: np.random.Generator, customers: int) -> tuple[Floats, Integers]:
        """Return churn probabilities and the later period in which each left (0 never) of those who stayed."""
        lasting = rng.normal(self.mean, self.lasting, customers)
        passing = rng.normal(0, self.passing, customers)
        probability = expit(lasting + passing)
        is_there = rng.random(customers) >= probability
        stayed, left = is_there.copy(), np.zeros(customers, dtype=np.int64)
        for period in range(1, JUDGED + 1):
            renewed = rng.normal(0, self.passing * np.sqrt(1 - self.pace**2), customers)
            passing = self.pace * passing + renewed
            leaves = is_there & (rng.random(customers) < expit(lasting + passing))
            left[leaves] = period
            is_there &= ~leaves
        return probability[stayed], left[stayed]


def followed(probability: Floats, left: Integers) -> FollowUp:
    """Return the labels of the first FOLLOWED later periods."""
    rows = [
        (probability[there], np.full(there.sum(), period), left[there] == period)
        for period in range(1, FOLLOWED + 1)
        if (there := (left == 0) | (left >= period)).any()
    ]
    risk, period, leaves = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return grouped_follow_up(risk, period, leaves, np.ones(len(risk)), SETTINGS)


def fitted(
    follow_up: FollowUp, mean_churn: float, renewals: Renewals = NO_RENEWALS, repeats: float = 1.0
) -> RetentionCurves:
    return fit_retention_curves(
        follow_up,
        renewals,
        mean_churn=mean_churn,
        horizon_days=HORIZON,
        repeats=repeats,
        settings=SETTINGS,
    )


def lost_by_tenth(world: World, seed: int, customers: int) -> tuple[Floats, Floats, Floats]:
    """Return fitted and observed lost periods, and the standard error of the observed, by tenth, out of sample."""
    rng = np.random.default_rng(seed)
    probability, left = world.play(rng, customers)
    curves = fitted(followed(probability, left), float(probability.mean()))
    probability, left = world.play(rng, customers)
    expected = JUDGED - survival(curves, probability, JUDGED + 1)[:, 1:].sum(axis=1)
    lost = np.where(left > 0, JUDGED + 1 - left, 0)
    tenth = risk_tenths(probability, np.ones(len(probability)))
    rows = [tenth == each for each in range(1, 11)]
    return (
        np.array([expected[each].mean() for each in rows]),
        np.array([lost[each].mean() for each in rows]),
        np.array([lost[each].std(ddof=1) / np.sqrt(each.sum()) for each in rows]),
    )


REVERTING = [
    World(),
    World(lasting=0.1, passing=1.5, pace=0.3),
    World(lasting=1.5, passing=0.1),
    World(pace=0.85),
    World(mean=-2.0),
    World(mean=-4.5, passing=2.0),
]


@pytest.mark.parametrize("world", REVERTING, ids=str)
def test_lost_periods_hold_out_of_sample_in_every_tenth(world: World) -> None:
    expected, observed, error = lost_by_tenth(world, seed=1, customers=20_000)
    assert (np.abs(expected - observed) <= np.maximum(0.15 * observed, 2 * error)).all()


def test_lost_periods_hold_where_labels_are_few() -> None:
    within = []
    for seed in range(30):
        expected, observed, error = lost_by_tenth(World(), seed, customers=600)
        within.append(np.abs(expected - observed) <= np.maximum(0.15 * observed, 2 * error))
    assert np.mean(within) >= 0.9


def test_own_risk_carried_on_would_lose_far_too_many_of_the_riskiest() -> None:
    probability, left = World(lasting=0.1, passing=1.5, pace=0.3).play(np.random.default_rng(1), 20_000)
    curves = fitted(followed(probability, left), float(probability.mean()))
    risky = probability > 0.3
    kept = survival(curves, probability[risky], JUDGED).sum(axis=1).mean()
    carried = np.cumprod(np.tile(1 - probability[risky, None], JUDGED), axis=1).sum(axis=1).mean()
    truth = np.where(left[risky] > 0, np.minimum(left[risky], JUDGED), JUDGED).mean()
    assert kept == pytest.approx(truth, rel=0.15)
    assert truth > 2 * carried


def test_known_hazards_are_found_again() -> None:
    risk = np.tile(expit(TRUE.mean_log_odds + np.linspace(-3, 3, 61)), FOLLOWED)
    period = np.repeat(np.arange(1, FOLLOWED + 1), 61)
    at_risk = np.full(len(risk), 1e6)
    found = fitted(FollowUp(risk, period, at_risk, at_risk * TRUE.hazard(risk, period)), 0.08)
    asked = np.array([0.01, 0.08, 0.4])[:, None], np.arange(1, 20)
    assert found.hazard(*asked) == pytest.approx(TRUE.hazard(*asked), rel=0.002)
    assert found.pace == pytest.approx(TRUE.pace, abs=0.005)


def test_the_last_hazard_carries_on_not_the_last_survival() -> None:
    curves = replace(TRUE, last_period=3)
    hazards = curves.hazard(0.4, np.arange(1, 8))
    assert hazards[0] > hazards[1] > hazards[2] > 0
    assert hazards[2:].tolist() == [hazards[2]] * 5
    assert (np.diff(survival(curves, [0.4], 8)[0]) < 0).all()


def test_without_labels_everybody_has_the_hazard_of_the_population() -> None:
    curves = fitted(NO_LABELS, mean_churn=0.04)
    assert curves.hazard([0.001, 0.04, 0.9], 5) == pytest.approx([0.04] * 3)
    assert curves.hazard_at_renewal(365) == pytest.approx(1 - 0.96 ** (365 / 28))
    assert customer_value(curves, [0.5], [30.0], [0], [0], **TERMS)[0] > 0


def test_few_labels_move_hazards_part_of_the_way() -> None:
    risk, period = np.repeat([0.02, 0.3], 3), np.tile([1, 2, 3], 2)

    def gap(customers: float) -> float:
        at_risk = np.full(6, customers)
        curves = fitted(FollowUp(risk, period, at_risk, at_risk * np.repeat([0.02, 0.3], 3)), 0.1)
        return float(np.diff(logit(curves.hazard([0.02, 0.3], 3)))[0])

    whole = float(np.diff(logit([0.02, 0.3]))[0])
    assert 0 < gap(2.0) < 0.5 * whole < gap(50.0) < gap(1e5)
    assert gap(1e5) == pytest.approx(whole, rel=0.01)


def test_rows_that_repeat_a_period_count_once_against_the_prior() -> None:
    probability, left = World().play(np.random.default_rng(3), 300)
    once = followed(probability, left)
    thrice = replace(once, at_risk=3 * once.at_risk, left=3 * once.left)
    assert fitted(thrice, 0.06, repeats=3.0) == fitted(once, 0.06)
    assert fitted(thrice, 0.06) != fitted(once, 0.06)


def test_a_renewal_loses_what_such_customers_lost_per_renewal() -> None:
    renewals = Renewals(np.array([365, 91]), np.array([90.0, 0.0]), np.array([40.0, 0.0]))
    population = FollowUp(np.array([0.1]), np.array([1]), np.array([990.0]), np.array([99.0]))
    curves = fitted(population, mean_churn=0.1, renewals=renewals)
    assert curves.mean_hazard == pytest.approx(0.1)
    expected = (40 + 10 * (1 - 0.9 ** (365 / 28))) / 100
    assert curves.hazard_at_renewal(365) == pytest.approx(expected)
    assert curves.hazard_at_renewal(91) == pytest.approx(1 - 0.9 ** (91 / 28))
    assert curves.hazard_at_renewal(182) == pytest.approx(1 - 0.9 ** (182 / 28))


def test_value_by_hand() -> None:
    """Half a unit a day; periods of 10 days from day 10 to day 35: 10, 10 and the last 5 days."""
    worth = customer_value(
        STEADY,
        churn_probability=[0.4, 0.4, 0.4, 0.4, 0.4],
        monthly_revenue=[30.0, 30.0, 30.0, 30.0, -7.0],
        renewal_interval_days=[0, 100, 100, 100, 0],
        days_to_renewal=[np.nan, 5, 15, 30, np.nan],
        **TERMS,
    )
    monthly = 0.5 * (10 + 10 * 0.8 + 5 * 0.64)
    renews_within_horizon = 0.5 * 25
    renews_in_period_1 = 0.5 * (10 + 0.7 * 10 + 0.7 * 5)
    renews_in_period_3 = 0.5 * 25  # it leaves at the end of what counts
    assert worth == pytest.approx([monthly, renews_within_horizon, renews_in_period_1, renews_in_period_3, 0])


def test_who_would_leave_is_riskier_than_those_of_the_same_score() -> None:
    """Log-odds scatter by ε around one value: what leavers have more of it, by simulation."""
    rng = np.random.default_rng(11)
    for hidden, level in ((0.5, -3.0), (0.5, -1.0), (1.0, -3.0)):
        noise = rng.normal(0.0, np.sqrt(hidden), 400_000)
        leaves = expit(level + noise)
        curves = replace(TRUE, hidden_variance=hidden)
        score = np.array([leaves.mean()])
        shift = curves.centred_of_leavers(score) - curves.centred(score)
        assert shift[0] == pytest.approx((noise * leaves).sum() / leaves.sum(), rel=0.12)


def test_what_is_lost_with_a_leaver_is_valued_at_the_leavers_risk() -> None:
    curves = replace(TRUE, hidden_variance=0.8)
    probability = np.array([0.05, 0.2])
    at_their_risk = expit(logit(probability) + 0.8 * (1 - probability))
    terms, year = ([30.0, 30.0], [0, 0], [0, 0]), TERMS | {"value_horizon_days": 365}
    found = customer_value(curves, probability, *terms, **year)
    assert found == pytest.approx(customer_value(TRUE, at_their_risk, *terms, **year))
    assert (found < customer_value(TRUE, probability, *terms, **year)).all()
    certain = customer_value(curves, [0.0, 1.0], *terms, **year)
    assert certain == pytest.approx(customer_value(TRUE, [0.0, 1.0], *terms, **year))
    bound = ([30.0], [360], [10])
    assert customer_value(curves, [0.2], *bound, **year) == customer_value(TRUE, [0.2], *bound, **year)


def test_the_hidden_variance_follows_the_spread_of_scores() -> None:
    """Log-odds of −3 and −1, three times as many of the first, vary by 0.75; half of all variance is taken as seen."""
    risk, period = expit(np.array([-3.0, -1.0, 5.0])), np.array([1, 1, 2])
    seen = FollowUp(risk, period, np.array([300.0, 100.0, 50.0]), np.array([15.0, 20.0, 10.0]))
    curves = fit_retention_curves(
        seen, NO_RENEWALS, mean_churn=0.1, horizon_days=HORIZON, repeats=1.0, settings=SETTINGS
    )
    assert SETTINGS.seen_share == 0.5
    assert curves.hidden_variance == pytest.approx(0.75)


def test_discounting_applies_at_the_middle_of_each_period() -> None:
    terms = {**TERMS, "value_horizon_days": 30, "annual_discount_rate": 0.1}
    worth = customer_value(STEADY, [0.4], [60.0], [0], [0], **terms)
    assert worth[0] == pytest.approx(10 * 1.1 ** (-15 / 365) + 8 * 1.1 ** (-25 / 365))


def test_a_customer_who_renews_twice_can_leave_twice() -> None:
    curves = replace(STEADY, renewal_hazard={15: 0.5})
    worth = customer_value(curves, [0.1], [60.0], [15], [12], **{**TERMS, "value_horizon_days": 50})
    assert worth[0] == pytest.approx(10 + 5 + 2.5 + 2.5)  # renewals on days 12, 27 and 42


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
    st.sampled_from([1, 3, 7]),
)
def test_value_does_not_depend_on_the_batch(probability: list[float], size: int) -> None:
    def value(some: list[float]) -> list[float]:
        n = len(some)
        return customer_value(TRUE, some, np.full(n, 40.0), np.zeros(n), np.zeros(n), **TERMS).tolist()

    whole = value(probability)
    assert whole == [v for at in range(0, len(probability), size) for v in value(probability[at : at + size])]
    assert all(0 <= each <= 0.5 * 40 / 30 * 35 for each in whole)


@given(st.floats(0.0, 0.98), st.floats(0.001, 0.02))
def test_more_risk_is_never_worth_more_where_slopes_are_positive(probability: float, more: float) -> None:
    low, high = customer_value(TRUE, [probability, probability + more], [9.0, 9.0], [0, 0], [0, 0], **TERMS)
    assert high <= low


def test_the_table_is_read_back_as_it_was_and_shows_observed_beside_fitted() -> None:
    probability, left = World().play(np.random.default_rng(5), 5_000)
    follow_up = followed(probability, left)
    renewals = Renewals(np.array([365]), np.array([40.0]), np.array([8.0]))
    curves = fitted(follow_up, 0.06, renewals)
    table = retention_curves_table(curves, follow_up, renewals)
    assert table.schema == RETENTION_CURVES_SCHEMA
    assert read_retention_curves(table) == curves
    hazards = [row for row in table.to_pylist() if row["quantity"] == "hazard"]
    assert len(hazards) == 10 * FOLLOWED
    assert sum(row["left_in_period"] for row in hazards) == follow_up.left.sum()
    expected = sum(row["fitted"] * row["at_risk"] for row in hazards)
    assert expected == pytest.approx(follow_up.left.sum(), rel=0.01)
    first = [row["observed"] for row in hazards if row["period"] == 1]
    assert np.corrcoef(first, np.arange(10))[0, 1] > 0.7


def test_empty_tables_still_give_parameters() -> None:
    curves = fitted(NO_LABELS, 0.05)
    table = retention_curves_table(curves, NO_LABELS, NO_RENEWALS)
    assert read_retention_curves(table) == curves


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BayesPilotError, match="mean churn rate"):
        fitted(NO_LABELS, mean_churn=0.0)
    more_left = FollowUp(np.array([0.1]), np.array([1]), np.array([3.0]), np.array([4.0]))
    with pytest.raises(BayesPilotError, match=r"more leavers than customers(.|\n)*4\.0"):
        fitted(more_left, mean_churn=0.1)
    with pytest.raises(BayesPilotError, match="days_to_renewal is missing"):
        customer_value(STEADY, [0.1], [1.0], [100], [np.nan], **TERMS)
    table = retention_curves_table(fitted(NO_LABELS, 0.05), NO_LABELS, NO_RENEWALS)
    with pytest.raises(BayesPilotError, match="pace"):
        read_retention_curves(table.filter(pa.compute.not_equal(table["quantity"], "pace")))
