"""Champion and challenger: which challengers are promoted, the guardrails, and the target of a rollback."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.deployment.challenge import (
    ContactValues,
    Contest,
    Guardrail,
    Judged,
    Outcomes,
    measure_guardrails,
    perfect_range,
    select_against,
    select_same,
    select_unopposed,
)
from models_ml.deployment.logs import DeploymentEvent, Event, deployed_before
from models_ml.evaluation.profit import probability_better
from models_ml.training.settings import Promotion, load_settings

BOUNDS = load_settings().promotion
BAD = Guardrail("calibration_ratio", 1.3, 0.9, 1.1, passes=False, note="")


def contest(better: float, worse: float, *, refresh: bool = False, stale: bool = False) -> Contest:
    gain = 100.0 if better > worse else -100.0
    return Contest("old-1", gain, better, worse, "as deployed", is_refresh=refresh, is_stale=stale)


class TestSelection:
    @pytest.mark.parametrize(
        ("better", "outcome"), [(0.95, "promoted"), (0.9, "promoted"), (0.89, "kept"), (0.0, "kept")]
    )
    def test_a_better_one_is_promoted_and_a_lucky_one_is_not(self, better: float, outcome: str) -> None:
        selection = select_against("new-1", contest(better, 1 - better), (), BOUNDS)
        assert (selection.outcome, selection.probability_better) == (outcome, better)
        assert selection.champion_version == "old-1"
        assert selection.deploys == (outcome == "promoted")

    @pytest.mark.parametrize("kind", ["refresh", "stale"])
    @pytest.mark.parametrize(
        ("better", "worse", "outcome"),
        [(0.0, 0.0, "promoted"), (0.2, 0.8, "promoted"), (0.1, 0.9, "kept"), (0.95, 0.05, "promoted")],
    )
    def test_a_refresh_and_a_stale_champions_successor_need_only_not_be_worse(
        self, kind: str, better: float, worse: float, outcome: str
    ) -> None:
        one = contest(better, worse, refresh=kind == "refresh", stale=kind == "stale")
        assert select_against("new-1", one, (), BOUNDS).outcome == outcome

    @pytest.mark.parametrize("refresh", [False, True])
    def test_a_failed_guardrail_keeps_the_champion_whatever_is_earned(self, refresh: bool) -> None:
        selection = select_against("new-1", contest(1.0, 0.0, refresh=refresh), (BAD,), BOUNDS)
        assert selection.outcome == "kept"
        assert "guardrails fail: calibration_ratio 1.300" in selection.reason

    def test_without_an_opponent_guardrails_only_warn(self) -> None:
        first = select_unopposed("new-1", None, "", (BAD,))
        forced = select_unopposed("new-1", "old-1", "the champion does not fit any more", (BAD,))
        assert (first.outcome, forced.outcome) == ("first", "forced")
        assert first.deploys
        assert forced.deploys
        assert first.failed == forced.failed == (BAD,)
        assert "in spite of failed guardrails" in first.reason
        assert "does not fit any more" in forced.reason

    def test_the_same_pipeline_again_stays_as_it_is(self) -> None:
        selection = select_same("old-1")
        assert (selection.outcome, selection.version, selection.champion_version) == (
            "kept",
            "old-1",
            "old-1",
        )

    @given(better=st.floats(0, 1), rails=st.lists(st.booleans(), max_size=3), needed=st.floats(0.5, 1))
    def test_a_promotion_is_earned_and_holds_every_guardrail(
        self, better: float, rails: list[bool], needed: float
    ) -> None:
        bounds = replace(BOUNDS, probability_better_at_least=needed)
        guardrails = [replace(BAD, passes=passes) for passes in rails]
        selection = select_against("new-1", contest(better, 1 - better), guardrails, bounds)
        assert selection.deploys == (better >= needed and all(rails))


MANY = Outcomes(np.arange(10**6) % 5 == 0, np.full(10**6, 0.2), np.ones(10**6))  # chance has hardly a say


def judged(customers: int = 4000, factor: float = 1.0, segments: int = 2, seed: int = 0) -> Judged:
    """Customers whose churn the probabilities times 1 / factor describe exactly."""
    random = np.random.default_rng(seed)
    probability = random.uniform(0.05, 0.4, customers)
    segment = np.array([f"s{i % segments}" for i in range(customers)], dtype=object)
    has_churned = random.random(customers) < probability
    observed = has_churned.sum() / probability.sum()
    return Judged(has_churned, np.ones(customers), segment, probability * observed * factor, MANY)


def measured(
    rows: Judged, contacts: ContactValues | None = None, bounds: Promotion = BOUNDS
) -> dict[str, Guardrail]:
    def better(one: np.ndarray, other: np.ndarray, outcome_variance: np.ndarray) -> float:
        variance = float(outcome_variance.sum())
        return probability_better(one, other, bootstraps=200, seed=1, outcome_variance=variance)

    return {rail.name: rail for rail in measure_guardrails(rows, contacts, bounds, better)}


def contacts_of(rows: Judged, challenger: np.ndarray, champion: np.ndarray) -> ContactValues:
    certain = np.zeros(len(challenger))
    return ContactValues(
        challenger, champion, certain, int((challenger != 0).sum()), int((champion != 0).sum())
    )


class TestGuardrails:
    @pytest.mark.parametrize(("factor", "passes"), [(0.88, False), (0.92, True), (1.08, True), (1.12, False)])
    def test_calibration_ratio_stays_near_one(self, factor: float, passes: bool) -> None:
        rail = measured(judged(factor=factor))["calibration_ratio"]
        assert rail.value == pytest.approx(factor)
        assert rail.passes == passes

    @pytest.mark.parametrize(("factor", "passes"), [(0.72, True), (1.4, True), (0.4, False), (2.5, False)])
    def test_what_chance_explains_is_no_failure(self, factor: float, passes: bool) -> None:
        few = judged(customers=300, segments=1, factor=factor)  # about 65 leavers
        few = replace(few, calibrated=few.outcomes(np.ones(300, dtype=bool)))
        rails = measured(few)
        assert rails["calibration_ratio"].passes == passes
        assert rails["segment_calibration"].passes == passes

    def test_right_pipelines_fail_once_in_a_hundred(self) -> None:
        random, failed = np.random.default_rng(6), 0
        for _ in range(400):
            probability = random.uniform(0.05, 0.4, 500)
            then, now = random.random((2, 500)) < probability
            level = then.sum() / probability.sum()  # learned from the calibration date
            calibrated = Outcomes(then, probability * level, np.ones(500))
            segment = np.repeat(np.array(["a", "b"], dtype=object), 250)
            rows = Judged(now, np.ones(500), segment, probability * level, calibrated)
            bounds = replace(BOUNDS, segment_churners_at_least=10)
            failed += not all(rail.passes for rail in measured(rows, bounds=bounds).values())
        assert failed <= 16  # of 400; two guardrails of one in a hundred each, and twice that by chance

    def test_a_row_counts_as_often_as_its_weight_says(self) -> None:
        rows = Judged(np.array([True, False]), np.array([1.0, 9.0]), None, np.array([0.5, 0.1]), MANY)
        assert measured(rows)["calibration_ratio"].value == pytest.approx(0.5 + 9 * 0.1)

    def test_a_segment_that_is_off_shows_though_the_whole_is_not(self) -> None:
        rows = judged()
        assert rows.segment is not None
        is_first = rows.segment == "s0"
        tilted = np.where(is_first, rows.churn_probability * 1.5, rows.churn_probability * 0.5)
        tilted *= rows.has_churned.sum() / tilted.sum()
        found = measured(replace(rows, churn_probability=tilted))
        assert found["calibration_ratio"].passes
        assert not found["segment_calibration"].passes
        assert "s1" in found["segment_calibration"].note  # half is farther from one than one and a half

    def test_small_segments_and_none_at_all_are_no_guardrail(self) -> None:
        rows = judged()
        few = replace(BOUNDS, segment_churners_at_least=10_000)
        assert set(measured(rows, bounds=few)) == {"calibration_ratio"}
        assert set(measured(replace(rows, segment=None))) == {"calibration_ratio"}

    def test_a_missing_segment_is_one_of_its_own(self) -> None:
        rows = judged()
        assert rows.segment is not None
        missing = np.where(rows.segment == "s0", None, rows.segment)
        assert "of 2 with" in measured(replace(rows, segment=missing))["segment_calibration"].note

    @pytest.mark.parametrize(("contacts", "passes"), [(49, False), (50, True), (200, True), (201, False)])
    def test_twice_or_half_as_many_contacts_are_for_a_person_to_decide(
        self, contacts: int, passes: bool
    ) -> None:
        rows = judged()
        new, old = np.zeros(4000), np.zeros(4000)
        new[:contacts], old[:100] = 1.0, 1.0
        assert measured(rows, contacts_of(rows, new, old))["contacts_ratio"].passes == passes

    def test_beside_a_plan_without_contacts_there_is_no_ratio(self) -> None:
        rows = judged()
        rail = measured(rows, contacts_of(rows, np.ones(4000), np.zeros(4000)))["contacts_ratio"]
        assert rail.passes
        assert (rail.low, rail.high) == (None, None)

    def test_no_segment_pays_for_the_others(self) -> None:
        rows = judged()
        random = np.random.default_rng(3)
        assert rows.segment is not None
        champion = random.normal(1, 1, 4000)
        better_on_the_whole = champion + np.where(rows.segment == "s0", 3.0, -1.0)
        found = measured(rows, contacts_of(rows, better_on_the_whole, champion))
        assert not found["segment_worse"].passes
        assert "segment s1" in found["segment_worse"].note
        assert measured(rows, contacts_of(rows, champion, champion))["segment_worse"].passes

    def test_many_segments_are_no_more_likely_to_fail_by_chance(self) -> None:
        rows = judged()
        assert rows.segment is not None
        values = np.random.default_rng(4).normal(1, 1, 4000)
        rails = measure_guardrails(rows, contacts_of(rows, values, values), BOUNDS, lambda *_: 0.96)
        [rail] = [found for found in rails if found.name == "segment_worse"]
        assert (rail.high, rail.passes) == (1 - (1 - BOUNDS.segment_worse_at_most) / 2, True)

    @pytest.mark.parametrize("seed", range(3))
    def test_the_range_holds_95_percent_of_perfect_calibrations(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        probability, weight = random.uniform(0.05, 0.4, 1000), random.choice([1.0, 3.0], 1000)
        low, high = perfect_range(probability, weight)
        churned = random.random((4000, 1000)) < probability
        ratios = (weight @ probability) / (churned @ weight)
        assert ((low <= ratios) & (ratios <= high)).mean() == pytest.approx(0.95, abs=0.012)  # 3.5 deviations


def event(kind: Event, version: str, deployed: str) -> DeploymentEvent:
    return DeploymentEvent("2026-01-01T00:00:00", kind, None, version, None, deployed, None, [], "")


class TestRollbackTarget:
    @given(versions=st.lists(st.sampled_from("abcd"), min_size=1, max_size=8))
    def test_rolling_back_again_and_again_retraces_every_deployment(self, versions: list[str]) -> None:
        log = [event("promoted", version, version) for version in versions]
        deployed = versions[-1]
        seen = [deployed]
        while (target := deployed_before(log, deployed)) is not None:
            log.append(event("rolled_back", target, target))
            deployed = target
            seen.append(deployed)
            assert len(seen) <= len(versions)
        distinct = [v for i, v in enumerate(versions) if i == 0 or v != versions[i - 1]]
        assert seen == distinct[::-1]

    def test_nothing_before_the_first(self) -> None:
        assert deployed_before([], None) is None
        assert deployed_before([], "a") is None
        assert deployed_before([event("deployed", "a", "a"), event("kept", "b", "a")], "a") is None
