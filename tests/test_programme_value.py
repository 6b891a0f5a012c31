"""What the programme earned: three figures, intervals at every look, verdicts, and the log of finished months."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programme_value_study import (
    FIGURES,
    NOTHING,
    WORKING,
    World,
    app,
    baseline_ratio,
    figures_of,
    play,
    read_programme,
    study,
)
from typer.testing import CliRunner

from models_ml.errors import BayesPilotError
from models_ml.evaluation import Estimate, Evidence, at_every_look, months_needed, verdict
from models_ml.evaluation.contrasts import Moments, contrast_of_moments
from models_ml.evaluation.intervals import NARROWEST, boundary, planned_information
from models_ml.evaluation.policy_value_table import POLICY_VALUE_SCHEMA, finalise_months, policy_value_table
from models_ml.evaluation.programme_value import (
    DOUBLY_ROBUST,
    PICK_HOLDOUT,
    UNIVERSAL_HOLDOUT,
    Enrolled,
    Episodes,
    Figure,
    doubly_robust,
    has_matured,
    pick_holdout,
    universal_holdout,
)

ENOUGH = Evidence(900, 100, 60, 20, 0)


def estimate(value: float, error: float = 1.0) -> Estimate:
    return Estimate(value, error, value - 2.0 * error, value + 2.0 * error, 60.0)


def episodes(
    left_alone: list[int], left: list[int], *, held: float, value: float, cost: float, **changes: Any
) -> Episodes:
    """Return episodes of one customer each, all worth the same."""
    alone, gone = np.array(left_alone, dtype=bool), np.array(left, dtype=bool)
    count = len(alone)
    columns = {
        "customer_id": np.arange(count),
        "is_chosen": np.ones(count, dtype=bool),
        "is_left_alone": alone,
        "propensity_no_action": np.full(count, held),
        "realised": np.where(alone, 0.0, -cost),
        "to_come": np.where(gone, 0.0, value),
        "at_opening": np.full(count, value),
        "predicted_left_alone": np.zeros(count),
        "has_left": gone,
        "is_contaminated": np.zeros(count, dtype=bool),
    }
    return Episodes(**(columns | changes))


# ---- intervals at every look


def test_boundary_by_hand() -> None:
    assert boundary(1.0) == pytest.approx(np.sqrt(2 * (np.log(2) + 2 * np.log(20))))
    assert boundary(NARROWEST) / 1.959964 == pytest.approx(1.5485, abs=1e-4)
    narrowest = min(np.arange(1.0, 40.0, 0.1), key=lambda x: boundary(x))
    assert narrowest == pytest.approx(NARROWEST, abs=0.5)


@pytest.mark.parametrize("growing", [True, False])
def test_a_random_walk_hardly_ever_leaves_the_boundary(growing: bool) -> None:
    """Means of a growing sample, and sums over a fixed one: a walk read every month for ten years."""
    random = np.random.default_rng(1)
    steps = np.arange(1, 121)
    walk = np.abs(random.normal(size=(4000, 120)).cumsum(axis=1)) / np.sqrt(steps)
    limits = np.array([boundary(NARROWEST * (step if growing else 144 / step) / 12) for step in steps])
    assert 0.01 < (walk > limits).any(axis=1).mean() <= 0.05
    assert (walk > 1.96).any(axis=1).mean() > 0.3


def test_interval_carries_the_uncertainty_of_the_standard_error() -> None:
    few = Estimate(0.0, 1.0, -4.0, 4.0, 2.9)
    many = Estimate(0.0, 1.0, -1.96, 1.96, 1e9)
    wide, narrow = (at_every_look(found, 6.0, 12.0).high for found in (few, many))
    assert wide / narrow == pytest.approx(4.0 / 1.96)
    assert narrow == pytest.approx(boundary(NARROWEST / 2), rel=1e-4)


@pytest.mark.parametrize(("information", "months"), [(0.0, 3), (np.inf, 3), (2.0, 0)])
def test_no_plan_without_information(information: float, months: int) -> None:
    with pytest.raises(BayesPilotError, match="no plan without information"):
        planned_information(information, months)


def test_verdicts_need_evidence_in_both_groups() -> None:
    def said(value: float, evidence: Evidence = ENOUGH) -> str:
        return verdict(at_every_look(estimate(value), 12.0, 12.0), evidence)

    assert [said(value) for value in (9.0, -9.0, 2.5)] == ["earns", "loses", "not yet distinguishable"]
    for scarce in (
        replace(ENOUGH, controls=99),
        replace(ENOUGH, treated=99),
        replace(ENOUGH, control_leavers=19),
        replace(ENOUGH, treated_leavers=19),
    ):
        assert said(9.0, scarce) == "too little evidence"
    assert verdict(None, ENOUGH) == "too little evidence"


def test_months_needed_come_from_the_boundary_and_wait_for_the_evidence() -> None:
    look = at_every_look(Estimate(2.0, 1.0, 0.04, 3.96, 1e9), 6.0, 12.0)
    needed = months_needed(look, ENOUGH, 6)
    assert needed is not None
    for total, is_enough in ((6 + needed, True), (5 + needed, False)):
        reached = 2.0 * np.sqrt(total / 6) - boundary(NARROWEST * total / 12)
        assert (reached >= 0.8416) == is_enough
    single_look = 6 * (1.96 / 2.0) ** 2  # what the interval of one look would promise: it stands already
    assert 6 + needed > 3 * single_look
    assert months_needed(at_every_look(estimate(9.0), 6.0, 12.0), ENOUGH, 6) == 0
    assert months_needed(at_every_look(estimate(9.0), 6.0, 12.0), replace(ENOUGH, controls=25), 6) == 18
    assert months_needed(at_every_look(estimate(0.01), 6.0, 12.0), ENOUGH, 6) is None
    assert months_needed(look, replace(ENOUGH, control_leavers=0), 6) is None
    assert months_needed(None, ENOUGH, 6) is None


def test_months_needed_is_what_four_in_five_programmes_take() -> None:
    random, drift = np.random.default_rng(3), 0.5  # standard errors a month
    look = at_every_look(Estimate(drift * 6, np.sqrt(6), 0, 0, 1e9), 6.0, 12.0)
    look = at_every_look(
        replace(look.estimate, low=drift * 6 - 1.96 * 6**0.5, high=drift * 6 + 1.96 * 6**0.5), 6.0, 12.0
    )
    needed = months_needed(look, ENOUGH, 6)
    assert needed is not None
    total = 6 + needed
    walk = (random.normal(drift, 1.0, (20_000, total))).sum(axis=1) / np.sqrt(total)
    assert 0.78 < (walk > boundary(NARROWEST * total / 12)).mean() < 0.86


# ---- moments and contrasts


@settings(max_examples=50)
@given(st.lists(st.floats(-1e4, 1e4), max_size=12), st.lists(st.floats(-1e4, 1e4), max_size=12))
def test_moments_of_parts_are_those_of_the_whole(one: list[float], other: list[float]) -> None:
    merged = Moments.of(np.array(one)).merge(Moments.of(np.array(other)))
    whole = Moments.of(np.array(one + other))
    assert merged.count == whole.count
    for name, power in (("mean", 1), ("square", 2), ("cube", 3), ("fourth", 4)):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-7 * 1e4**power)


def test_contrast_of_moments_has_the_degrees_of_freedom_of_its_customers() -> None:
    """With many customers a side, the plain sums over each customer's share of the error."""
    random = np.random.default_rng(0)
    groups = [np.where(random.random(n) < 0.05, -random.lognormal(5, 0.7, n), 0.0) for n in (9000, 1000)]
    shares = [(g - g.mean()) / np.sqrt(len(g) * (len(g) - 1.0)) for g in groups]
    variance = sum((share**2).sum() for share in shares)
    fourth = sum((share**4).sum() for share in shares)
    found = contrast_of_moments(*map(Moments.of, groups))
    assert found.standard_error**2 == pytest.approx(variance, rel=0.05)
    assert found.degrees_of_freedom == pytest.approx(2 * variance**2 / (fourth - variance**2 / 1e4), rel=0.05)


def test_outcomes_that_are_all_alike_say_nothing_of_their_error() -> None:
    for value in (0.0, 300.1):
        with pytest.raises(BayesPilotError, match="all outcomes of a group are alike"):
            contrast_of_moments(Moments.of(np.full(900, value)), Moments.of(np.full(70, value)))


# ---- the three figures


def enrolled(**changes: Any) -> Enrolled:
    """Return two treated customers and two untouched ones."""
    columns = {
        "is_untouched": np.array([False, False, True, True]),
        "realised": np.array([30.0, 10.0, 20.0, 5.0]),
        "to_come": np.array([80.0, 0.0, 90.0, 0.0]),
        "at_enrolment": np.array([100.0, 60.0, 110.0, 50.0]),
        "has_left": np.array([False, True, False, True]),
        "is_contaminated": np.array([True, False, True, False]),
    }
    return Enrolled(**(columns | changes))


def test_universal_figure_by_hand() -> None:
    figure = universal_holdout(*enrolled().groups())
    assert figure.estimate is not None
    # Treated 30 + 80 − 100 = 10 and 10 − 60 = −50; untouched 20 + 90 − 110 = 0 and 5 − 50 = −45
    assert figure.estimate.value == pytest.approx(-20.0 + 22.5)
    assert figure.realised == pytest.approx(20.0 - 12.5)
    assert figure.to_come == pytest.approx(-40.0 + 35.0)
    assert (figure.units, figure.unit) == (2, "customer")
    assert figure.evidence == Evidence(2, 2, 1, 1, contaminated_controls=1)


def test_parts_of_the_customers_add_up_to_all() -> None:
    *_, month = play(World(600, 3, 0.3, 0.7, 1.0), np.random.default_rng(0))
    rows = month.enrolled
    parts = [Enrolled(**{k: v[i::3] for k, v in vars(rows).items()}).groups() for i in range(3)]
    merged = [parts[0][side].merge(parts[1][side]).merge(parts[2][side]) for side in (0, 1)]
    one, whole = universal_holdout(*merged), universal_holdout(*rows.groups())
    assert one.evidence == whole.evidence
    assert one.realised == pytest.approx(whole.realised)
    assert vars(one.estimate) == pytest.approx(vars(whole.estimate))


def test_a_saved_customer_who_leaves_later_is_charged_once() -> None:
    """Kept in one month, lost in the next: what is left is one month's margin less the contact."""
    left_at_once = enrolled(
        is_untouched=np.array([False, False, True, True]),
        realised=np.array([10.0 - 1.0, 10.0 - 1.0, 0.0, 0.0]),
        to_come=np.zeros(4),
        at_enrolment=np.array([300.0, 310.0, 300.0, 310.0]),
        has_left=np.ones(4, dtype=bool),
    )
    figure = universal_holdout(*left_at_once.groups())
    assert figure.estimate is not None
    assert figure.estimate.value == pytest.approx(9.0)


def test_pick_and_doubly_robust_figures_by_hand() -> None:
    rows = episodes([0, 0, 0, 1, 1], [1, 0, 0, 1, 0], held=0.4, value=100.0, cost=2.0)
    pick = pick_holdout(rows)
    # Contacted −102, −2, −2; left alone −100, 0
    assert pick.estimate is not None
    assert pick.estimate.value == pytest.approx(-106 / 3 + 50)
    assert pick.realised == pytest.approx(-2.0)
    assert pick.to_come == pytest.approx(-106 / 3 + 50 + 2)
    robust = doubly_robust(replace(rows, predicted_left_alone=np.full(5, -30.0)))
    # All as run: mean −206 / 5; nobody contacted: −30 + ((−100 + 30) + (0 + 30)) / 0.4 / 5
    assert robust.estimate is not None
    assert robust.estimate.value == pytest.approx(-206 / 5 - (-30 - 40 / 0.4 / 5))
    assert (pick.evidence, pick.customers) == (Evidence(3, 2, 1, 1, 0), 5)


def test_trial_episodes_count_as_run_and_not_as_chosen() -> None:
    rows = episodes([0, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 0], held=0.5, value=100.0, cost=1.0)
    chosen = np.array([1, 1, 1, 1, 0, 0], dtype=bool)
    with_trial = replace(rows, is_chosen=chosen)
    assert pick_holdout(with_trial) == pick_holdout(rows.where(chosen))
    assert doubly_robust(with_trial).units == 6


def test_a_second_episode_of_a_customer_is_no_second_customer() -> None:
    rows = episodes([0, 0, 1, 1, 1], [0, 1, 0, 1, 1], held=0.5, value=100.0, cost=1.0)
    twice = replace(rows, customer_id=np.array([0, 1, 2, 2, 3]), is_contaminated=np.ones(5, dtype=bool))
    assert pick_holdout(twice).evidence == Evidence(2, 2, 1, 2, contaminated_controls=2)
    assert pick_holdout(twice).units == 5


def test_episodes_count_when_all_of_their_day_have_matured() -> None:
    opened = np.array([10, 11, 12])
    assert has_matured(opened, horizon_days=28, grace_days=0, known_until=39).tolist() == [True, True, False]
    assert has_matured(opened, horizon_days=28, grace_days=2, known_until=40).tolist() == [True, False, False]


@pytest.mark.parametrize("contacted", [9, 90, 900])
@pytest.mark.parametrize("controls", range(11))
@pytest.mark.parametrize("leavers", [0, 1])
def test_small_programmes_get_no_verdict_and_no_error_of_zero(
    contacted: int, controls: int, leavers: int
) -> None:
    """One to ten controls of whom nobody, or one, leaves; and the same among those contacted."""
    alone = [0] * contacted + [1] * controls
    for left in (
        [0] * contacted + [1] * leavers + [0] * controls,
        [1] * leavers + [0] * (contacted + controls),
    ):
        rows = episodes(alone, left[: len(alone)], held=0.1, value=300.0, cost=0.25)
        for figure in (pick_holdout(rows), doubly_robust(rows)):
            assert verdict(figure.look(1, None), figure.evidence) == "too little evidence"
            assert (figure.estimate is None) == (figure.reason != "")
            assert figure.estimate is None or figure.estimate.standard_error > 1e-6


@pytest.mark.parametrize("column", ["realised", "to_come", "at_opening", "predicted_left_alone"])
def test_money_that_is_missing_is_refused(column: str) -> None:
    rows = episodes(
        [0, 0, 1, 1], [0, 1, 1, 0], held=0.5, value=100.0, cost=1.0, **{column: np.array([1.0, np.nan, 2, 3])}
    )
    with pytest.raises(BayesPilotError, match=f"{column} is not a finite number"):
        doubly_robust(rows)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(BayesPilotError, match="not of the same rows"):
        enrolled(realised=np.zeros(3)).groups()


# ---- worlds of known worth


def errors(figures: list[Figure], truth: dict[str, float]) -> dict[str, float]:
    """Return how far each figure lies from a worth, in standard errors."""
    return {
        figure.name: (figure.estimate.value - truth[figure.name]) / figure.estimate.standard_error
        for figure in figures
        if figure.estimate is not None
    }


@pytest.mark.parametrize(
    ("change", "apart"),
    [
        ({"is_postponed": True}, (PICK_HOLDOUT, UNIVERSAL_HOLDOUT)),
        ({"lasting_risk": 0.6}, (UNIVERSAL_HOLDOUT, PICK_HOLDOUT)),
        ({"trial_share": 0.15, "trial_risk": 1.4}, (PICK_HOLDOUT, DOUBLY_ROBUST)),
    ],
    ids=["contacts postpone churn", "contacts work for good", "a trial of a harmful offer"],
)
def test_each_figure_is_right_for_its_own_question(change: dict[str, Any], apart: tuple[str, str]) -> None:
    """Where contacts only postpone, last, or are tried out at a loss, the three questions have other answers."""
    world = replace(World(60_000, 8, 0.3, 0.5, 1.0), **change)
    *_, last = play(world, np.random.default_rng(11))
    figures = figures_of(last, alone=False)
    assert all(abs(error) < 3.5 for error in errors(figures, last.truth).values())
    higher, lower = apart
    assert last.truth[higher] > 1.5 * last.truth[lower]
    of_another = errors(figures, dict.fromkeys(FIGURES, last.truth[higher]))
    assert of_another[lower] < -3.5


def test_value_at_enrolment_makes_the_universal_contrast_precise() -> None:
    assert baseline_ratio(WORKING, programmes=8, seed=1) <= 0.75


def test_false_verdicts_and_coverage_in_a_small_study() -> None:
    size = {"customers": 3000, "months": 14, "holdout": 0.2}
    nothing = study(replace(NOTHING, **size), programmes=40, seed=1)
    working = study(replace(WORKING, **size), programmes=40, seed=1)
    for name in FIGURES:
        assert nothing[name].ever_called <= 0.05
        assert working[name].always_covered >= 0.9  # 40 programmes: two standard errors below 0.95
        assert np.max(working[name].width) <= 1.65
        assert working[name].monthly_covered >= 0.9
        assert abs(working[name].bias(14)) < 3.5
    assert max(readings.ever_left_single for readings in nothing.values()) > 0.1


def test_a_strong_programme_is_called_earning() -> None:
    strong = replace(WORKING, customers=6000, months=12, holdout=0.2, relative_risk=0.2)
    called = read_programme(strong, [5]).is_called
    assert called[FIGURES.index(DOUBLY_ROBUST), -1] == 1.0
    assert not called[:, 0].any()  # one month is too little evidence


def test_study_runs_and_refuses_wrong_shares() -> None:
    runs = CliRunner()
    done = runs.invoke(app, ["--programmes", "2", "--customers", "800", "--months", "12", "--holdout", "0.2"])
    assert "doubly_robust" in done.output
    assert "Targets missed" in done.output
    assert runs.invoke(app, ["--holdout", "0.01"]).exit_code == 2


# ---- the log of finished months


def log_row(**changes: Any) -> dict[str, Any]:
    row = {"method": DOUBLY_ROBUST, "period": "2026-01", "last_month": date(2026, 1, 1), "controls": 40}
    return row | {"value": 12.0, "standard_error": 3.0} | changes


def test_a_month_once_final_is_kept() -> None:
    log = finalise_months([], [log_row()])
    assert (log[0]["revision"], log[0]["revision_reason"]) == (0, None)
    assert finalise_months(log, [log_row(value=12.004)]) == []
    later = finalise_months(log, [log_row(), log_row(period="2026-02", last_month=date(2026, 2, 1))])
    assert [row["period"] for row in later] == ["2026-02"]


def test_a_revision_is_a_new_row_with_its_reason() -> None:
    log = finalise_months([], [log_row()])
    log += finalise_months(log, [log_row(value=10.5, controls=41)])
    assert (log[1]["revision"], log[0]["value"]) == (1, 12.0)
    assert log[1]["revision_reason"].endswith("have changed: controls 40, now 41, value 12.00, now 10.50")
    log += finalise_months(reversed(log), [log_row(value=None, controls=41)])
    assert log[2]["revision"] == 2
    assert "value 10.50, now none" in log[2]["revision_reason"]
    assert finalise_months(log, [log_row(value=None, controls=41)]) == []


# ---- the warehouse's table

WORLD = World(4000, 5, 0.3, 0.7, 1.0)
MONTHS = [date(2026, month, 1) for month in range(1, WORLD.months + 1)]


def cents(money: np.ndarray) -> np.ndarray:
    return np.round(100 * money).astype(np.int64)


def month_tables(
    month: Any, position: int, salt: str = "demo-1", first: int = 0
) -> tuple[pa.Table, pa.Table]:
    """Return the rows of one month as the models below would hold them."""
    now, alone, opened = month.enrolled, month.change, month.opened
    count = len(now.is_untouched)
    shared = {"outcome_month": [MONTHS[position]] * count, "first_month": [MONTHS[first]] * count}
    customers = shared | {
        "customer_id": [f"c{number:05d}" for number in range(count)],
        "assignment": [salt] * count,
        "is_untouched": now.is_untouched,
        "has_left": now.has_left,
        "left_this_month": now.has_left & (alone.at_enrolment > 0),
        "is_contaminated": np.arange(count) % 50 == 0,
        "realised_cents": cents(now.realised),
        "month_realised_cents": cents(alone.realised),
        "to_come_cents": cents(now.to_come),
        "to_come_before_cents": cents(alone.at_enrolment),
        "at_enrolment_cents": cents(now.at_enrolment),
    }
    rows = {
        "outcome_month": [MONTHS[position]] * len(opened.realised),
        "customer_id": [f"c{number:05d}" for number in opened.customer_id],
        "realised_cents": cents(opened.realised),
        "to_come_cents": cents(opened.to_come),
        "at_opening_cents": cents(opened.at_opening),
    }
    rows |= {
        name: getattr(opened, name)
        for name in (
            "is_chosen",
            "is_left_alone",
            "propensity_no_action",
            "has_left",
            "is_contaminated",
            "predicted_left_alone",
        )
    }
    return pa.table(customers), pa.table(rows)


class Warehouse:
    """Tables that grow month by month, and the log that the table function adds to."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.register("empty_log", POLICY_VALUE_SCHEMA.empty_table())
        self.connection.execute("create table log as select * from empty_log")

    def add(self, name: str, rows: pa.Table) -> None:
        self.connection.register("added", rows)
        self.connection.execute(f"create table if not exists {name} as select * from added limit 0")
        self.connection.execute(f"insert into {name} select * from added")

    def night(self, **selects: str) -> list[dict[str, Any]]:
        """Run one night; return what it added to the log."""
        inputs = {name: f"select * from {name}" for name in ("enrolled", "episodes")} | selects
        built = policy_value_table(self.connection.cursor(), earlier="select * from log", **inputs)
        assert built.schema == POLICY_VALUE_SCHEMA
        self.add("log", built)
        return built.to_pylist()


@pytest.fixture(scope="module")
def played() -> list[Any]:
    return list(play(WORLD, np.random.default_rng(4)))


@pytest.fixture(scope="module")
def grown(played: list[Any]) -> tuple[Warehouse, list[list[dict[str, Any]]]]:
    warehouse, nights = Warehouse(), []
    for position, month in enumerate(played):
        for name, rows in zip(("enrolled", "episodes"), month_tables(month, position), strict=True):
            warehouse.add(name, rows)
        nights.append(warehouse.night())
    return warehouse, nights


def test_each_month_adds_its_rows_and_the_totals(grown: tuple[Warehouse, list[list[dict[str, Any]]]]) -> None:
    for month, added in zip(MONTHS, grown[1], strict=True):
        assert [(row["period"], row["method"]) for row in added] == [
            (period, method)
            for period in (month.strftime("%Y-%m"), "all")
            for method in (DOUBLY_ROBUST, PICK_HOLDOUT, UNIVERSAL_HOLDOUT)
        ]
        for row in added:
            assert row["last_month"] == month
            assert row["revision"] == 0
            assert row["estimand"]
            if row["value"] is None:
                assert row["reason"]
                continue
            assert row["value"] == pytest.approx(row["realised_value"] + row["value_to_come"], abs=0.011)
            assert row["value_low"] < row["value"] < row["value_high"]
            if row["period"] == "all":
                assert (row["value_low_every_look"] is None) == (row["verdict"] == "too little evidence")
                assert (row["value_low_every_look"] or -np.inf) < row["value_low"]
                assert row["verdict"] in ("earns", "loses", "not yet distinguishable", "too little evidence")
                assert row["value_per_month"] == pytest.approx(row["value"] / row["months"], abs=0.01)
            else:
                assert row["verdict"] is None
                assert row["value_low_every_look"] is None


def test_a_month_without_episodes_counts_among_the_months(played: list[Any]) -> None:
    warehouse = Warehouse()
    for position in (0, 2):
        for name, rows in zip(
            ("enrolled", "episodes"), month_tables(played[position], position), strict=True
        ):
            warehouse.add(name, rows)
    totals = [row for row in warehouse.night() if row["period"] == "all" and row["last_month"] == MONTHS[2]]
    assert {row["method"] for row in totals} == {DOUBLY_ROBUST, PICK_HOLDOUT, UNIVERSAL_HOLDOUT}
    assert {row["months"] for row in totals} == {3}


def test_totals_are_those_of_the_figures(
    played: list[Any], grown: tuple[Warehouse, list[list[dict[str, Any]]]]
) -> None:
    totals = {row["method"]: row for row in grown[1][-1] if row["period"] == "all"}
    for figure in figures_of(played[-1], alone=False):
        row = totals[figure.name]
        assert figure.estimate is not None
        assert row["value_per_unit"] == pytest.approx(figure.estimate.value, abs=0.02)
        assert row["value"] == pytest.approx(figure.estimate.value * figure.units, rel=0.01, abs=50)
        assert row["controls"] == figure.evidence.controls
        assert row["months"] == WORLD.months
    months = {row["method"]: row for row in grown[1][-1] if row["period"] != "all"}
    for figure in figures_of(played[-1], alone=True):
        assert figure.estimate is not None
        assert months[figure.name]["value_per_unit"] == pytest.approx(figure.estimate.value, abs=0.02)
    assert totals[UNIVERSAL_HOLDOUT]["contaminated_controls"] > 0


def test_the_plan_is_fixed_with_the_first_enough_evidence(
    grown: tuple[Warehouse, list[list[dict[str, Any]]]],
) -> None:
    for method in FIGURES:
        rows = [
            row for night in grown[1] for row in night if row["period"] == "all" and row["method"] == method
        ]
        plans = [row["planned_information"] for row in rows]
        enough = [row["verdict"] != "too little evidence" for row in rows]
        assert True in enough
        first = enough.index(True)
        assert plans[:first] == [None] * first
        assert len(set(plans[first:])) == 1


def test_a_night_without_a_finished_month_reads_nothing_more(
    grown: tuple[Warehouse, list[list[dict[str, Any]]]],
) -> None:
    """The months alone are read: a column that fails when it is read is never reached."""
    fails = "select outcome_month, error('read') as customer_id from {} "
    added = grown[0].night(enrolled=fails.format("enrolled"), episodes=fails.format("episodes"))
    assert added == []


def test_months_at_once_say_the_same_as_month_by_month(
    grown: tuple[Warehouse, list[list[dict[str, Any]]]],
) -> None:
    late = Warehouse()
    for name in ("enrolled", "episodes"):
        rows = grown[0].connection.sql(f"select * from {name} order by hash(customer_id, outcome_month)")
        late.add(name, rows.to_arrow_table())
    assert late.night() == [row for night in grown[1] for row in night]


def test_a_corrected_cost_is_a_revision_of_its_month(played: list[Any]) -> None:
    warehouse = Warehouse()
    for position, month in enumerate(played[:2]):
        for name, rows in zip(("enrolled", "episodes"), month_tables(month, position), strict=True):
            warehouse.add(name, rows)
        if position == 0:
            before = warehouse.night()
            warehouse.connection.execute(
                "update episodes set realised_cents = realised_cents - 5000 where not is_left_alone"
                " and customer_id = (select min(customer_id) from episodes where not is_left_alone)"
            )
    added = warehouse.night()
    revised = [row for row in added if row["revision"] == 1]
    assert {(row["period"], row["method"]) for row in revised} == {
        ("2026-01", PICK_HOLDOUT),
        ("2026-01", DOUBLY_ROBUST),
    }
    assert all("realised_value" in row["revision_reason"] for row in revised)
    kept = warehouse.connection.sql("select * from log where last_month = '2026-01-01' and revision = 0")
    assert kept.to_arrow_table().to_pylist() == before


def test_a_new_salt_begins_a_new_sequence(played: list[Any]) -> None:
    """Customers drawn anew: months are counted from there, and the evidence, too."""
    warehouse = Warehouse()
    _, episodes_of_month = month_tables(played[0], 0)
    warehouse.add("episodes", episodes_of_month)
    for position, month in enumerate(played[:3]):
        warehouse.add("enrolled", month_tables(month, position)[0])
    warehouse.night()
    fresh = next(iter(play(WORLD, np.random.default_rng(8))))
    warehouse.add("enrolled", month_tables(fresh, 3, salt="demo-2", first=3)[0])
    total = next(
        row for row in warehouse.night() if row["period"] == "all" and row["method"] == UNIVERSAL_HOLDOUT
    )
    assert (total["months"], total["assignment"], total["first_month"]) == (1, "demo-2", MONTHS[3])


def test_nothing_matured_and_nobody_left_alone_is_said(played: list[Any]) -> None:
    warehouse = Warehouse()
    customers, rows = month_tables(played[0], 0)
    warehouse.add("enrolled", customers.slice(0, 0))
    warehouse.add("episodes", rows.slice(0, 0))
    assert warehouse.night() == []
    certain = rows.set_column(
        rows.column_names.index("propensity_no_action"), "propensity_no_action", pa.array(np.zeros(len(rows)))
    )
    warehouse.add("episodes", certain)
    for row in warehouse.night():
        assert row["reason"] == "no draw left a customer alone: pick_holdout_share is 0"
        assert row["value"] is None
        assert row["verdict"] == ("too little evidence" if row["period"] == "all" else None)
