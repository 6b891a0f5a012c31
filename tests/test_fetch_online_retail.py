"""scripts/fetch_online_retail.py: the published file in its several forms becomes one typed Parquet file."""

from __future__ import annotations

import hashlib
import urllib.error
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import fetch_online_retail
import openpyxl
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

HEADINGS = [
    "Invoice",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "Price",
    "Customer ID",
    "Country",
]
FIRST = [489434, "85048", " GLASS BALL", 12, datetime(2009, 12, 1, 7, 45), 6.95, 13085, "United Kingdom"]
CANCELLED = ["C536379", "D", None, -1, datetime(2010, 12, 1, 9, 41), 27.5, 14527, "United Kingdom"]
NOBODY = [536414, 22139, "56", 56, datetime(2010, 12, 1, 11, 52), 0.001, None, "EIRE"]
LAST = [581587, "22138", "BAKING SET, 9 PIECE", 3, datetime(2011, 12, 9, 12, 50), 4.95, 12680, "France"]
Run = Callable[..., Result]
TYPES = ["VARCHAR", "VARCHAR", "VARCHAR", "INTEGER", "TIMESTAMP", "DOUBLE", "INTEGER", "VARCHAR"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    app = typer.Typer()
    app.command()(fetch_online_retail.main)

    def run_with(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["--out", str(tmp_path / "raw"), *map(str, arguments)])

    return run_with


def write_workbook(path: Path, *sheets: list[list[object]], headings: list[str] = HEADINGS) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for number, rows in enumerate(sheets):
        sheet = workbook.create_sheet(f"Year {number}")
        for row in [headings, *rows]:
            sheet.append(row)
    workbook.save(path)
    return path


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([",".join(HEADINGS), *lines]) + "\n", encoding="utf-8")
    return path


def read_lines(tmp_path: Path) -> list[tuple]:
    return duckdb.sql(f"select * from '{tmp_path}/raw/invoice_lines.parquet'").fetchall()


def test_workbook_becomes_typed_lines(run: Run, tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "book.xlsx", [FIRST, CANCELLED, NOBODY, LAST])
    assert run("--from-file", path).exit_code == 0
    relation = duckdb.sql(f"select * from '{tmp_path}/raw/invoice_lines.parquet'")
    assert [str(data_type) for data_type in relation.types] == TYPES
    assert relation.fetchall() == [
        ("489434", "85048", " GLASS BALL", 12, datetime(2009, 12, 1, 7, 45), 6.95, 13085, "United Kingdom"),
        ("C536379", "D", None, -1, datetime(2010, 12, 1, 9, 41), 27.5, 14527, "United Kingdom"),
        ("536414", "22139", "56", 56, datetime(2010, 12, 1, 11, 52), 0.001, None, "EIRE"),
        ("581587", "22138", "BAKING SET, 9 PIECE", 3, datetime(2011, 12, 9, 12, 50), 4.95, 12680, "France"),
    ]


def test_lines_in_two_sheets_are_taken_once_and_repeats_within_a_sheet_stay(run: Run, tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path / "book.xlsx", [FIRST, FIRST, CANCELLED, NOBODY], [CANCELLED, NOBODY, NOBODY, LAST]
    )
    result = run("--from-file", path)
    invoices = [line[0] for line in read_lines(tmp_path)]
    assert invoices == ["489434", "489434", "C536379", "536414", "536414", "581587"]
    assert "2 lines in two sheets" in result.output


def test_a_line_missing_from_the_later_sheet_stays(run: Run, tmp_path: Path) -> None:
    run("--from-file", write_workbook(tmp_path / "book.xlsx", [FIRST, CANCELLED, NOBODY], [CANCELLED, LAST]))
    assert [line[0] for line in read_lines(tmp_path)] == ["489434", "536414", "C536379", "581587"]


def test_zip_csv_and_workbook_give_the_same_lines(run: Run, tmp_path: Path) -> None:
    run("--from-file", write_workbook(tmp_path / "book.xlsx", [FIRST, NOBODY, LAST]))
    from_workbook = read_lines(tmp_path)
    with zipfile.ZipFile(tmp_path / "book.zip", "w") as archive:
        archive.write(tmp_path / "book.xlsx", "online_retail_II.xlsx")
    assert run("--from-file", tmp_path / "book.zip").exit_code == 0
    assert read_lines(tmp_path) == from_workbook
    path = write_csv(
        tmp_path / "book.csv",
        "489434,85048, GLASS BALL,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom",
        "536414,22139,56,56,2010-12-01 11:52:00,0.001,,EIRE",
        '581587,22138,"BAKING SET, 9 PIECE",3,2011-12-09 12:50:00,4.95,12680.0,France',
    )
    assert run("--from-file", path).exit_code == 0
    assert read_lines(tmp_path) == from_workbook


def test_the_output_states_figures_checksum_source_and_licence(run: Run, tmp_path: Path) -> None:
    output = run("--from-file", write_workbook(tmp_path / "book.xlsx", [FIRST, NOBODY, LAST])).output
    target = tmp_path / "raw" / "invoice_lines.parquet"
    assert "3 invoice lines, 2009-12-01 to 2011-12-09" in output
    assert "3 invoices, 2 customers; 1 lines without a customer" in output
    assert hashlib.sha256(target.read_bytes()).hexdigest() in output
    assert "10.24432/C5CG6D" in output
    assert "CC BY 4.0" in output


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "489434,85048,BALL,2.5,2009-12-01 07:45:00,6.95,13085,UK",
            "quantity are not of type integer|2.5 (line 1)",
        ),
        (
            "489434,85048,BALL,2,1/12/2009 07h45,6.95,13085,UK",
            "invoice_at are not of type timestamp|1/12/2009 07h45",
        ),
        (
            "489434,85048,BALL,2,2009-12-01 07:45:00,,13085,UK",
            "unit_price are not of type double|nothing (line 1)",
        ),
        (
            "489434,85048,BALL,2,2009-12-01 07:45:00,6.95,Ann,UK",
            "customer_id are not of type integer|Ann (line 1)",
        ),
        ("489434,85048,BALL,2,2012-01-01 07:45:00,6.95,13085,UK", "published period|2012-01-01 07:45:00"),
    ],
)
def test_broken_values_are_named_and_the_earlier_file_stays(
    run: Run, tmp_path: Path, line: str, words: str
) -> None:
    run("--from-file", write_workbook(tmp_path / "book.xlsx", [FIRST]))
    before = (tmp_path / "raw" / "invoice_lines.parquet").read_bytes()
    result = run("--from-file", write_csv(tmp_path / "broken.csv", line))
    assert result.exit_code == 1
    assert all(word in result.output for word in words.split("|"))
    assert "next: " in result.output
    assert [file.name for file in (tmp_path / "raw").iterdir()] == ["invoice_lines.parquet"]
    assert (tmp_path / "raw" / "invoice_lines.parquet").read_bytes() == before


def test_other_files_are_refused(run: Run, tmp_path: Path) -> None:
    headings = [
        "Invoice No",
        "StockCode",
        "Text",
        "Quantity",
        "InvoiceDate",
        "Price",
        "Customer ID",
        "Country",
    ]
    write_workbook(tmp_path / "other.xlsx", [FIRST], headings=headings)
    (tmp_path / "torn.xlsx").write_bytes(b"PK")
    (tmp_path / "torn.zip").write_bytes(b"PK")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    for name, words in {
        "other.xlsx": "no column for description",
        "torn.xlsx": "the workbook cannot be read",
        "torn.zip": "nor a complete zip archive",
        "empty.zip": "readme.txt",
        "missing.csv": "there is no such file",
    }.items():
        result = run("--from-file", tmp_path / name)
        assert result.exit_code == 1, name
        assert words in result.output
        assert "--from-file" in result.output
    assert run("--from-file", write_csv(tmp_path / "no_lines.csv")).exit_code == 1


def test_without_network_the_error_says_how_to_continue_by_hand(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    result = run()
    assert result.exit_code == 1
    assert "could not be downloaded" in result.output
    assert "--from-file <the downloaded file>" in result.output
