"""The published copy: whole, read-only, and untouched where there is nothing to publish."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from models_ml.errors import BayesPilotError
from models_ml.publish import publish

TABLES = """
    create table retention_actions as select 'c' || range as customer_id, range as priority from range(3);
    create view retention_actions_deliverable as select * from retention_actions where priority > 0;
    create table rpt_calibration as select 1.5 as ratio;
    create table int_decisions as select 1 as internal;
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "copy.duckdb"  # a warehouse may have any name
    with duckdb.connect(str(path)) as connection:
        connection.execute(TABLES)
    return path


def test_public_tables_and_reports_are_copied_and_nothing_else(warehouse: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    assert publish("demo", warehouse, folder) == 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "retention.duckdb", "retention_actions.parquet", "retention_actions_deliverable.parquet",
    ]  # fmt: skip
    with duckdb.connect(str(folder / "retention.duckdb"), read_only=True) as copy:
        names = [
            name for (name,) in copy.execute("select table_name from duckdb_tables() order by 1").fetchall()
        ]
        assert names == ["retention_actions", "retention_actions_deliverable", "rpt_calibration"]
    parquet = duckdb.sql(f"select max(priority) from '{folder / 'retention_actions_deliverable.parquet'}'")
    assert parquet.fetchall() == [(2,)]
    assert {path.stat().st_mode & 0o222 for path in folder.iterdir()} == {0}


def test_a_second_copy_replaces_the_first_while_a_reader_holds_it(warehouse: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    publish("demo", warehouse, folder)
    query = "select count(*) from retention_actions"
    read = (
        f"import duckdb; c = duckdb.connect({str(folder / 'retention.duckdb')!r}, read_only=True); print('open', flush=True);"
        f" input(); print(c.execute({query!r}).fetchall())"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", read], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("insert into retention_actions values ('new', 9)")
    assert publish("demo", warehouse, folder) == 4
    assert reader.communicate("\n")[0] == "[(3,)]\n", "the reader keeps the copy that it opened"
    with duckdb.connect(str(folder / "retention.duckdb"), read_only=True) as copy:
        assert copy.execute(query).fetchall() == [(4,)]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("delete from retention_actions", "retention_actions is empty"),
        ("drop table retention_actions", "the warehouse lacks a table"),
    ],
)
def test_without_decisions_the_earlier_copy_stays(
    warehouse: Path, tmp_path: Path, statement: str, says: str
) -> None:
    folder = tmp_path / "published"
    publish("demo", warehouse, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("drop view retention_actions_deliverable")
        connection.execute(statement)
    with pytest.raises(BayesPilotError, match=says) as raised:
        publish("demo", warehouse, folder)
    assert "next: bayespilot run --source demo" in str(raised.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
