"""The Online Retail staging selects, run as plain SQL on hand-made lines and on the real file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import jinja2
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "dbt_project" / "sources" / "online_retail"
SEEDS = ROOT / "seeds" / "online_retail"
RETAIL = os.environ.get("RETENTION_TEST_RETAIL", "")
SCHEMA = pa.schema(
    [
        ("invoice_no", pa.string()),
        ("stock_code", pa.string()),
        ("description", pa.string()),
        ("quantity", pa.int32()),
        ("invoice_at", pa.timestamp("us")),
        ("unit_price", pa.float64()),
        ("customer_id", pa.int32()),
        ("country", pa.string()),
    ]
)
SHAPES = {
    "customers": ["VARCHAR", "DATE", "VARCHAR", "VARCHAR", "VARCHAR"],
    "subscriptions": [*["VARCHAR"] * 4, "DECIMAL(18,2)", *["DATE"] * 4],
    "activity": ["VARCHAR", "TIMESTAMP", "VARCHAR", "BIGINT", "DECIMAL(18,2)"],
    "payments": ["VARCHAR", "VARCHAR", "DATE", "DATE", "DECIMAL(18,2)", "VARCHAR"],
    "support_tickets": ["VARCHAR", "VARCHAR", "TIMESTAMP", "TIMESTAMP", "VARCHAR", "INTEGER"],
    "retention_contacts": [
        *["VARCHAR", "VARCHAR", "VARCHAR", "VARCHAR", "DATE", "DATE", "DECIMAL(18,2)", "BOOLEAN", "DOUBLE"],
    ],
}
Line = tuple[str, str, int, str, float, int | None, str]


def run_staging(table: str, folder: Path) -> duckdb.DuckDBPyRelation:
    """Return the rows of ``stg_<table>`` over the file in ``folder``."""
    location = f"'{folder}/invoice_lines.parquet'"
    template = jinja2.Template((SOURCE / f"stg_{table}.sql").read_text(encoding="utf-8"))
    return duckdb.connect().sql(template.render(source=lambda *_: location))


def write_lines(folder: Path, lines: Sequence[Line]) -> Path:
    """Write (invoice_no, stock_code, quantity, invoice_at, unit_price, customer_id, country) as a file."""
    rows = [
        dict(zip(SCHEMA.names, (no, code, "text", quantity, datetime.fromisoformat(at), *rest), strict=True))
        for no, code, quantity, at, *rest in lines
    ]
    pa.parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "invoice_lines.parquet")
    return folder


def activity(folder: Path, lines: Sequence[Line]) -> list[tuple]:
    """Return the activity of hand-made lines in order of time."""
    return run_staging("activity", write_lines(folder, lines)).order("occurred_at, customer_id").fetchall()


def test_one_order_per_invoice_with_exact_money(tmp_path: Path) -> None:
    lines = [
        ("1", "85048", 3, "2010-01-05 10:02:00", 0.10, 7, "France"),
        ("1", "79323P", 10, "2010-01-05 10:01:00", 2.55, 7, "France"),
        ("2", "85048", 1, "2010-01-05 11:00:00", 6.95, 7, "France"),
    ]
    assert activity(tmp_path, lines) == [
        ("7", datetime(2010, 1, 5, 10, 1), "order", 13, Decimal("25.80")),
        ("7", datetime(2010, 1, 5, 11, 0), "order", 1, Decimal("6.95")),
    ]


def test_a_cancellation_takes_money_back_and_is_no_order(tmp_path: Path) -> None:
    lines = [
        ("1", "85048", 10, "2010-01-05 10:00:00", 2.50, 7, "France"),
        ("C2", "85048", -4, "2010-01-06 10:00:00", 2.50, 7, "France"),
    ]
    assert activity(tmp_path, lines)[1:] == [
        ("7", datetime(2010, 1, 6, 10, 0), "cancellation", -4, Decimal("-10.00")),
    ]


def test_only_exact_repeats_count_once(tmp_path: Path) -> None:
    line = ("1", "85048", 2, "2010-01-05 10:00:00", 2.50, 7, "France")
    another = ("1", "85048", 3, "2010-01-05 10:00:00", 2.50, 7, "France")
    assert activity(tmp_path, [line, line, another])[0][3:] == (5, Decimal("12.50"))


def test_an_invoice_without_a_customer_passes_with_none(tmp_path: Path) -> None:
    lines = [
        ("1", "85048", 2, "2010-01-05 10:00:00", 2.50, None, "France"),
        ("A2", "B", 1, "2010-01-06 10:00:00", -50.0, None, "France"),
    ]
    assert [(row[0], row[2], row[4]) for row in activity(tmp_path, lines)] == [
        (None, "order", Decimal("5.00")),
        (None, "adjustment", Decimal("-50.00")),
    ]
    assert run_staging("customers", tmp_path).fetchall() == []


@pytest.mark.parametrize("code", ["POST", "M", "m", "D", "BANK CHARGES", "ADJUST2", "TEST001", "C2"])
def test_what_is_no_goods_makes_no_order(tmp_path: Path, code: str) -> None:
    alone = ("1", code, 1, "2010-01-05 10:00:00", 15.0, 7, "France")
    assert activity(tmp_path, [alone])[0][2:] == ("adjustment", 0, Decimal("15.00"))
    goods = ("1", "85048", 4, "2010-01-05 10:00:00", 2.0, 7, "France")
    assert activity(tmp_path, [alone, goods])[0][2:] == ("order", 4, Decimal("23.00"))


def test_goods_given_away_are_no_order(tmp_path: Path) -> None:
    gift = ("1", "84535B", 24, "2010-01-05 10:00:00", 0.0, 7, "France")
    assert activity(tmp_path, [gift])[0][2:] == ("adjustment", 24, Decimal("0.00"))


def test_a_customer_is_read_from_the_first_invoice(tmp_path: Path) -> None:
    lines = [
        ("3", "85048", 1, "2010-03-05 10:00:00", 2.0, 7, "Spain"),
        ("2", "85048", 1, "2010-01-05 10:00:00", 2.0, 7, "Italy"),
        ("1", "85048", 1, "2010-01-05 10:00:00", 2.0, 7, "France"),
        ("4", "85048", 1, "2010-02-01 10:00:00", 2.0, 8, "Unspecified"),
    ]
    rows = run_staging("customers", write_lines(tmp_path, lines)).order("customer_id").fetchall()
    assert rows == [
        ("7", date(2010, 1, 5), "France", None, None),
        ("8", date(2010, 2, 1), None, None, None),
    ]


@pytest.mark.parametrize("table", SHAPES)
def test_every_staging_select_has_the_types_of_the_contract(tmp_path: Path, table: str) -> None:
    line = ("1", "85048", 1, "2010-03-05 10:00:00", 2.0, 7, "Spain")
    relation = run_staging(table, write_lines(tmp_path, [line]))
    assert [str(data_type) for data_type in relation.types] == SHAPES[table]
    assert len(relation.fetchall()) == (1 if table in ("customers", "activity") else 0)


def rendered_source(folder: Path) -> dict:
    text = jinja2.Template((SOURCE / "sources.yml").read_text(encoding="utf-8")).render(
        env_var=lambda name, default=None: str(folder) if name == "RETENTION_DATA" else default
    )
    return yaml.safe_load(text)["sources"][0]


def test_data_ends_on_the_last_day_of_the_file_whatever_a_stray_line_says(tmp_path: Path) -> None:
    lines = [
        ("1", "85048", 1, "2010-03-05 10:00:00", 2.0, 7, "Spain"),
        ("2", "85048", 1, "2010-03-09 18:00:00", 2.0, 7, "Spain"),
        ("3", "85048", 1, "2099-01-01 10:00:00", 2.0, 7, "Spain"),
    ]
    declared = rendered_source(write_lines(tmp_path, lines))["config"]["meta"]["data_ends_on"]
    expression = declared.replace("{invoice_lines}", f"'{tmp_path}/invoice_lines.parquet'")
    assert duckdb.sql(f"select cast({expression} as date)").fetchall() == [(date(2010, 3, 9),)]


def test_declared_types_are_those_of_the_file(tmp_path: Path) -> None:
    write_lines(tmp_path, [("1", "85048", 1, "2010-03-05 10:00:00", 2.0, 7, "Spain")])
    declared = rendered_source(tmp_path)["tables"][0]["columns"]
    relation = duckdb.sql(f"select * from '{tmp_path}/invoice_lines.parquet'")
    in_duckdb = {"string": "VARCHAR"}  # its name on every engine
    assert {
        column["name"]: in_duckdb.get(column["data_type"], column["data_type"].upper()) for column in declared
    } == dict(zip(relation.columns, map(str, relation.types), strict=True))


def seed_rows(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["offers", "policy", "offer_effect_priors", "activity_map", "reason_texts"])
def test_every_seed_row_states_all_its_values(name: str) -> None:
    rows = seed_rows(name)
    assert rows
    unknown = {"acceptance_mean", "acceptance_sd"}  # nothing is believed of who accepts
    assert all(value for row in rows for column, value in row.items() if column not in unknown)
    assert {"unit", "source"} <= rows[0].keys()


def test_only_orders_count_as_events_and_every_type_moves_purchase_money() -> None:
    rows = seed_rows("activity_map")
    assert {row["activity_type"] for row in rows if row["counts_as_event"] == "true"} == {"order"}
    assert {row["activity_type"] for row in rows if row["meaning"] == "purchase"} == {
        *["order", "cancellation", "adjustment"],
    }


@pytest.mark.retail
@pytest.mark.skipif(not RETAIL, reason="RETENTION_TEST_RETAIL names no folder with invoice_lines.parquet")
def test_the_real_file_keeps_every_invoice_and_every_penny() -> None:
    staged = run_staging("activity", Path(RETAIL)).filter("occurred_at < '2011-06-01'")
    totals = staged.aggregate(
        "activity_type, customer_id is null as nobody, count(*) as invoices, sum(amount) as money"
    ).fetchall()
    assert sorted(totals) == [
        ("adjustment", False, 293, Decimal("137957.56")),
        ("adjustment", True, 4258, Decimal("47280.56")),
        ("cancellation", False, 5835, Decimal("-688094.33")),
        ("cancellation", True, 298, Decimal("-237592.31")),
        ("order", False, 25556, Decimal("11674040.00")),
        ("order", True, 2271, Decimal("1894591.75")),
    ]
    customers = run_staging("customers", Path(RETAIL)).filter("signed_up_on < '2011-06-01'")
    assert customers.aggregate("count(*), count(distinct customer_id), count(region)").fetchall() == [
        (4998, 4998, 4992)
    ]


@pytest.mark.retail
@pytest.mark.skipif(not RETAIL, reason="RETENTION_TEST_RETAIL names no folder with invoice_lines.parquet")
def test_the_real_file_agrees_with_counting_line_by_line() -> None:
    table = pa.parquet.read_table(Path(RETAIL) / "invoice_lines.parquet", schema=SCHEMA)
    tenths_of_pence: dict[str, int] = {}
    for row in dict.fromkeys(zip(*(column.to_pylist() for column in table.columns), strict=True)):
        invoice_no, quantity, unit_price = row[0], row[3], row[5]
        tenths_of_pence[invoice_no] = tenths_of_pence.get(invoice_no, 0) + quantity * round(unit_price * 1000)
    expected = sorted(
        int(Decimal(amount).scaleb(-1).quantize(Decimal(1), rounding="ROUND_HALF_UP"))
        for amount in tenths_of_pence.values()
    )
    staged = run_staging("activity", Path(RETAIL)).project("cast(amount * 100 as bigint)").fetchall()
    assert sorted(pence for (pence,) in staged) == expected
