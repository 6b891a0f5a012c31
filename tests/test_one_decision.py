"""One function decides: in training, in the build, in what-ifs. And holdouts never look at a score."""

from __future__ import annotations

import importlib.util
from datetime import date
from types import SimpleNamespace

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from conftest import ROOT
from decision_data import (
    NO_TRIAL,
    candidates,
    decision_inputs,
    effect_tables,
    offers,
    offers_table,
    policy,
    policy_table,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from models_ml.decisions import choose as choose_module
from models_ml.decisions import economics
from models_ml.decisions.decide import value_customers
from models_ml.decisions.limits import month_limits
from models_ml.decisions.planned_actions import plan_actions
from models_ml.decisions.what_if import Month, MonthLimit, OpenDays, WhatIfInputs, ask
from models_ml.training import judging


class BrokenError(RuntimeError):
    """Raised by the optimiser that a test has broken."""


@pytest.fixture
def broken_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise BrokenError

    monkeypatch.setattr(choose_module, "_solve", stop)


def build_node() -> pa.Table:
    """Run the dbt Python model itself on a small warehouse, as dbt calls it."""
    connection = duckdb.connect()
    limits = [
        ("budget", "EUR"),
        ("offer", "call"),
        ("offer", "nudge"),
        ("channel", "email"),
        ("channel", "phone"),
    ]
    content = {
        "int_decision_candidates": pa.Table.from_batches([candidates(3)]),
        "int_policy_parameters": policy_table(),
        "int_offers": offers_table(),
        **effect_tables(np.log(0.5), np.log(0.9)),
        "int_month_limits": pa.Table.from_pylist(
            [
                {"limit_type": kind, "limit_name": name, "available": 5.0, "available_for_trials": 0.0}
                for kind, name in limits
            ]
        ),
    }
    for name, table in content.items():
        connection.register("given", table)
        connection.execute(f"create table {name} as from given")
    path = ROOT / "dbt_project" / "models" / "decisions" / "int_planned_actions.py"
    specification = importlib.util.spec_from_file_location("int_planned_actions", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    dbt = SimpleNamespace(
        config=lambda **_: None,
        ref=lambda name: SimpleNamespace(sql_query=lambda: f"select * from {name}"),
    )
    return module.model(dbt, connection).read_all()


def candidate_plan() -> np.ndarray:
    """Plan on a judged date as training does."""
    customers = 5
    probability = np.full(customers, 0.5)
    examples = SimpleNamespace(
        table=candidates(customers),
        has_churned=np.array([True, False, True, False, True]),
        example_weight=np.ones(customers),
        offers_allowed=lambda _: np.ones((customers, 2), dtype=bool),
        customers=customers,
    )
    inputs = decision_inputs()
    judged_date = judging.JudgedDate(
        **{
            "examples": examples,
            "inputs": inputs,
            "reference": judging.value_examples(probability, examples, inputs),
            "limits": month_limits(policy(), offers()),
            "reference_probability": probability,
        }
    )
    return np.asarray(judged_date.plan(probability))


def what_if() -> float:
    inputs = decision_inputs()
    month = Month(
        (
            MonthLimit("budget", "EUR", 5.0, 0.0, 0.0),
            *(MonthLimit("offer", name, 5.0, 0.0, 0.0) for name in ("call", "nudge")),
            *(MonthLimit("channel", name, 5.0, 0.0, 0.0) for name in ("email", "phone")),
        ),
        open_days=OpenDays(1, 1),
    )
    customers = value_customers([candidates(3)], inputs)
    last = WhatIfInputs(date(2026, 6, 30), inputs, month, customers)
    return ask(last, month.find("budget"), 5.0).summary.value


def test_all_of_them_decide() -> None:
    assert set(build_node()["planned_action"].to_pylist()) == {"nudge"}
    assert set(candidate_plan().tolist()) == {1}
    assert what_if() == pytest.approx(3 * 1.72)


@pytest.mark.usefixtures("broken_optimiser")
@pytest.mark.parametrize("decides", [build_node, candidate_plan, what_if])
def test_breaking_the_one_function_breaks_them_all(decides: object) -> None:
    with pytest.raises(BrokenError):
        decides()  # type: ignore[operator]


@pytest.mark.parametrize("decides", [build_node, candidate_plan, what_if])
@pytest.mark.parametrize("part", ["value_offers", "customer_value", "acceptance_probability"])
def test_breaking_what_values_offers_breaks_them_all(
    decides: object, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise BrokenError

    monkeypatch.setattr(economics, part, stop)
    with pytest.raises(BrokenError):
        decides()  # type: ignore[operator]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_holdouts_ignore_every_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    customers = 60
    draws = {name: rng.random(customers) for name in ("universal_draw", "pick_draw")}
    shares = policy(universal_holdout_share=0.2, pick_holdout_share=0.4)
    inputs = decision_inputs(shares)
    seen = []
    for _ in range(2):
        scored = candidates(
            customers,
            churn_probability=rng.beta(1, 3, customers),
            monthly_revenue=rng.lognormal(4, 1, customers),
            **draws,
        )
        rows = plan_actions(
            lambda batch=scored: [batch],  # type: ignore[misc]
            inputs,
            month_limits(inputs.policy, inputs.offers),
            NO_TRIAL,
        ).read_all().to_pylist()  # fmt: skip
        seen.append([row["arm"] for row in rows])
        for row, draw, pick in zip(rows, draws["universal_draw"], draws["pick_draw"], strict=True):
            assert (row["arm"] == "universal_holdout") == (draw < 0.2)
            if row["planned_action"] != "no_action":
                assert (row["arm"] == "pick_holdout") == (pick < 0.4)
    first, second = ([arm == "universal_holdout" for arm in arms] for arms in seen)
    assert first == second
