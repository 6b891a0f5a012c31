"""Reasons: cited only where the customer's value lies on their side, one per family, worded as the seeds say."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import training_data as data
import yaml
from conftest import ROOT, UNTESTED, Project
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_training import run_features, train_on

from models_ml.errors import BayesPilotError
from models_ml.scoring.reasons import (
    REASONS_SCHEMA,
    cite,
    explain_batches,
    read_sides,
)
from models_ml.training.contributions import make_explainer
from models_ml.training.pipeline import ChurnPipeline

UPPER, LOWER = ("high", "present", "rising"), ("low", "falling")


def side(
    feature: str, family: str, upper: tuple[str, float | None] | None, lower: tuple[str, float | None] | None
) -> dict[str, Any]:
    """Return a row of ``int_feature_population``."""
    return {
        "feature": feature,
        "family": family,
        "upper_direction": upper and upper[0],
        "upper_edge": upper and upper[1],
        "lower_direction": lower and lower[0],
        "lower_edge": lower and lower[1],
    }


KINDS = {
    "few of a count": side("f", "f", None, ("low", 4.0)),
    "many of a count": side("f", "f", ("high", 4.0), None),
    "either side of an amount": side("f", "f", ("high", 20.0), ("low", 20.0)),
    "present count": side("f", "f", ("present", 0.0), None),
    "present days since": side("f", "f", ("present", None), None),
    "long ago": side("f", "f", ("high", 12.0), None),
    "recent, where most have none": side("f", "f", None, ("low", None)),
    "trend": side("f", "f", ("rising", 1.0), ("falling", 1.0)),
    "category": side("f", "f", ("present", None), None),
    "no side": side("f", "f", None, None),
}


class TestSides:
    @pytest.mark.parametrize(
        ("kind", "value", "direction"),
        [
            ("few of a count", 3.0, "low"),
            ("few of a count", 4.0, None),  # as many as the median
            ("few of a count", 67.0, None),
            ("many of a count", 5.0, "high"),
            ("many of a count", 4.0, None),
            ("either side of an amount", 19.99, "low"),
            ("either side of an amount", 20.01, "high"),
            ("either side of an amount", 20.0, None),
            ("present count", 1.0, "present"),
            ("present count", 0.0, None),
            ("present days since", 0.0, "present"),  # today
            ("present days since", np.nan, None),  # never
            ("long ago", 13.0, "high"),
            ("long ago", 12.0, None),
            ("long ago", np.nan, None),
            ("recent, where most have none", 300.0, "low"),
            ("recent, where most have none", np.nan, None),
            ("trend", 0.99, "falling"),
            ("trend", 1.0, None),
            ("trend", 1.01, "rising"),
            ("category", 0.0, "present"),
            ("category", np.nan, None),  # unseen when fitting
            ("no side", 5.0, None),
        ],
    )
    def test_a_value_has_the_direction_of_its_side(
        self, kind: str, value: float, direction: str | None
    ) -> None:
        sides = read_sides([KINDS[kind]], ("f",))
        found = cite(np.array([[value]]), np.array([[0.5]]), sides)
        assert [
            (sides.upper_direction if high else sides.lower_direction)[feature]
            for feature, high in zip(found.feature, found.is_high, strict=True)
        ] == ([direction] if direction else [])
        assert not len(cite(np.array([[value]]), np.array([[-0.5]]), sides).row)

    def test_an_unknown_population_is_refused_by_name(self) -> None:
        with pytest.raises(BayesPilotError, match="int_feature_population") as refused:
            read_sides([KINDS["trend"]], ("f", "orders_last_90_days"))
        assert "orders_last_90_days" in str(refused.value)


class TestFamilies:
    SIDES = read_sides(
        [
            side("events", "use", None, ("low", 4.0)),
            side("pace", "use", None, ("falling", 1.0)),
            side("silence", "silence", ("high", 12.0), None),
            side("tickets", "support", ("present", 0.0), None),
            side("plan", "plan", ("present", None), None),
        ],
        ("events", "pace", "silence", "tickets", "plan"),
    )

    @pytest.mark.parametrize(
        ("values", "contributions", "expected"),
        [
            # the strongest of use is not low; use adds 0.7 in all and comes first
            ((5, 0.5, 40, 0, np.nan), (0.5, 0.2, 0.6, 0.1, 0), [("pace", 0.7), ("silence", 0.6)]),
            # use as a whole lowers the risk: nothing of it is cited
            ((1, 2.0, 40, 0, np.nan), (0.3, -0.4, 0.1, 0, 0), [("silence", 0.1)]),
            # no family raises the risk as a whole: the strongest feature that fits, for itself
            ((1, 0.5, 3, 2, np.nan), (0.3, -0.4, 0.1, 0, -0.2), [("events", 0.3)]),
            # what lowers the risk is not cited, however true
            ((1, 0.5, 40, 2, 1), (-1, -1, -1, -1, -1), []),
            # nothing true of the customer raises the risk
            ((9, 1.5, 3, 0, np.nan), (1, 1, 1, 1, 1), []),
            # equal families stand in the order of the features
            (
                (1, 1.0, 40, 2, 1),
                (0.2, 0, 0.2, 0.2, 0.2),
                [("events", 0.2), ("silence", 0.2), ("tickets", 0.2), ("plan", 0.2)],
            ),
        ],
    )
    def test_one_reason_a_family_strongest_first(
        self, values: tuple[float, ...], contributions: tuple[float, ...], expected: list[tuple[str, float]]
    ) -> None:
        names = ("events", "pace", "silence", "tickets", "plan")
        found = cite(np.array([values]), np.array([contributions]), self.SIDES)
        assert [(names[f], s) for f, s in zip(found.feature, found.strength, strict=True)] == expected
        assert found.rank.tolist() == list(range(1, len(expected) + 1))


@st.composite
def customers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Values, contributions and sides of a few customers, edges among the values so that ties occur."""
    features = draw(st.integers(1, 7))
    numbers = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, np.nan])
    shape = (draw(st.integers(1, 5)), features)
    rows = []
    for position in range(features):
        upper = draw(st.none() | st.tuples(st.sampled_from(UPPER), st.sampled_from([None, 0.0, 1.0, 2.0])))
        lower = draw(st.none() | st.tuples(st.sampled_from(LOWER), st.sampled_from([None, 0.0, 1.0, 2.0])))
        if upper and lower and (upper[1] is None or lower[1] is None or lower[1] > upper[1]):
            lower = None  # a value has one direction
        rows.append(side(f"f{position}", draw(st.sampled_from("abc")), upper, lower))
    contributions = st.sampled_from([-0.3, -0.1, 0.0, 0.1, 0.2, 0.3])
    return (
        draw(arrays.arrays(float, shape, elements=numbers)),
        draw(arrays.arrays(float, shape, elements=contributions)),
        rows,
    )


@given(customers())
def test_no_reason_contradicts_its_row(made: tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]) -> None:
    values, contributions, rows = made
    sides = read_sides(rows, tuple(row["feature"] for row in rows))
    found = cite(values, contributions, sides)
    families = [rows[feature]["family"] for feature in found.feature]
    assert len(set(zip(found.row.tolist(), families, strict=True))) == len(families)
    for row, feature, high in zip(found.row, found.feature, found.is_high, strict=True):
        value, stated = values[row, feature], rows[feature]
        assert contributions[row, feature] > 0
        assert not np.isnan(value)
        edge, direction = (
            (stated["upper_edge"], stated["upper_direction"])
            if high
            else (stated["lower_edge"], stated["lower_direction"])
        )
        assert direction
        assert edge is None or (value > edge if high else value < edge)
    for here, later in pairwise(range(len(found.row))):
        if found.row[here] == found.row[later]:
            assert found.strength[here] >= found.strength[later] > 0
            assert found.rank[later] == found.rank[here] + 1


@given(customers())
def test_everybody_with_a_fitting_reason_has_one(
    made: tuple[np.ndarray, np.ndarray, list[dict[str, Any]]],
) -> None:
    values, contributions, rows = made
    found = cite(values, contributions, read_sides(rows, tuple(row["feature"] for row in rows)))
    cited = {(row, rows[feature]["family"]) for row, feature in zip(found.row, found.feature, strict=True)}
    for row in range(len(values)):
        fitting = {
            i for i, stated in enumerate(rows) if contributions[row, i] > 0 and _fits(values[row, i], stated)
        }
        raising = set()
        for family in {rows[i]["family"] for i in fitting}:
            parts = [contributions[row, i] for i, stated in enumerate(rows) if stated["family"] == family]
            if round(sum(parts), 9) > 0:
                raising.add(family)
        mine = {family for here, family in cited if here == row}
        assert mine == raising if raising else len(mine) == min(len(fitting), 1)


def _fits(value: float, stated: dict[str, Any]) -> bool:
    if np.isnan(value):
        return False
    above = stated["upper_direction"] and (stated["upper_edge"] is None or value > stated["upper_edge"])
    below = stated["lower_direction"] and (stated["lower_edge"] is None or value < stated["lower_edge"])
    return bool(above or below)


@pytest.fixture(scope="module")
def pipelines() -> dict[str, ChurnPipeline]:
    return dict(train_on(data.examples_table(400)).judged.pipelines)


SIDES = [
    side("days_since_last_activity", "silence", ("high", 60.0), None),
    side("orders_last_90_days", "orders", None, ("low", 4.0)),
    side("monthly_revenue", "price", ("high", 45.0), ("low", 45.0)),
    side("average_satisfaction", "satisfaction", None, ("low", 3.0)),
    side("never_filled", "never_filled", ("present", 0.0), None),
    side("plan", "plan", ("present", None), None),
    side("region", "region", ("present", None), None),
    side("never_named", "never_named", ("present", None), None),
]


class TestBatches:
    @pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
    def test_the_citation_is_the_customers_own_row(
        self, name: str, pipelines: dict[str, ChurnPipeline]
    ) -> None:
        pipeline, features = pipelines[name], run_features(120)
        sides = read_sides(SIDES, pipeline.encoder.schema.names)
        tables = [
            pa.Table.from_batches(explain_batches(features.to_batches(max_chunksize=rows), pipeline, sides))
            for rows in (120, 7)
        ]
        assert tables[0].schema.equals(REASONS_SCHEMA)
        assert tables[0].to_pylist() == tables[1].to_pylist()
        own = {row["customer_id"]: row for row in features.to_pylist()}
        parts = make_explainer(pipeline).contributions(pipeline.encoder.encode(features)).round(9)
        position = {customer: i for i, customer in enumerate(own)}
        for cited in tables[0].to_pylist():
            value = own[cited["customer_id"]][cited["feature"]]
            assert value == (cited["feature_value"] if cited["category"] is None else cited["category"])
            assert (cited["feature_value"] is None) == (cited["feature"] in ("plan", "region"))
            index = pipeline.encoder.schema.names.index(cited["feature"])
            assert cited["contribution"] == parts[position[cited["customer_id"]], index] > 0
            assert cited["direction"] in {
                "silence": ("high",),
                "orders": ("low",),
                "price": ("high", "low"),
            }.get(cited["family"], ("low", "present"))
        assert len({cited["customer_id"] for cited in tables[0].to_pylist()}) > 100


def declared() -> dict[str, dict[str, Any]]:
    """Return the meta of every feature, as customer_features.yml declares it."""
    text = (ROOT / "dbt_project/models/features/customer_features.yml").read_text(encoding="utf-8")
    columns = yaml.safe_load(text)["models"][0]["columns"]
    metas = {column["name"]: column.get("config", {}).get("meta", {}) for column in columns}
    return {name: meta for name, meta in metas.items() if "role" in meta}


def texts(source: str) -> list[dict[str, str]]:
    with (ROOT / "seeds" / source / "reason_texts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestDeclarations:
    def test_a_sure_sign_is_no_reason_in_the_other_direction(self) -> None:
        signs = {
            name: meta["expected_effect"] for name, meta in declared().items() if meta.get("expected_effect")
        }
        assert len(signs) >= 7
        for name, sign in signs.items():
            directions = declared()[name]["reason"]["directions"]
            assert set(directions) <= set(UPPER if sign > 0 else LOWER), name

    def test_text_features_are_categories_and_no_others(self) -> None:
        for name, meta in declared().items():
            assert (meta["role"] == "categorical") == (meta["reason"]["measure"] == "category"), name

    @pytest.mark.parametrize("source", ["demo", "online_retail"])
    def test_a_text_of_several_windows_says_which(self, source: str) -> None:
        windowed = {meta["reason"]["family"] for name, meta in declared().items() if "_last_90_days" in name}
        for row in texts(source):
            if row["family"] in windowed and row["direction"] in ("low", "high", "present"):
                assert "{period}" in row["reason_text"], row

    def test_the_shop_speaks_of_its_own_trade(self) -> None:
        words = " ".join(row["reason_text"] for row in texts("online_retail")).lower()
        for foreign in (
            "add-on",
            "invoice",
            "subscription",
            "visit",
            "plan",
            "fee",
            "export",
            "ticket",
            "use",
        ):
            assert foreign not in words.split(), foreign


@pytest.mark.build
class TestBuild:
    @pytest.fixture
    def compiled(self, built_project: Project, tmp_path: Path) -> Compiled:
        return Compiled(built_project, tmp_path)

    def test_everybody_at_risk_has_reasons(self, built_project: Project) -> None:
        by_arm = built_project.query(
            "select arm, count(*), count(reason_1), count(reason_3) from retention_actions group by arm"
        )
        assert {"policy", "pick_holdout", "universal_holdout", "suppressed", "not_chosen"} <= {
            row[0] for row in by_arm
        }
        everybody = sum(row[1] for row in by_arm)
        assert sum(row[2] for row in by_arm) >= 0.99 * everybody
        assert all(row[2] >= 0.95 * row[1] for row in by_arm if row[1] >= 20), by_arm

    def test_edges_by_hand(self, compiled: Compiled) -> None:
        compiled.customers(
            monthly_fee=[10.0, 20.0, None, 70.0],  # median 20
            purchases_last_90_days=[0, 1, 4, 9],  # 2.5
            days_since_last_engagement=[3, 9, 30, None],  # 19.5: without activity counts as longest
            days_since_last_purchase=[5, None, None, None],  # most have none
        )
        compiled.create("int_feature_population")
        found = {
            row["feature"]: (
                row["upper_direction"],
                row["upper_edge"],
                row["lower_direction"],
                row["lower_edge"],
            )
            for row in compiled.rows("select * from int_feature_population")
        }
        assert found["monthly_fee"] == ("high", 20.0, None, None)
        assert found["purchases_last_90_days"] == (None, None, "low", 2.5)
        assert found["days_since_last_engagement"] == ("high", 19.5, None, None)
        assert found["days_since_last_purchase"] == (None, None, None, None)
        assert found["engagement_last_30_over_90_days"] == (None, None, "falling", 1.0)
        assert found["late_payments_last_30_days"] == ("present", 0.0, None, None)
        assert found["days_since_last_late_payment"] == ("present", None, None, None)
        assert found["plan"] == ("present", None, None, None)

    @pytest.mark.parametrize(
        ("feature", "direction", "population", "value", "contradicts"),
        [
            # the population's first value is the customer's own, value is what was cited
            ("purchases_last_90_days", "low", [1, 0, 4, 9], 1, False),
            ("purchases_last_90_days", "low", [9, 0, 1, 4], 9, True),
            ("purchases_last_90_days", "low", [1, 0, 4, 9], 0, True),
            ("days_since_last_engagement", "high", [30, 3, 9, None], 30, False),
            ("days_since_last_engagement", "high", [9, 3, 30, None], 9, True),
            ("late_payments_last_30_days", "present", [1, 0, 0, 0], 1, False),
            ("late_payments_last_30_days", "present", [0, 0, 0, 1], 0, True),
            ("silence_over_usual_gap", "rising", [1.8, 2, 2, 2], 1.8, False),
            ("silence_over_usual_gap", "rising", [0.8, 0.1, 0.1, 0.1], 0.8, True),
            ("engagement_last_30_over_90_days", "falling", [1.2, 2, 2, 2], 1.2, True),
            ("days_since_last_late_payment", "present", [0, None, None, None], 0, False),
            ("days_since_last_late_payment", "present", [None, 1, 2, 3], None, True),
        ],
    )
    def test_the_check_of_the_build_finds_a_contradiction(
        self,
        compiled: Compiled,
        feature: str,
        direction: str,
        population: list[float | None],
        value: float | None,
        *,
        contradicts: bool,
    ) -> None:
        compiled.customers(**{feature: population})
        compiled.cite("c0", feature, direction, value)
        found = compiled.rows(compiled.sql("int_cited_reasons__no_reason_contradicts_its_row"))
        assert bool(found) == contradicts


class Compiled:
    """Compiled models and tests of a built project, run on hand-made customers."""

    def __init__(self, project: Project, folder: Path) -> None:
        manifest = json.loads((project.folder / "target" / "manifest.json").read_text(encoding="utf-8"))
        self._nodes = {
            node["name"]: project.folder / node["compiled_path"]
            for node in manifest["nodes"].values()
            if node.get("compiled_path")
        }
        built = project.warehouse()
        self._connection = duckdb.connect(str(folder / built.name))
        self._connection.execute(f"attach '{built}' as built (read_only)")
        for table in ("int_run", "int_feature_reasons"):
            self._connection.execute(f"create table {table} as from built.main.{table}")
        for table in ("customer_features", "int_cited_reasons"):
            self._connection.execute(f"create table {table} as from built.main.{table} limit 0")

    def customers(self, **columns: list[Any]) -> None:
        """Write customers c0, c1, … of the run's date with the given columns; the others are empty."""
        for row, values in enumerate(zip(*columns.values(), strict=True)):
            self._connection.execute(
                f"insert into customer_features by name select 'c{row}' as customer_id, as_of_date,"
                f" {', '.join(f'? as {name}' for name in columns)} from int_run",
                list(values),
            )

    def cite(self, customer_id: str, feature: str, direction: str, value: float | None) -> None:
        """Write one cited reason."""
        self._connection.execute(
            "insert into int_cited_reasons by name select ? as customer_id, as_of_date, 1 as reason_rank,"
            " ? as feature, ? as direction, ? as feature_value from int_run",
            [customer_id, feature, direction, value],
        )

    def sql(self, name: str) -> str:
        """Return the compiled SQL of a model or data test."""
        return self._nodes[name].read_text(encoding="utf-8")

    def create(self, name: str) -> None:
        """Build a model as a table."""
        self._connection.execute(f"create table {name} as {self.sql(name)}")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return self._connection.sql(sql).to_arrow_table().to_pylist()


def test_events_that_lie_before_the_worded_period_are_no_reason(built_project: Project) -> None:
    for recency, count in (
        ("days_since_last_ticket", "tickets_opened"),
        ("days_since_last_late_payment", "late_payments"),
        ("days_since_last_contact", "contacts"),
    ):
        said = built_project.query(
            f"select count(*) filter ({recency} is not null), count(*) filter ({count}_last_365_days > 0),"
            f" count(*) filter (({recency} is null) <> ({count}_last_365_days = 0)) from customer_features"
        )[0]
        assert said[0] == said[1] > 0, recency
        assert said[2] == 0, recency


@pytest.mark.parametrize(
    ("meanings", "use"),
    [(("purchase",), "purchases_last_180_days"), ((), "3")],
)
def test_whoever_uses_what_a_source_does_not_record_is_not_dormant(
    fresh_copy: Project, meanings: tuple[str, ...], use: str
) -> None:
    path = fresh_copy.folder / "seeds" / "demo" / "activity_map.csv"
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text(
        header + "".join(row for row in rows if row.split(",")[1] in ("price_interest", *meanings))
    )
    fresh_copy.dbt(
        *("build", *UNTESTED),
        *("--select", "int_seed_problems", "activity_map", "int_activity_map", "int_reason_signals"),
    )
    wrong = fresh_copy.query(
        f"select count(*) from int_reason_signals inner join customer_features using (customer_id, as_of_date)"
        f" where abs(signal_dormant - case when tenure_days >= 180 then 2 * greatest(1 - {use} / 3, 0) else 0 end) > 1e-9"
    )
    assert wrong == [(0,)]
