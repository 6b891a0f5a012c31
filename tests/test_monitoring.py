"""Monitoring: what moved is named by the right report and test, and what did not move stays silent."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.errors import BayesPilotError
from models_ml.monitoring.drift import (
    MEASURED_SCHEMA,
    REFERENCE_SCHEMA,
    measured_rows,
    reference_rows,
)
from models_ml.monitoring.settings import SETTINGS_FILE, limits_table, load_monitoring_settings
from models_ml.reports.monitoring_findings import (
    findings,
    node_seconds,
    read_monitoring,
    results_of_run,
    scores_answer,
)
from models_ml.reports.monitoring_page import contacts, monitoring_page
from models_ml.reports.page import render
from models_ml.training.population import SCORE, FeatureBins, freeze_bins, read_bins, to_rows
from models_ml.training.schema import read_schema

DAY = date(2026, 3, 31)
CHANCE = load_monitoring_settings().limits.chance
FEATURES = (
    ("monthly_fee", "numeric", "DOUBLE", False),
    ("sessions_last_30_days", "numeric", "INTEGER", False),
    ("tickets_last_90_days", "numeric", "INTEGER", False),
    ("satisfaction", "numeric", "DOUBLE", False),
    ("tenure_days", "numeric", "INTEGER", True),
    ("region", "categorical", "VARCHAR", False),
)
SCHEMA_TABLE = pa.Table.from_pylist(
    [
        {"feature": name, "role": role, "data_type": kind, "expected_effect": 0, "ages": ages}
        for name, role, kind, ages in FEATURES
    ]
)
SCHEMA = read_schema(SCHEMA_TABLE.to_pylist())


def population(seed: int, customers: int = 1500) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "monthly_fee": np.round(random.gamma(9, 4.5, customers) + 10, 2),
        "sessions_last_30_days": random.poisson(random.gamma(2, 6, customers)),
        "tickets_last_90_days": random.poisson(0.4, customers),
        "satisfaction": pa.array(random.integers(1, 6, customers) * 1.0, mask=random.random(customers) < 0.6),
        "tenure_days": random.integers(1, 2000, customers),
        "region": random.choice(["north", "south", "east", "west"], customers, p=[0.1, 0.4, 0.3, 0.2]),
    }


class Reports:
    """The compiled SQL of the reports over tables of the test's own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "target" / "compiled" / "bayespilot" / "dbt_project"
        self.connection = duckdb.connect()
        self.connection.execute("attach ':memory:' as demo; use demo; set threads to 1")
        self.put("int_monitoring_limits", limits_table())
        self.put("int_feature_schema", SCHEMA_TABLE)

    def put(self, name: str, table: pa.Table) -> None:
        self.connection.register("incoming", table)
        self.connection.execute(f"create or replace table {name} as select * from incoming")
        self.connection.unregister("incoming")

    def build(self, *models: str) -> None:
        for name in models:
            [file] = self.folder.glob(f"models/*/{name}.sql")
            statement = file.read_text()
            self.connection.execute(f"create or replace table {name} as {statement}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def failing(self, test: str) -> list[tuple[Any, ...]]:
        return self.rows((self.folder / "data_tests" / f"{test}.sql").read_text())

    def freeze(self, bins: list[FeatureBins]) -> None:
        rows = [row | {"pipeline_version": "p1"} for row in reference_rows(bins, CHANCE)]
        self.put("int_reference_bins", pa.Table.from_pylist(rows, schema=REFERENCE_SCHEMA))

    def measure(self, bins: list[FeatureBins], columns: dict[str, Any]) -> None:
        rows = [row | {"as_of_date": DAY} for row in measured_rows(pa.table(columns), bins)]
        self.put("int_measured_bins", pa.Table.from_pylist(rows, schema=MEASURED_SCHEMA))
        self.put("int_run", pa.table({"as_of_date": [DAY]}))
        self.build("rpt_feature_drift")


@pytest.fixture(scope="module")
def reports(built_project: Project) -> Iterator[Reports]:
    made = Reports(built_project.folder)
    yield made
    made.connection.close()


@pytest.fixture(scope="module")
def frozen() -> list[FeatureBins]:
    return frozen_bins(population(1, 3000))


def frozen_bins(columns: dict[str, Any], weight: np.ndarray | None = None) -> list[FeatureBins]:
    table = pa.table(columns)
    weights = np.ones(table.num_rows) if weight is None else weight
    return read_bins(freeze_bins(table, weights, SCHEMA))


def only(bins: list[FeatureBins], feature: str) -> FeatureBins:
    return next(one for one in bins if one.feature == feature)


# ---------------------------------------------------------------- bins


def test_bins_say_what_the_population_looked_like() -> None:
    columns = {
        "monthly_fee": pa.array([float(i) for i in range(100)]),
        "sessions_last_30_days": pa.array([0] * 70 + list(range(1, 31))),
        "tickets_last_90_days": pa.array([0] * 50 + [1] * 30 + [2] * 20),
        "satisfaction": pa.array([None] * 40 + [float("nan")] * 10 + [4.0] * 50),
        "tenure_days": pa.array([7] * 100),
        "region": pa.array([f"r{i % 25:02d}" for i in range(100)]),
    }
    bins = frozen_bins(columns)
    fee = only(bins, "monthly_fee")
    assert fee.shares == (0.1,) * 10 + (0.0,)
    assert (fee.lower_size, fee.median_size, fee.upper_size, fee.sized_rows) == (5.0, 50.0, 95.0, 99)
    sessions = only(bins, "sessions_last_30_days")
    assert sessions.cuts[0] == 0
    assert sessions.shares[0] == 0.7  # a value that fills seven tenths has one bin of its own
    assert only(bins, "tickets_last_90_days").cuts == (0.0, 1.0, 2.0)
    assert only(bins, "tickets_last_90_days").shares == (0.5, 0.3, 0.2, 0.0, 0.0)
    assert only(bins, "satisfaction").shares == (0.5, 0.0, 0.5)
    region = only(bins, "region")
    assert len(region.cuts) == 20
    assert region.shares[-2:] == (0.2, 0.0)
    assert region.labels[-2:] == ("other", "missing")


def test_a_row_counts_as_often_as_its_weight_says() -> None:
    columns = population(1, 4) | {"region": ["north", "south", "south", "south"]}
    region = only(frozen_bins(columns, np.array([3.0, 1.0, 1.0, 1.0])), "region")
    assert region.shares == (0.5, 0.5, 0.0, 0.0)
    assert region.rows == 3.0  # (3 + 1 + 1 + 1)² / (9 + 1 + 1 + 1)


def test_bins_survive_json_and_hold_the_scores() -> None:
    probability = np.linspace(0, 1, 1500)
    plain = freeze_bins(pa.table(population(1)), np.ones(1500), SCHEMA, churn_probability=probability)
    assert to_rows(read_bins(json.loads(json.dumps(plain)))) == plain
    assert [row["feature"] for row in plain] == [*SCHEMA.names, SCORE]
    assert max(read_bins(plain)[-1].shares) == pytest.approx(0.1, abs=0.001)


def test_scores_on_steps_lie_in_the_bins_that_they_were_cut_into() -> None:
    steps = np.sort(np.random.default_rng(3).random(12))  # as isotonic regression has them
    probability = np.repeat(steps, 125)
    frozen = read_bins(
        freeze_bins(pa.table(population(1)), np.ones(1500), SCHEMA, churn_probability=probability)
    )
    score = only(frozen, SCORE)
    stored = np.bincount(score.assign(pa.array(np.round(probability, 9))), minlength=score.bin_count) / 1500
    assert stored == pytest.approx(np.array(score.shares), abs=1e-9)


def test_every_value_has_exactly_one_bin(frozen: list[FeatureBins]) -> None:
    columns = population(2) | {
        "monthly_fee": pa.array([-5.0, 1e9, None, float("nan")] * 375),
        "tickets_last_90_days": pa.array([None, 99, -1, 0] * 375),
        "region": pa.array(["north", None, "moon", ""] * 375),
    }
    table = pa.table(columns)
    for one in frozen:
        position = one.assign(table[one.feature])
        assert position.min() >= 0, one.feature
        assert position.max() < one.bin_count, one.feature
    assert only(frozen, "region").assign(pa.array(["moon", None])).tolist() == [4, 5]
    assert only(frozen, "monthly_fee").assign(pa.array([-5.0, 1e9, None])).tolist() == [0, 9, 10]


def test_no_rows_cannot_be_frozen() -> None:
    with pytest.raises(BayesPilotError, match="one positive weight per row"):
        freeze_bins(pa.table(population(1)).slice(0, 0), np.ones(0), SCHEMA)


def test_settings_are_refused_by_name(tmp_path: Path) -> None:
    text = SETTINGS_FILE.read_text()
    broken = tmp_path / "settings.toml"
    broken.write_text(text.replace("psi_warn", "psi_worn"))
    with pytest.raises(BayesPilotError, match=r"limits\.psi_warn is missing, limits\.psi_worn is unknown"):
        load_monitoring_settings(broken)
    broken.write_text(text.replace("psi_alert = 0.25", "psi_alert = -1"))
    with pytest.raises(BayesPilotError, match=r"psi_alert = -1: input should be greater than 0"):
        load_monitoring_settings(broken)
    broken.write_text(text.replace("chance = 0.000_01", "chance = 5"))  # per cent
    with pytest.raises(BayesPilotError, match=r"chance = 5: input should be less than or equal to 1"):
        load_monitoring_settings(broken)


# ---------------------------------------------------------------- the index


def bins_with(shares: list[float], rows: float = 1000) -> FeatureBins:
    cuts = tuple(float(i) for i in range(len(shares) - 2))
    return FeatureBins("monthly_fee", "numeric", "values", cuts, tuple(shares), rows, 1.0, 1.0, 1.0, 100, ())


def index_of(
    reports: Reports, shares: list[float], counts: list[int], rows: float = 1000
) -> tuple[float, float]:
    one = bins_with(shares, rows)
    reports.freeze([one])
    measured = [
        {"as_of_date": DAY, "feature": one.feature, "slice": "all", "bin_position": place, "customers": count}
        | {"median_size": 1.0, "sized_customers": 100, "new_values": None}
        for place, count in enumerate(counts)
    ]
    reports.put("int_measured_bins", pa.Table.from_pylist(measured, schema=MEASURED_SCHEMA))
    reports.build("rpt_feature_drift")
    return reports.rows("select psi, psi_by_chance from rpt_feature_drift")[0]


def test_index_as_worked_by_hand(reports: Reports) -> None:
    psi, by_chance = index_of(reports, [0.5, 0.3, 0.2, 0.0, 0.0], [400, 400, 200, 0, 0])
    assert psi == pytest.approx(-0.1 * math.log(0.8) + 0.1 * math.log(4 / 3), abs=1e-8)
    # chi-squared with 4 degrees of freedom leaves 0.00001 above 28.473
    assert by_chance == pytest.approx(28.473 * (1 / 1000 + 1 / 1000), abs=1e-5)


def test_an_empty_bin_counts_as_one_row(reports: Reports) -> None:
    psi, _ = index_of(reports, [1.0, 0.0, 0.0], [90, 10, 0], rows=100)
    assert psi == pytest.approx(-0.1 * math.log(0.9) + 0.09 * math.log(10), abs=1e-8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=3, max_size=12).filter(
        lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
    )
)
def test_index_is_never_negative_and_zero_for_the_same_shares(
    reports: Reports, counts: list[tuple[int, int]]
) -> None:
    then = [a for a, _ in counts]
    now = [b for _, b in counts]
    shares = [a / sum(then) for a in then]
    assert index_of(reports, shares, now)[0] >= 0
    assert index_of(reports, shares, [7 * a for a in then])[0] == 0


# ---------------------------------------------------------------- drift, planted and absent


def test_twenty_months_without_drift_stay_silent(reports: Reports, frozen: list[FeatureBins]) -> None:
    reports.freeze(frozen)
    for month in range(20):
        reports.measure(frozen, population(100 + month, 400 + 100 * month))
        assert reports.rows("select * from rpt_feature_drift where status not in ('ok', 'exempt')") == []
        for test in DRIFT_TESTS:
            assert reports.failing(test) == [], (month, test)


DRIFT_TESTS = (
    "rpt_feature_drift__nothing_moved_far",
    "rpt_feature_drift__no_new_category",
    "rpt_feature_drift__no_jump_in_missing_values",
    "rpt_feature_drift__no_changed_unit",
)


def planted(name: str) -> dict[str, Any]:
    columns = population(50)
    random = np.random.default_rng(5)
    if name == "one region's prices":
        columns["monthly_fee"] = columns["monthly_fee"] * np.where(columns["region"] == "north", 1.6, 1.0)
    if name == "unit":
        columns["sessions_last_30_days"] = columns["sessions_last_30_days"] * 100
    if name == "smaller unit":
        columns["monthly_fee"] = columns["monthly_fee"] / 100
    if name == "new category":
        columns["region"] = np.where(random.random(1500) < 0.02, "centre", columns["region"])
    if name == "missing values":
        columns["monthly_fee"] = pa.array(columns["monthly_fee"], mask=random.random(1500) < 0.08)
    if name == "ageing":
        columns["tenure_days"] = columns["tenure_days"] + 800
    return columns


@pytest.mark.parametrize(
    ("drift", "expected", "failing"),
    [
        ("nothing", [], []),
        (
            "one region's prices",
            [("monthly_fee", "region = north", "alert")],
            ["rpt_feature_drift__nothing_moved_far"],
        ),
        ("unit", [("sessions_last_30_days", "all", "error")], ["rpt_feature_drift__no_changed_unit"]),
        ("smaller unit", [("monthly_fee", "all", "error")], ["rpt_feature_drift__no_changed_unit"]),
        ("new category", [("region", "all", "warn")], ["rpt_feature_drift__no_new_category"]),
        (
            "missing values",
            [("monthly_fee", "all", "error")],
            ["rpt_feature_drift__no_jump_in_missing_values"],
        ),
        ("ageing", [], []),
    ],
)
def test_planted_drift_is_named(
    reports: Reports,
    frozen: list[FeatureBins],
    drift: str,
    expected: list[tuple[str, str, str]],
    failing: list[str],
) -> None:
    reports.freeze(frozen)
    reports.measure(frozen, planted(drift))
    named = reports.rows(
        "select feature, slice, status from rpt_feature_drift where status not in ('ok', 'exempt') order by all"
    )
    assert named == expected
    found = {test: reports.failing(test) for test in DRIFT_TESTS}
    errors_and_asked = {test for test in found if found[test] and (test in failing or "no_" in test)}
    assert errors_and_asked == set(failing)
    for test in failing:
        assert found[test][0][0] == expected[0][0]
    if drift == "new category":
        assert found[failing[0]][0][2].startswith("centre (")


# ---------------------------------------------------------------- feeds


def feed(
    reports: Reports, days_ago: list[int], as_of_date: date = DAY, known_until: int | None = None
) -> tuple[Any, ...]:
    """Return a feed's row; ``known_until`` says how many days ago earlier runs last saw it deliver."""
    tables = {
        "customers": "signed_up_on date",
        "subscriptions": "started_on date",
        "payments": "due_on date, paid_on date",
        "support_tickets": "opened_at timestamp",
        "retention_contacts": "contacted_on date",
    }
    for name, columns in tables.items():
        reports.connection.execute(
            f"create or replace table int_checked_{name} ({columns}, quarantine_reason varchar)"
        )
    reports.connection.execute(
        "create or replace table int_activity_days"
        " (occurred_on date, activity_type varchar, events bigint, quarantine_reason varchar)"
    )
    times = [as_of_date - timedelta(days=ago) for ago in days_ago]
    reports.connection.execute(
        "insert into int_activity_days select day, 'login', count(*), null"
        " from (select unnest(?::date[]) as day) group by day",
        [times],
    )
    # Rows that are set aside do not make a feed fresh.
    reports.connection.execute(
        "insert into int_activity_days values (?, null, 1, 'unknown_customer')", [as_of_date]
    )
    reports.put("int_run", pa.table({"as_of_date": [as_of_date]}))
    latest = [] if known_until is None else [as_of_date - timedelta(days=known_until)]
    known = {"as_of_date": [as_of_date] * len(latest), "feed": ["activity: login"] * len(latest)}
    schema = pa.schema({"as_of_date": pa.date32(), "feed": pa.string(), "latest_event_on": pa.date32()})
    reports.put("int_known_feeds", pa.table(known | {"latest_event_on": latest}, schema=schema))
    reports.build("int_feed_days", "rpt_feed_freshness", "int_feed_problems")
    return reports.rows("select feed, silent_days, longest_gap_days, status from rpt_feed_freshness")[0]


def test_a_feed_is_judged_by_its_own_gaps(reports: Reports) -> None:
    daily = list(range(100))
    assert feed(reports, daily) == ("activity: login", 0, 1, "ok")
    assert feed(reports, daily[7:]) == ("activity: login", 7, 1, "ok")
    assert feed(reports, daily[8:]) == ("activity: login", 8, 1, "stopped")
    assert reports.rows("select subject, problem, description from int_feed_problems") == [
        (
            "activity: login",
            "stopped",
            f"feed activity: login has stopped: no valid row since {DAY - timedelta(days=8)}, for 8 days (longest gap before: 1)",
        )
    ]
    weekly = list(range(0, 390, 7))
    assert feed(reports, weekly[3:]) == ("activity: login", 21, 7, "ok")
    assert feed(reports, weekly[4:]) == ("activity: login", 28, 7, "stopped")
    assert feed(reports, daily[8:24])[-1] == "too_new"


def test_a_feed_that_was_known_does_not_become_new(reports: Reports) -> None:
    assert feed(reports, list(range(8, 24)), known_until=1) == ("activity: login", 8, 1, "stopped")
    assert feed(reports, [400], known_until=40) == ("activity: login", 40, None, "stopped")
    assert feed(reports, [400], known_until=1) == ("activity: login", 1, None, "stopped")
    assert reports.rows("select description from int_feed_problems") == [
        (
            "feed activity: login has stopped: no valid row is left,"
            f" where an earlier run knew rows up to {DAY - timedelta(days=1)}",
        )
    ]
    assert feed(reports, list(range(60)), known_until=1) == ("activity: login", 0, 1, "ok")


def test_a_known_feed_does_not_stop_as_its_oldest_days_leave_the_window(reports: Reports) -> None:
    every_20_days = list(range(1, 400, 20))
    assert feed(reports, every_20_days[:20]) == ("activity: login", 1, 20, "ok")
    assert feed(reports, every_20_days[:19]) == ("activity: login", 1, 20, "too_new")
    assert feed(reports, every_20_days[:19], known_until=1) == ("activity: login", 1, 20, "ok")
    assert reports.rows("select * from int_feed_problems") == []
    silent = [ago + 60 for ago in every_20_days[:16]]
    assert feed(reports, silent, known_until=61) == ("activity: login", 61, 20, "stopped")


def test_events_after_the_run_do_not_make_a_feed_fresh(reports: Reports) -> None:
    assert feed(reports, [-3, -2, *range(30, 100)])[-1] == "stopped"


def test_a_feed_that_delivers_far_less_is_thin(reports: Reports) -> None:
    assert feed(reports, [*range(0, 28, 5), *[d for d in range(28, 300) for _ in (1, 2)]])[-1] == "thin"
    assert reports.failing("rpt_feed_freshness__no_thin_feed")[0][:2] == ("activity: login", "thin")


def volumes(last_week: int, earlier: dict[int, int] | None = None, usual: int = 40) -> list[int]:
    """Return days of events: ``usual`` a day for 300 days, others in the last week and on stated days."""
    per_day = dict.fromkeys(range(300), usual) | (earlier or {}) | dict.fromkeys(range(7), last_week)
    return [day for day, events in per_day.items() for _ in range(events)]


@pytest.mark.parametrize(
    ("days_ago", "status"),
    [
        (volumes(40), "ok"),
        (volumes(27), "ok"),  # 0.675 of the usual week
        (volumes(26), "fallen"),
        (volumes(60), "ok"),
        (volumes(61), "risen"),
        # The feed has been there before: half of the usual week in the same year is within its own range.
        (volumes(20, dict.fromkeys(range(150, 157), 20)), "ok"),
        (volumes(15, dict.fromkeys(range(150, 157), 20)), "fallen"),
        (volumes(80, dict.fromkeys(range(150, 157), 80)), "ok"),
        # Chance: with two events a day, 7 where 14 are usual says nothing; at 12 a day half does.
        (volumes(1, usual=2), "ok"),
        (volumes(6, usual=12), "ok"),
        (volumes(6, usual=20), "fallen"),
    ],
)
def test_a_week_is_judged_by_its_feeds_own_year_and_by_chance(
    reports: Reports, days_ago: list[int], status: str
) -> None:
    assert feed(reports, days_ago)[-1] == status


def test_a_feed_younger_than_nine_weeks_and_four_is_not_judged_by_the_week(reports: Reports) -> None:
    young = [day for day in volumes(20) if day < 96]
    assert feed(reports, young)[-1] == "ok"
    assert feed(reports, [day for day in volumes(20) if day < 97])[-1] == "fallen"


# ---------------------------------------------------------------- expected performance, calibration, advice


def expected_auc(reports: Reports, probability: Sequence[float], judged_auc: float = 0.8) -> float | None:
    reports.put(
        "churn_scores",
        pa.table({"as_of_date": [DAY] * len(probability), "churn_probability": list(probability)}),
    )
    reports.put("deployed_pipeline", pa.table({"pipeline_version": ["p1"], "judged_auc": [judged_auc]}))
    reports.put(
        "policy_runs",
        pa.table({"as_of_date": [DAY], "planned_value": [9.0], "planned_spend": [3.0], "currency": ["EUR"]}),
    )
    reports.build("rpt_expected_performance")
    return reports.rows("select expected_auc from rpt_expected_performance")[0][0]


def test_expected_auc_by_hand(reports: Reports) -> None:
    # One of the two leaves, the other stays: 0.8 * 0.8 in the right order, 0.2 * 0.2 in the wrong one.
    assert expected_auc(reports, [0.2, 0.8]) == pytest.approx(0.64 / 0.68, abs=1e-6)
    assert expected_auc(reports, [0.3, 0.3, 0.3]) == 0.5
    assert expected_auc(reports, [0.0, 1.0, 1.0]) == 1.0
    assert expected_auc(reports, [0.0, 0.0]) is None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 99), min_size=2, max_size=25))
def test_expected_auc_equals_the_sum_over_pairs(reports: Reports, per_cent: list[int]) -> None:
    p = np.array(per_cent) / 100
    pairs = p[:, None] * (1 - p[None, :])
    np.fill_diagonal(pairs, 0)
    order = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    assert expected_auc(reports, p.tolist()) == pytest.approx((pairs * order).sum() / pairs.sum(), abs=2e-6)


def calibrated(reports: Reports, churners: int, customers: int, probability: float) -> None:
    count = range(customers)
    outcomes = {
        "outcome_month": [date(2026, 2, 1)] * customers,
        "customer_id": [str(i) for i in count],
        "pipeline_version": ["p1"] * customers,
        "risk_tier": ["monitor"] * customers,
        "churn_probability": [probability] * customers,
        "has_churned": [i < churners for i in count],
        "left_alone_weight": [1.0] * customers,
    }
    contacted = {name: values[:1] for name, values in outcomes.items()} | {"left_alone_weight": [0.0]}
    table = pa.concat_tables([pa.table(outcomes), pa.table(contacted)])
    reports.put("int_customer_months", table)
    customers = {"customer_id": ["0"], "segment": ["small"], "quarantine_reason": pa.nulls(1, pa.string())}
    reports.put("int_checked_customers", pa.table(customers))
    reports.put("int_open_outcomes", pa.table({"open_from": [date(2026, 2, 1)]}))
    reports.build("int_calibration_sums", "rpt_calibration")


def test_calibration_by_hand(reports: Reports) -> None:
    calibrated(reports, 20, 200, 0.1)
    rows = reports.rows(
        "select breakdown, group_name, customers, churners, predicted_churn, observed_churn, status"
        " from rpt_calibration order by all"
    )
    assert rows[0] == ("all", "all", 200, 20, 0.1, 0.1, "ok")
    assert {(row[0], row[1], row[2]) for row in rows[1:]} == {
        ("pipeline", "p1", 200),
        ("risk_tier", "monitor", 200),
        ("segment", "small", 1),
        ("segment", "unknown", 199),
    }
    lower, upper = reports.rows(
        "select observed_lower, observed_upper from rpt_calibration where breakdown = 'all'"
    )[0]
    wilson = binomtest(20, 200).proportion_ci(method="wilson")
    assert (lower, upper) == (pytest.approx(wilson.low, abs=1e-5), pytest.approx(wilson.high, abs=1e-5))


def test_a_pipeline_is_judged_over_all_its_months(reports: Reports) -> None:
    calibrated(reports, 20, 200, 0.1)
    kept = "select * replace (date '2025-12-01' as outcome_month) from int_calibration_sums"
    reports.connection.execute(f"insert into int_calibration_sums {kept}")
    reports.build("rpt_calibration")
    listed = reports.rows(
        "select outcome_month, customers, churners from rpt_calibration where breakdown = 'pipeline'"
    )
    assert listed == [(date(2026, 2, 1), 400, 40)]
    months = reports.rows(
        "select outcome_month, customers from rpt_calibration where breakdown = 'all' order by 1"
    )
    assert months == [(date(2025, 12, 1), 200), (date(2026, 2, 1), 200)]


@pytest.mark.parametrize(
    ("churners", "status", "reasons"),
    [
        (20, "ok", []),
        (40, "too_low", ["probabilities are too low"]),
        (3, "too_high", ["probabilities are too high"]),
    ],
)
def test_wrong_probabilities_ask_for_a_retraining(
    reports: Reports, frozen: list[FeatureBins], churners: int, status: str, reasons: list[str]
) -> None:
    calibrated(reports, churners, 200, 0.1)
    statuses = reports.rows("select distinct status from rpt_calibration where breakdown = 'all'")
    assert statuses == [(status,)]
    assert advice(reports, frozen) == reasons


def advice(
    reports: Reports,
    frozen: list[FeatureBins],
    *,
    columns: dict[str, Any] | None = None,
    score_status: str = "ok",
    scores: Sequence[float] = (0.1, 0.9),
    judged_auc: float = 0.8,
    judged_churners: int = 1_000,
    calibrated_days_ago: int = 30,
) -> list[str]:
    expected_auc(reports, scores, judged_auc)
    reports.freeze(frozen)
    reports.measure(frozen, columns or population(50))
    deployed = {"pipeline_version": ["p1"], "calibrated_on": [DAY - timedelta(calibrated_days_ago)]}
    reports.put("deployed_pipeline", pa.table(deployed))
    judged = {"pipeline_version": ["p1"], "judged_rows": [10_000], "judged_churners": [judged_churners]}
    reports.put("pipeline_candidates", pa.table(judged))
    reports.connection.execute(
        f"create or replace table rpt_score_drift as"
        f" select as_of_date, 0.3 as psi, '{score_status}' as status from int_run"
    )
    reports.build("rpt_retraining_advice")
    reasons = [row[0] for row in reports.rows("select reason from rpt_retraining_advice order by 1")]
    assert len(reports.failing("rpt_retraining_advice__none")) == len(reasons)
    steps = {row[0] for row in reports.rows("select next_step from rpt_retraining_advice")}
    assert steps <= {"bayespilot run --source demo --vars '{retrain: true}'"}
    return reasons


def test_each_reason_to_retrain_is_named(reports: Reports, frozen: list[FeatureBins]) -> None:
    calibrated(reports, 20, 200, 0.1)
    assert advice(reports, frozen, calibrated_days_ago=365) == []
    assert advice(reports, frozen, calibrated_days_ago=366) == ["trained long ago"]
    assert advice(reports, frozen, score_status="warn") == []
    assert advice(reports, frozen, score_status="alert") == ["scores moved"]
    assert advice(reports, frozen, judged_auc=1.0) == []  # 0.81 / 0.82 is expected
    assert advice(reports, frozen, scores=[0.4, 0.6], judged_auc=0.8) == ["ranking expected to be worse"]
    # 0.69 is expected; with 30 leavers, the 95 % interval of the judged AUC reaches down to 0.66
    assert advice(reports, frozen, scores=[0.4, 0.6], judged_auc=0.76, judged_churners=30) == []
    moved = population(50) | {
        name: np.full(1500, 99) for name in ("tickets_last_90_days", "sessions_last_30_days")
    }
    assert advice(reports, frozen, columns=moved) == ["many features moved"]


# ---------------------------------------------------------------- the built project


def test_an_offer_that_a_trial_had_no_room_for_is_not_counted_as_planned(reports: Reports) -> None:
    decisions = [
        ("policy", "call", "call"),
        ("pick_holdout", "no_action", "call"),
        ("trial", "no_action", "call"),  # its limits could not carry it
        ("trial", "nudge", "nudge"),
        ("not_chosen", "no_action", "no_action"),
    ]
    rows = [dict(zip(("arm", "action", "planned_action"), row, strict=True)) for row in decisions]
    history = [row | {"as_of_date": DAY, "suppression_reason": ""} for row in rows]
    reports.put("int_run", pa.table({"as_of_date": [DAY]}))
    reports.put("retention_actions_history", pa.Table.from_pylist(history))
    reports.connection.execute(
        "create or replace table quarantine as select '' as staging_model, '' as quarantine_reason where false;"
        "create or replace table int_table_counts as select as_of_date, 'stg_customers' as staging_model,"
        " 5 as delivered_rows, 5 as valid_rows from int_run"
    )
    reports.build("rpt_run_volume")
    planned = "select item, row_count from rpt_run_volume where measure = 'planned_action' order by item"
    assert reports.rows(planned) == [("call", 2), ("no_action", 2), ("nudge", 1)]


def replant(raw: Path) -> None:
    """Change raw files as a broken delivery and a changing business would."""
    changes = {
        "subscriptions": "* replace (cast(case when customer_id in (select customer_id from '{raw}/customers.parquet'"
        " where region = 'north') then monthly_fee * 1.6 else monthly_fee end as decimal(10, 2)) as monthly_fee)",
        "activity": "* replace (quantity * 100 as quantity)",
        "customers": "* replace (case when cast(customer_id as bigint) % 20 = 0 then 'podcast'"
        " else acquisition_channel end as acquisition_channel)",
        "support_tickets": "*",
    }
    for table, selection in changes.items():
        where = "where opened_at < timestamp '2026-08-20'" if table == "support_tickets" else ""
        file = raw / f"{table}.parquet"
        rows = duckdb.sql(f"select {selection.format(raw=raw)} from '{file}' {where}").to_arrow_table()
        pq.write_table(rows, file)


@pytest.mark.build
def test_planted_drift_fails_the_right_tests_of_a_build(fresh_copy: Project, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(fresh_copy.raw_data or "", raw)
    replant(raw)
    changed = Project(fresh_copy.folder, raw)
    before = changed.query("select count(*) from rpt_feature_drift where slice = 'all'")
    actions = changed.query("select * from retention_actions order by customer_id")
    allowed = ("--vars", "{allow_lost_input: [support tickets]}")
    output = changed.dbt(
        "build",
        *allowed,
        "--exclude-resource-types",
        "unit_test",
        "--exclude",
        "test_type:generic",
        succeeds=False,
    )
    assert changed.query("select * from retention_actions order by customer_id") == actions
    failed = set(re.findall(r"FAIL \d+ (rpt_\w+)", output))
    assert failed == {"rpt_feature_drift__no_changed_unit"}
    assert "Input let pass by allow_lost_input: feed support tickets has stopped" in output
    warned = set(re.findall(r"WARN \d+ (rpt_\w+)", output))
    assert {"rpt_feature_drift__nothing_moved_far", "rpt_feature_drift__no_new_category"} <= warned
    assert changed.query("select count(*) from rpt_feature_drift where slice = 'all'") == before
    units = changed.query("select feature from rpt_feature_drift where has_changed_unit order by 1")
    assert {name for (name,) in units} == {
        f"engagement_quantity_last_{days}_days" for days in (30, 90, 180, 365)
    }
    assert changed.query("select feature from rpt_feature_drift where has_new_category") == [
        ("acquisition_channel",)
    ]
    assert ("region = north",) in changed.query(
        "select slice from rpt_feature_drift where feature = 'monthly_fee'"
    )
    assert changed.query("select feed from rpt_feed_freshness where status = 'stopped'") == [
        ("support tickets",)
    ]
    data = read_monitoring(changed.warehouse(), "demo", changed.folder / "target" / "run_results.json")
    assert scores_answer(data)[0] == "no"
    named = " ".join(finding.what + finding.evidence for finding in findings(data))
    assert all(
        words in named
        for words in ("engagement_quantity", "support tickets has stopped", "podcast", "region = north")
    )
    assert findings(data)[0].urgency == "act"
    assert "support tickets has stopped" in render(monitoring_page(data))


@pytest.mark.build
def test_a_feed_that_vanishes_altogether_has_stopped(fresh_copy: Project, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(fresh_copy.raw_data or "", raw)
    activity = raw / "activity.parquet"
    (gone,) = duckdb.sql(
        f"select activity_type from '{activity}' group by 1 order by count(*) desc, 1 limit 1"
    ).fetchall()[0]
    rows = duckdb.sql(f"select * from '{activity}' where activity_type <> '{gone}'").to_arrow_table()
    pq.write_table(rows, activity)
    changed = Project(fresh_copy.folder, raw)
    selected = ("stg_activity", "int_run", "+rpt_feed_freshness", "int_feed_problems", "rpt_input_problems")
    for _ in range(2):  # running again does not make it forgotten
        changed.dbt("run", "--select", *selected)
        stops = changed.query("select subject, problem from rpt_input_problems where subject like '%: %'")
        assert stops == [(f"activity: {gone}", "stopped")]
    assert changed.query("select feed, event_days from rpt_feed_freshness where status = 'stopped'") == [
        (f"activity: {gone}", 0)
    ]


def test_a_build_without_drift_is_silent_and_logged(built_project: Project) -> None:
    moved = built_project.query(
        "select feature, status from rpt_feature_drift where status in ('alert', 'error')"
    )
    assert moved == []
    assert built_project.query("select * from rpt_feed_freshness where status in ('stopped', 'thin')") == []
    assert built_project.query("select * from rpt_retraining_advice") == []
    features = built_project.query("select count(*) from int_feature_schema")[0][0]
    assert built_project.query("select count(*) from rpt_feature_drift where slice = 'all'") == [(features,)]
    total = built_project.query(
        "select sum(share), sum(expected_share), sum(customers) from rpt_score_drift"
    )[0]
    customers = built_project.query("select count(*) from churn_scores")[0][0]
    assert total == (pytest.approx(1), pytest.approx(1), customers)
    volume = built_project.query("select sum(row_count) from rpt_run_volume where measure = 'arm'")
    assert volume == [(customers,)]


@pytest.mark.build
def test_actions_that_are_never_executed_are_shown_and_found(built_project: Project) -> None:
    data = read_monitoring(
        built_project.warehouse(), "demo", built_project.folder / "target/run_results.json"
    )
    month, statuses = date(2026, 9, 1), ("before_first_run", "executed", "executed_late", "not_executed")
    for missed, is_asked in ((6, True), (5, False)):
        counts = zip(statuses, (40, 9, 1, missed), strict=True)
        rows = [
            {"month": month, "contact_status": status, "contacts": count, "realised_cost": 2.0}
            for status, count in counts
        ]
        told = replace(data, contacts=rows)
        asked = [one for one in findings(told) if one.what == "Many actions are never executed"]
        assert [one.evidence.split(";")[0] for one in asked] == ["6 of 16 in 2026-09"] * is_asked
        assert contacts(told).rows == [("2026-09", "9", "1", "0", f"{missed}", "6.00")]


def test_the_report_is_written_from_the_shell(
    built_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(built_project.folder))
    monkeypatch.delenv("RETENTION_DB", raising=False)
    finished = CliRunner().invoke(app, ["report"])
    assert finished.exit_code == 0, finished.output
    page = (built_project.folder / "reports" / "demo" / "monitoring.html").read_text()
    for question in ("Are the scores still right?", "Is the programme earning?", "What needs a person?"):
        assert question in page
    missing = CliRunner().invoke(app, ["report", "--source", "nowhere"])
    assert missing.exit_code == 1
    assert "there is no warehouse yet" in missing.output
    assert "bayespilot run --source nowhere" in missing.output


def test_seconds_are_those_of_models_and_seeds_slowest_first() -> None:
    results = [
        {"unique_id": "model.bayespilot.quick", "execution_time": 0.5},
        {"unique_id": "test.bayespilot.not_null", "execution_time": 9.0},
        {"unique_id": "model.bayespilot.slow", "execution_time": 2.5},
    ]
    assert node_seconds(results) == [("slow", 2.5), ("quick", 0.5)]
    assert node_seconds(None) == []


def test_results_of_dbt_are_read_only_where_they_are_of_the_build_of_this_run(tmp_path: Path) -> None:
    file = tmp_path / "run_results.json"
    assert results_of_run(file, "run-1") is None
    nodes = [{"unique_id": "test.bayespilot.not_null", "status": "fail"}]
    for command, invocation, finished, is_read in (
        ("build", "run-1", "run-1", True),
        ("build", "run-of-another-source", "run-1", False),
        ("generate", "run-1", "run-1", False),
        ("test", "later", "run-1", False),
        ("build", "run-1", None, False),
    ):
        said = {"metadata": {"invocation_id": invocation}, "args": {"which": command}, "results": nodes}
        file.write_text(json.dumps(said))
        assert results_of_run(file, finished) == (nodes if is_read else None)
    for broken in ("{", "{}"):
        file.write_text(broken)
        assert results_of_run(file, "run-1") is None


def test_a_warehouse_without_the_reports_says_what_to_run(tmp_path: Path) -> None:
    warehouse = tmp_path / "demo.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create table churn_scores (x int)")
    with pytest.raises(BayesPilotError, match=r"(?s)lacks a table.*rpt_.*next: "):
        read_monitoring(warehouse, "demo", tmp_path / "none.json")
