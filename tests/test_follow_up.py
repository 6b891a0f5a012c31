"""What became of customers after the horizon: out of sample, without contact, renewals apart."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import training_data as data

from models_ml.decisions.retention_curves import customer_value, read_retention_curves
from models_ml.decisions.settings import load_settings as load_decision_settings
from models_ml.training.follow_up import CustomerDates, count_renewals, follow, learn_curves
from models_ml.training.schema import read_schema
from models_ml.training.settings import load_settings

SETTINGS = load_decision_settings().retention_curves
SCHEMA = read_schema(data.schema_table().to_pylist())
DAYS = tuple(date(2025, 1, 1) + timedelta(days=29 * number) for number in range(4))


def grid(customers: int, **changes: np.ndarray) -> CustomerDates:
    """Customers who stay, pay every month and are never contacted, over four dates; each has risk 0.2."""
    shape = (customers, len(DAYS))
    values = {
        "is_there": np.ones(shape, bool),
        "churn_probability": np.full(shape, 0.2),
        "has_churned": np.zeros(shape, bool),
        "was_contacted": np.zeros(shape, bool),
        "weight": np.ones(shape),
        "renewal_interval_days": np.zeros(shape, dtype=int),
        "days_to_renewal": np.zeros(shape, dtype=int),
    }
    return CustomerDates(DAYS, **(values | changes))


def periods(found: CustomerDates, horizon_days: int = 28) -> dict[int, tuple[float, float]]:
    follow_up, _ = follow(found, horizon_days, SETTINGS)
    totals = {}
    for period in np.unique(follow_up.period):
        mine = follow_up.period == period
        totals[int(period)] = (float(follow_up.at_risk[mine].sum()), float(follow_up.left[mine].sum()))
    return totals


def test_every_date_starts_a_stretch() -> None:
    assert periods(grid(1)) == {1: (3.0, 0.0), 2: (2.0, 0.0), 3: (1.0, 0.0)}
    assert follow(grid(1), 28, SETTINGS)[1] == pytest.approx(6 / 3)


def test_a_leaver_is_followed_to_the_end_and_a_gap_ends_the_stretch() -> None:
    left = np.array([[False, False, True, False]])
    gone = np.array([[True, True, True, False]])
    assert periods(grid(1, has_churned=left, is_there=gone)) == {1: (2.0, 1.0), 2: (1.0, 1.0)}
    absent = np.array([[True, False, True, True]])
    assert periods(grid(1, is_there=absent)) == {1: (1.0, 0.0)}


def test_contacts_end_a_stretch_and_those_left_alone_by_chance_weigh_more() -> None:
    contacted = np.array([[False, False, True, False], [False, False, False, False]])
    weight = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 10.0, 2.0]])
    found = periods(grid(2, was_contacted=contacted, weight=weight))
    # The second customer: 1→2 weighs 1, 2→3 10, 3→4 20; 1→3 10, 2→4 20; 1→4 20. The first is followed once.
    assert found == {1: (1 + 1 + 10 + 20, 0.0), 2: (10 + 20, 0.0), 3: (20.0, 0.0)}


def test_periods_of_a_stretch_do_not_overlap() -> None:
    # Horizon 60, dates 29 days apart: from the first, the periods begin on day 87 alone, from the second on none.
    leaver = np.array([[False, False, False, True], [False, False, True, True]])
    weight = np.array([[1.0, 10.0, 10.0, 10.0]] * 2)
    follow_up, repeats = follow(grid(2, has_churned=leaver, weight=weight), 60, SETTINGS)
    assert (follow_up.period.tolist(), follow_up.at_risk.tolist()) == ([1], [20.0])
    assert (follow_up.left.tolist(), repeats) == ([20.0], 1.0), (
        "who leaves after day 87 belongs to that period"
    )


def test_a_contact_within_a_period_ends_the_stretch_at_dates_passed_over_too() -> None:
    contacted = np.array([[False, True, False, False], [False, False, True, False]])
    assert periods(grid(2, was_contacted=contacted), 60) == {}
    absent = np.array([[True, False, True, True]])
    assert periods(grid(1, is_there=absent), 60) == {1: (1.0, 0.0)}, "back before the period begins"


@pytest.mark.parametrize(("horizon_days", "step_days"), [(28, 29), (90, 29), (60, 29), (28, 7)])
def test_a_hazard_that_lasts_is_found_whatever_the_distance_of_dates(
    horizon_days: int, step_days: int
) -> None:
    random = np.random.default_rng(9)
    leaves_on = random.geometric(1 - 0.5 ** (1 / 90), 40_000)  # half of those who are there leave in 90 days
    starts = np.arange(0, 400, step_days)
    is_there = leaves_on[:, None] > starts
    shape = is_there.shape
    world = CustomerDates(
        tuple(date(2024, 1, 1) + timedelta(days=int(start)) for start in starts),
        is_there,
        np.full(shape, 0.2),
        is_there & (leaves_on[:, None] <= starts + horizon_days),
        np.zeros(shape, bool),
        np.ones(shape),
        np.zeros(shape, dtype=int),
        np.zeros(shape, dtype=int),
    )
    follow_up, _ = follow(world, horizon_days, SETTINGS)
    expected = 1 - 0.5 ** (horizon_days / 90)
    for period in (1, 2, 3):
        mine = follow_up.period == period
        if mine.any():
            assert follow_up.left[mine].sum() / follow_up.at_risk[mine].sum() == pytest.approx(
                expected, abs=0.03
            )


def test_customers_bound_by_a_bill_are_counted_by_renewal() -> None:
    interval = np.array([[365] * 4, [0] * 4])
    to_renewal = np.array([[60, 31, 2, 338], [0] * 4])
    found = grid(2, renewal_interval_days=interval, days_to_renewal=to_renewal)
    assert counted(found, 28) == ([365], [1.0], [0.0])
    assert counted(found, 90) == ([365], [1.0], [0.0]), "one renewal, seen from three dates"
    assert periods(found)[1] == (3.0, 0.0), "only the other customer is followed by month"


def test_whoever_leaves_is_a_renewal_lost_once() -> None:
    interval = np.array([[365] * 4] * 2)
    to_renewal = np.array([[60, 31, 2, 0], [300, 271, 242, 213]])
    is_there = np.array([[True, True, True, False], [True, True, True, True]])
    left = np.array([[True, True, True, False], [False, True, True, True]])
    found = grid(
        2,
        renewal_interval_days=interval,
        days_to_renewal=to_renewal,
        has_churned=left,
        is_there=is_there,
    )
    # The first leaves when the bill is due, the second, long before it, after the last date.
    assert counted(found, 90) == ([365], [2.0], [2.0])


def counted(found: CustomerDates, horizon_days: int) -> tuple[list[int], list[float], list[float]]:
    renewals = count_renewals(found, horizon_days)
    return renewals.interval_days.tolist(), renewals.renewals.tolist(), renewals.left.tolist()


def persistent_examples(customers: int, seed: int) -> pa.Table:
    """Customers over eight dates of whom half leave with 5 % and half with 20 % in each period, as a feature says."""
    random = np.random.default_rng(seed)
    is_risky = random.random(customers) < 0.5
    hazard = np.where(is_risky, 0.2, 0.05)
    there, parts = np.ones(customers, bool), []
    for number in range(8):
        day = date(2024, 1, 1) + timedelta(days=29 * number)
        rows = data.example_rows(customers, day, seed)
        left = random.random(customers) < hazard
        rows |= {
            "days_since_last_activity": pa.array(np.where(is_risky, 100, 5), pa.int32()),
            "has_churned": left,
            "was_contacted": np.zeros(customers, bool),
            "example_weight": np.ones(customers),
        }
        parts.append(pa.table(rows).filter(pa.array(there)))
        there &= ~left
    return pa.concat_tables(parts)


def test_differences_that_last_are_found_out_of_sample() -> None:
    connection = duckdb.connect()
    connection.register("examples", persistent_examples(4_000, seed=3))
    learned = learn_curves(connection, "from examples", SCHEMA, 28, load_settings(), SETTINGS)
    assert learned.curves.hazard([0.05, 0.2], 3) == pytest.approx([0.05, 0.2], abs=0.03)
    terms = {"margin_rate": 1.0, "value_horizon_days": 112, "annual_discount_rate": 0.0}
    worth = customer_value(learned.curves, [0.05, 0.2], [30.0, 30.0], [0, 0], [0, 0], **terms)
    expected = [28 * (1 + (1 - h) + (1 - h) ** 2) for h in (0.05, 0.2)]
    assert worth == pytest.approx(expected, rel=0.07)
    assert read_retention_curves(learned.table) == learned.curves


def test_too_few_labels_give_all_customers_the_hazard_of_the_population() -> None:
    connection = duckdb.connect()
    one_date = persistent_examples(400, seed=4).slice(0, 400)
    connection.register("examples", one_date)
    learned = learn_curves(connection, "from examples", SCHEMA, 28, load_settings(), SETTINGS)
    mean = float(np.mean(one_date["has_churned"].to_numpy()))
    assert learned.curves.hazard([0.01, 0.5], 2) == pytest.approx([mean, mean], rel=1e-6)
