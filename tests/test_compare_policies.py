"""Comparison of the plan with the reference policies by the hidden truth, on one small world."""

from __future__ import annotations

from pathlib import Path

import compare_policies
import duckdb
import pytest
import typer
from compare_policies import Judged, judge, missed_targets
from conftest import Project
from simulation.business import SEEDED_CUSTOMERS
from simulation.loop import ENDS_ON, HISTORY_MONTHS
from simulation.true_survival import no_contacts
from simulation.true_value import read_month
from simulation.world import World, next_month, start_world

from models_ml.decisions.what_if import read_what_if_inputs
from models_ml.errors import BayesPilotError

CUSTOMERS = 800  # of the small world


@pytest.fixture(scope="module")
def world() -> World:
    """The world whose raw files are those of the fixture small_world."""
    return start_world(customers=CUSTOMERS, months=HISTORY_MONTHS, ends_on=ENDS_ON, seed=7)


@pytest.fixture(scope="module")
def judged(built_project: Project, world: World) -> dict[str, Judged]:
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        rows = judge(connection, world, limits_times=CUSTOMERS / SEEDED_CUSTOMERS)
    return {row.policy: row for row in rows}


@pytest.mark.build
def test_every_policy_decides_within_the_same_limits(
    judged: dict[str, Judged], built_project: Project
) -> None:
    names = ["this plan", "contact nobody", "fixed thresholds", "break-even", "top risk", "greedy"]
    assert list(judged) == names
    assert judged["contact nobody"] == Judged("contact nobody", 0, 0.0, 0.0, 0.0)
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        budget = read_what_if_inputs(connection).month.find("budget").monthly * CUSTOMERS / SEEDED_CUSTOMERS
    assert all(row.spend <= budget for row in judged.values())
    assert judged["this plan"].contacts > 20


@pytest.mark.build
def test_no_policy_has_a_higher_expected_value_and_no_simple_rule_a_higher_true_value(
    judged: dict[str, Judged],
) -> None:
    plan = judged["this plan"]
    for name, row in judged.items():
        assert row.believed <= plan.believed, name
        if name in ("contact nobody", "fixed thresholds", "break-even", "top risk"):
            assert row.true < plan.true, name


@pytest.mark.build
def test_the_truth_is_joined_to_its_customers(
    built_project: Project, small_world: Path, world: World
) -> None:
    file = small_world / "truth.parquet"
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        inputs = read_month(connection, world)
        risks = connection.execute("select max(churn_probability) from int_decision_candidates").fetchall()
    at = [0, 7, len(inputs.customer_id) - 1]
    for row in at:
        found = duckdb.sql(
            f"select offer, churn_probability from '{file}' where customer_id = {inputs.customer_id[row]}"
        )
        by_offer = dict(found.fetchall())
        assert inputs.truth.churn_alone[row] == by_offer["no_action"]
        assert inputs.truth.churn[row].tolist() == [by_offer[offer.offer] for offer in inputs.decision.offers]
    assert inputs.customers.churn_probability.max() == risks[0][0]
    assert inputs.signals.shape == (len(inputs.customer_id), len(inputs.decision.effects.signals))


@pytest.mark.build
def test_the_truth_of_another_day_is_refused(built_project: Project, world: World) -> None:
    later = next_month(world, no_contacts())
    with (
        duckdb.connect(str(built_project.warehouse()), read_only=True) as connection,
        pytest.raises(BayesPilotError, match=r"the truth of 2026-10-31 lacks (\d+) of \1 customers"),
    ):
        judge(connection, later, limits_times=1.0)


def test_missed_targets_are_named() -> None:
    def rows(**true: float) -> list[Judged]:
        return [Judged(name.replace("_", " "), 1, 1.0, 1.0, value) for name, value in true.items()]

    assert missed_targets(rows(this_plan=10.0, contact_nobody=0.0, top_risk=9.0, greedy=10.1)) == []
    assert missed_targets(rows(this_plan=10.0, contact_nobody=0.0, top_risk=10.0, greedy=9.0)) == [
        "top risk is worth 10, the plan 10"
    ]
    assert missed_targets(rows(this_plan=9.0, contact_nobody=0.0, greedy=10.0)) == [
        "greedy is worth 10, the plan 9"
    ]
    assert missed_targets(rows(this_plan=-1.0, greedy=0.0)) == ["greedy is worth 0, the plan -1"]


def test_a_world_whose_build_fails_is_named_and_the_others_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Path, *, customers: int, seed: int) -> Path:
        raise BayesPilotError(f"{customers} customers of seed {seed} cannot be built")

    monkeypatch.setattr(compare_policies, "build_world", fails)
    with pytest.raises(typer.Exit):
        compare_policies.main(seeds="1,2")
    told = capsys.readouterr()
    assert "20000 customers of seed 2 cannot be built" in told.err
    assert told.out.split("\n")[:2] == ["world 1 is left out", "world 2 is left out"]
