"""Customers left alone by contacts that no logged draw explains: hand-worked weights, and churn against the truth."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import training_data as data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from models_ml.training.contact_weights import NEVER, contact_weights, read_examples
from models_ml.training.examples import ExampleReader
from models_ml.training.schema import read_schema
from models_ml.training.settings import load_settings

HORIZON = 28
SETTINGS = load_settings()
DAY = st.one_of(st.integers(1, 6), st.just(NEVER))


def campaign(rng: np.random.Generator, customers: int) -> tuple[np.ndarray, ...]:
    """Risk, day of leaving and day of contact: another team calls the risky more often, and only who is still there."""
    risk = expit(rng.normal(-2.2, 1.2, customers))
    leaves = rng.random(customers) < risk
    departure = np.where(leaves, rng.integers(1, HORIZON + 1, customers), NEVER)
    called = rng.random(customers) < np.clip(3 * risk, 0.05, 0.7)
    contact = np.where(called, rng.integers(1, HORIZON + 1, customers), NEVER)
    return risk, departure, np.where(contact < departure, contact, NEVER)


def test_weighted_churn_is_that_of_the_truth_where_dropping_the_contacted_is_far_off() -> None:
    risk, departure, contact = campaign(np.random.default_rng(1), 60_000)
    order = np.argsort(np.argsort(risk))
    tenth = 10 * order // len(risk)
    weight = contact_weights(contact, departure, tenth, 0.05)
    riskiest, left = tenth == 9, departure < NEVER
    truth = risk[riskiest].mean()
    dropped = left[riskiest & (contact == NEVER)].mean()
    assert dropped > 1.25 * truth
    assert np.average(left[riskiest], weights=weight[riskiest]) == pytest.approx(truth, rel=0.05)
    assert np.average(left, weights=weight) == pytest.approx(risk.mean(), rel=0.03)
    assert weight.sum() == pytest.approx(len(risk), rel=0.01)


@given(st.data())
@settings(max_examples=60)
def test_weights_are_those_of_kaplan_and_meier(drawn: st.DataObject) -> None:
    days = st.lists(DAY, min_size=1, max_size=12)
    contact = np.array(drawn.draw(days))
    departure = np.array(drawn.draw(st.lists(DAY, min_size=len(contact), max_size=len(contact))))
    contact = np.where(contact < departure, contact, NEVER)
    found = contact_weights(contact, departure, np.zeros(len(contact), int), 1e-9)
    for at, weight in enumerate(found):
        if contact[at] < NEVER:
            assert weight == 0.0
            continue
        never = 1.0
        for day in range(1, 7):
            if day < departure[at]:
                there = np.sum((contact >= day) & (departure > day))
                never *= 1.0 - np.sum(contact == day) / there if there else 1.0
        assert weight == pytest.approx(1.0 / never)


def test_groups_do_not_touch_each_other_and_weights_are_bounded() -> None:
    contact = np.array([1, NEVER, NEVER, NEVER, *[1] * 99, NEVER])
    group = np.array([0, 0, 1, 1, *[2] * 100])
    weight = contact_weights(contact, np.full(len(group), NEVER), group, 0.05)
    assert weight[:4].tolist() == [0.0, 2.0, 1.0, 1.0]
    assert weight[-1] == 20.0


def warehouse(**changes: object) -> tuple[duckdb.DuckDBPyConnection, ExampleReader, date]:
    """Rows of one date whose riskiest customers another team has called."""
    day, customers = data.MONTH_ENDS[0], 4_000
    rows = data.example_rows(customers, day)
    truth = np.asarray(rows.pop("truth"))
    rng = np.random.default_rng(2)
    departure = np.where(rng.random(customers) < truth, rng.integers(1, HORIZON + 1, customers), NEVER)
    called = rng.random(customers) < np.clip(2 * truth, 0.02, 0.6)
    contact = np.where(called, rng.integers(1, HORIZON + 1, customers), NEVER)
    contact = np.where(contact < departure, contact, NEVER)
    rows |= {
        "has_churned": departure < NEVER,
        "was_contacted": contact < NEVER,
        "example_weight": np.ones(customers),
        "days_to_unexplained_contact": pa.array(contact, mask=contact == NEVER),
        "days_to_departure": pa.array(departure, mask=departure == NEVER),
        "truth": truth,
    }
    connection = duckdb.connect()
    connection.register("given", pa.table(rows | changes))
    connection.execute("create table training_examples as from given")
    schema = read_schema(data.schema_table().to_pylist())
    return connection, ExampleReader(connection, "select * from training_examples", schema, ("truth",)), day


def test_the_warehouse_gives_those_left_alone_with_their_weights() -> None:
    _, reader, day = warehouse()
    examples = read_examples(reader, [day], 0, SETTINGS)
    plain = reader.read([day], 0)
    assert examples.table.drop_columns(
        ["example_weight", "days_to_unexplained_contact", "days_to_departure"]
    ).equals(plain.table.drop_columns(["example_weight"]))
    assert examples.example_weight.min() >= 1.0
    assert examples.example_weight.sum() == pytest.approx(4_000, rel=0.03)
    truth = examples.table["truth"].to_numpy()
    weight = examples.example_weight
    edges = np.quantile(truth, [0.0, 0.5, 1.0])
    for low, high in pairwise(edges):
        part = (truth >= low) & (truth <= high)
        observed = np.average(examples.has_churned[part], weights=weight[part])
        assert observed == pytest.approx(np.average(truth[part], weights=weight[part]), rel=0.15)


def test_a_draw_keeps_its_own_weight_and_explains_its_contacts() -> None:
    weights = np.where(np.arange(4_000) % 5 == 0, 1.25, 1.0)
    never = pa.nulls(4_000, pa.int32())
    _, reader, day = warehouse(days_to_unexplained_contact=never, example_weight=weights)
    examples = read_examples(reader, [day], 0, SETTINGS)
    assert examples.table.equals(reader.read([day], 0).table)
    contacted = (
        warehouse()[0].sql("select days_to_unexplained_contact from training_examples").to_arrow_table()
    )
    drawn = pa.array(
        [None if at % 5 == 0 else value.as_py() for at, value in enumerate(contacted[0])], pa.int32()
    )
    alone = np.array([value.as_py() is None for value in drawn])
    _, reader, day = warehouse(
        days_to_unexplained_contact=drawn, example_weight=weights, was_contacted=~alone
    )
    found = read_examples(reader, [day], 0, SETTINGS)
    order = np.argsort(
        reader.cursor.sql("select customer_id from training_examples").to_arrow_table()[0].to_pylist()
    )
    from_draw = (weights == 1.25)[order][alone[order]]
    assert set(found.example_weight[from_draw]) == {1.25}
    assert found.example_weight[~from_draw].max() > 1.5
