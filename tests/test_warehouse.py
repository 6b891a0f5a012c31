"""The read-only opener: one wording for each fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from models_ml.errors import BayesPilotError
from models_ml.warehouse import open_warehouse

unknown = pa.table({"unknown": [1]})  # a Python variable of the name of a table is not taken for the table


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "block.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table known as select 1 as number")
    return path


def refused(path: Path, sql: str = "select 1") -> str:
    with pytest.raises(BayesPilotError) as raised, open_warehouse("acme", path) as connection:
        connection.execute(sql)
    return str(raised.value)


def test_it_reads_and_does_not_write(warehouse: Path) -> None:
    with open_warehouse("acme", warehouse) as connection:
        assert connection.execute("select number from known").fetchall() == [(1,)]
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("create table new as select 1")


def test_the_path_is_that_of_the_source(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETENTION_DB", str(warehouse))
    with open_warehouse("acme") as connection:
        assert connection.execute("select count(*) from known").fetchall() == [(1,)]


def test_a_missing_file(tmp_path: Path) -> None:
    said = refused(tmp_path / "none.duckdb")
    assert said.startswith("there is no warehouse yet")
    assert "next: bayespilot run --source acme" in said


@pytest.mark.parametrize("sql", ["select * from unknown", "select unknown from known"])
def test_a_missing_table_or_column(warehouse: Path, sql: str) -> None:
    said = refused(warehouse, sql)
    assert said.startswith("the warehouse lacks a table or column")
    assert "unknown" in said
    assert "next: bayespilot run --source acme" in said


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_text("text" * 5000)
    said = refused(path)
    assert said.startswith("the warehouse file cannot be opened")
    assert "not a valid DuckDB" in said


def test_a_warehouse_that_another_process_holds(warehouse: Path) -> None:
    hold = f"import duckdb; c = duckdb.connect({str(warehouse)!r}); print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = refused(warehouse)
    finally:
        holder.communicate("\n")
    assert said.startswith("the warehouse is in use")
    assert f"PID {holder.pid}" in said


def test_a_warehouse_that_this_process_writes(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse)):
        assert refused(warehouse).startswith("the warehouse is in use")
