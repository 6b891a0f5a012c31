"""The bounds of a parameter stand once: what SQL refuses, Python refuses, and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import get_type_hints

import duckdb
import pyarrow as pa
import pytest
import yaml
from conftest import ROOT, Project
from decision_data import POLICY, policy_table

from models_ml.decisions.policy import Policy, policy_bounds, read_policy
from models_ml.errors import BayesPilotError

VALID = {**POLICY, "monthly_budget": 100, "touch_price": 0, "pick_holdout_share": 0.1}
SEEDS = ("channels", "offers", "offer_effect_priors", "activity_map", "reason_texts", "policy")


def test_bounds_and_policy_name_the_same_parameters() -> None:
    assert list(policy_bounds()) == list(Policy.__dataclass_fields__)


def edge_values(parameter: str) -> list[object]:
    """Return values on, just inside and just outside each bound of a parameter."""
    bounds = policy_bounds()[parameter]
    if isinstance(VALID[parameter], str):
        return [*(bounds.one_of or ()), "EUR", "EURO", "no such value"]
    edges = [
        edge
        for edge in (bounds.minimum, bounds.maximum, bounds.above, bounds.below, bounds.also, 0)
        if edge is not None
    ]
    steps = (1,) if isinstance(VALID[parameter], int) and parameter.endswith(("days", "ends")) else (0.001, 1)
    return sorted({edge + sign * step for edge in edges for step in steps for sign in (-1, 0, 1)})


CASES = [(parameter, value) for parameter in policy_bounds() for value in edge_values(parameter)]


def python_refuses(parameter: str, value: object) -> bool:
    try:
        read_policy(policy_table(**VALID | {parameter: value}))
    except BayesPilotError:
        return True
    return False


@pytest.fixture(scope="module")
def gate(built_project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    """The compiled gate of the seeds, over seeds of the test's own."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as demo; use demo")
    connection.execute(f"attach '{built_project.warehouse()}' as built (read_only)")
    for table in SEEDS:
        connection.execute(f"create table {table} as from built.{table}")
    connection.execute("detach built")
    [file] = built_project.folder.glob(
        "target/compiled/bayespilot/dbt_project/models/*/int_seed_problems.sql"
    )
    connection.execute(f"create view problems as {file.read_text()}")
    yield connection
    connection.close()


@pytest.mark.build
@pytest.mark.parametrize(("parameter", "value"), CASES)
def test_sql_and_python_refuse_the_same_values(
    gate: duckdb.DuckDBPyConnection, parameter: str, value: object
) -> None:
    rows = [
        {"parameter": name, "value": str(each), "unit": "unit", "source": "test"}
        for name, each in (VALID | {parameter: value}).items()
    ]
    gate.register("given", pa.Table.from_pylist(rows))
    gate.execute("delete from policy; insert into policy from given")
    problems = gate.execute("select seed_row, problem from problems").fetchall()
    assert bool(problems) == python_refuses(parameter, value), (parameter, value, problems)


@pytest.mark.build
def test_a_whole_number_that_the_gate_admits_is_read_by_every_engine(built_project: Project) -> None:
    [file] = built_project.folder.glob(
        "target/compiled/bayespilot/dbt_project/models/*/int_policy_parameters.sql"
    )
    # 28.0 passes the gate, and Spark casts a text to an integer only where it has no point
    found = re.findall(r"as double\) as integer\)\s+as (\w+)", file.read_text())
    assert found == [name for name, kind in get_type_hints(Policy).items() if kind is int]


@pytest.mark.build
@pytest.mark.parametrize(
    ("condition", "is_sound"),
    [
        ("monthly_fee / tenure_days > 1", False),
        ("monthly_fee // greatest(tenure_days, open_tickets) > 1", False),
        ("MOD(tenure_days, open_tickets) = 1 and plan = 'basic'", False),
        ("case when tenure_days % 7 = 0 then monthly_fee / NULLIF(open_tickets, 0) > 1 end", True),
        ("monthly_fee / (52.0 / 12) > tenure_days and plan = 'a / tenure_days'", True),
    ],
)
def test_a_divisor_that_may_be_0_is_refused(
    gate: duckdb.DuckDBPyConnection, condition: str, is_sound: bool
) -> None:
    gate.execute("update offers set eligible_when = $1", [condition])
    problems = gate.execute("select problem from problems where seed_file like '%offers.csv'").fetchall()
    gate.execute("update offers set eligible_when = 'true'")
    assert (not problems) if is_sound else all("divides by a column" in problem for (problem,) in problems)
    assert bool(problems) != is_sound


@pytest.mark.build
@pytest.mark.parametrize(
    ("cost", "is_sound"),
    [
        ("LN(tenure_days)", False),
        ("ln(greatest(tenure_days, 0))", False),
        ("sqrt(ln(greatest(tenure_days, 1)))", False),
        ("monthly_fee ** -1", False),
        ("pow(tenure_days, open_tickets)", False),
        ("ln(greatest(tenure_days, 1)) + sqrt(greatest(monthly_fee, 0)) + sqrt(2) * tenure_days", True),
        ("greatest(monthly_fee, 1.5) ^ -0.5 + (tenure_days + 1) ** 2 + power(1.1, tenure_days)", True),
    ],
)
def test_a_logarithm_root_or_power_that_may_be_no_number_is_refused(
    gate: duckdb.DuckDBPyConnection, cost: str, is_sound: bool
) -> None:
    gate.execute("update offers set contact_cost = $1", [cost])
    problems = gate.execute("select problem from problems where seed_file like '%offers.csv'").fetchall()
    gate.execute("update offers set contact_cost = '1'")
    assert (
        (not problems) if is_sound else all("takes ln, sqrt or a power" in problem for (problem,) in problems)
    )
    assert bool(problems) != is_sound


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_bound_admits_what_is_not_finite(value: float) -> None:
    assert not any(bounds.admits_number(value) for bounds in policy_bounds().values())


@pytest.mark.build
@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
def test_a_range_without_a_maximum_admits_finite_numbers_only(built_project: Project, value: str) -> None:
    [file] = built_project.folder.glob(
        "target/compiled/bayespilot/dbt_project/models/*/customer_features.yml/declared_ranges_customer_featu_*.sql"
    )
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as demo; use demo")
        connection.execute(f"attach '{built_project.warehouse()}' as built (read_only)")
        connection.execute(
            "create table int_feature_dates as select max(as_of_date) as as_of_date from built.churn_scores"
        )
        connection.execute(
            "create table customer_features as from built.customer_features natural join int_feature_dates"
        )
        assert connection.execute(file.read_text()).fetchall() == []
        connection.execute(
            f"update customer_features set monthly_revenue = '{value}' where customer_id in ("
            "select min(customer_id) from customer_features)"
        )
        assert len(connection.execute(file.read_text()).fetchall()) == 1


def test_a_sum_that_corrections_may_bring_below_0_declares_no_minimum() -> None:
    text = (ROOT / "dbt_project/models/features/customer_features.yml").read_text()
    columns = yaml.safe_load(text)["models"][0]["columns"]
    sums = ("engagement_quantity", "purchase_amount", "amount_paid")
    found = [column["config"]["meta"] for column in columns if column["name"].startswith(sums)]
    assert len(found) == 12
    assert not any("minimum" in meta for meta in found)
