"""The judging of plans by the hidden truth, on one small world."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from compare_policies import DEMO_CUSTOMERS, Judged, broken_promises, judge, true_values
from conftest import Project

from models_ml.decisions.economics import customer_value
from models_ml.decisions.what_if import read_inputs
from models_ml.errors import BayesPilotError

pytestmark = pytest.mark.build
CUSTOMERS = 800  # of the small world


@pytest.fixture(scope="module")
def judged(built_project: Project, small_world: Path) -> dict[str, Judged]:
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        rows = judge(connection, small_world / "truth.parquet", limits_times=CUSTOMERS / DEMO_CUSTOMERS)
    return {row.policy: row for row in rows}


def test_every_policy_is_judged_on_the_same_customers_and_limits(
    judged: dict[str, Judged], built_project: Project
) -> None:
    assert list(judged)[:2] == ["this plan", "contact nobody"]
    assert len(judged) == 6
    assert judged["contact nobody"] == Judged("contact nobody", 0, 0.0, 0.0, 0.0)
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        budget = read_inputs(connection).month.find("budget").monthly * CUSTOMERS / DEMO_CUSTOMERS
    assert all(row.spend <= budget for row in judged.values())
    assert judged["this plan"].contacts > 20


def test_the_plan_is_believed_to_be_best_and_beats_the_naive_rules_in_truth(
    judged: dict[str, Judged],
) -> None:
    plan = judged["this plan"]
    for name, row in judged.items():
        assert row.believed <= plan.believed, name
        if name in ("contact nobody", "fixed thresholds", "break-even", "top risk"):
            assert row.true < plan.true, name


def test_true_value_by_hand(built_project: Project, small_world: Path) -> None:
    truth = small_world / "truth.parquet"
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        inputs = read_inputs(connection)
        worth = true_values(connection, truth, inputs.terms)
        names = [row[0] for row in connection.execute(
            "select customer_id from int_decision_candidates order by customer_id"
        ).fetchall()]  # fmt: skip
        rows = connection.execute(
            f"select offer, churn_probability, acceptance_probability, contact_cost, incentive_cost, monthly_margin"
            f" from '{truth}' where customer_id = {names[7]}"
        ).fetchall()
    by_offer = {row[0]: [float(cell) for cell in row[1:]] for row in rows}
    p0, *_, margin = by_offer["no_action"]
    loses = customer_value([margin / inputs.terms.policy.margin_rate], [p0], inputs.terms.policy)[0]
    expected = [
        (p0 - by_offer[offer.offer][0]) * loses
        - by_offer[offer.offer][2]
        - by_offer[offer.offer][1] * by_offer[offer.offer][3]
        for offer in inputs.terms.offers
    ]
    assert worth[7].tolist() == pytest.approx(expected)
    assert np.isfinite(worth).all()


def test_the_truth_of_another_world_is_refused(built_project: Project, tmp_path: Path) -> None:
    other = tmp_path / "truth.parquet"
    duckdb.sql(
        "select 1 as customer_id, date '2026-10-31' as as_of_date, 'no_action' as offer, 0.1 as churn_probability,"
        " 0.1 as acceptance_probability, 1.0 as contact_cost, 1.0 as incentive_cost, 1.0 as monthly_margin"
    ).write_parquet(str(other))
    with duckdb.connect(str(built_project.warehouse()), read_only=True) as connection:
        terms = read_inputs(connection).terms
        with pytest.raises(BayesPilotError, match="the truth has 0 rows"):
            true_values(connection, other, terms)


def test_promises() -> None:
    def rows(**true: float) -> list[Judged]:
        return [Judged(name.replace("_", " "), 1, 1.0, 1.0, value) for name, value in true.items()]

    assert broken_promises(rows(this_plan=10.0, contact_nobody=0.0, top_risk=9.0, greedy=10.1)) == []
    assert broken_promises(rows(this_plan=10.0, contact_nobody=0.0, top_risk=10.0, greedy=9.0)) == [
        "top risk is worth 10, the plan 10"
    ]
    assert broken_promises(rows(this_plan=9.0, contact_nobody=0.0, greedy=10.0)) == [
        "greedy is worth 10, the plan 90.0% of it"
    ]
