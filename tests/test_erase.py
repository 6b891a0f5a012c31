"""Erasing a customer: nothing of the id is left in any file, others stay as they were, and nothing enters again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import UNTESTED, Project

from models_ml.erase import (
    Erased,
    Person,
    _remove_generated,
    _rewrite_lines,
    erase,
    lines_of,
    rewrite_copy,
    salted_hash,
    word_pattern,
)
from models_ml.errors import BayesPilotError
from models_ml.publish import publish

PERSON = Person(("100000406",), frozenset({"a1"}), frozenset({"a1", "b2"}))


def test_a_hash_is_the_one_of_the_sql_macro() -> None:
    made = duckdb.sql("select sha256('salt' || '/' || '7')").fetchall()[0][0]
    assert salted_hash("salt", "7") == made


def test_an_id_is_found_as_a_word_and_not_within_a_longer_one() -> None:
    pattern = word_pattern(PERSON.telling)
    assert pattern.search(b'customer "100000406" left')
    assert pattern.search(b"action a1, b2")
    assert not pattern.search(b"1000004061 x100000406 a12")
    assert not word_pattern([]).search(b"any text")


@pytest.mark.parametrize("blank", [[], [""], ["", "  "]])
def test_no_id_erases_nobody(blank: list[str]) -> None:
    with pytest.raises(BayesPilotError, match="no customer is named"):
        erase("demo", blank)


def test_lines_of_the_journal_go_by_their_own_ids(tmp_path: Path) -> None:
    """Of four rows of 31 October those of customer 10 and of its decision go, and the line that was cut."""
    rows = [
        {"customer_id": customer, "action_id": action, "as_of_date": "2026-10-31", "expected_cost": 10}
        for customer, action in (("10", "d1"), ("11", "d2"), ("12", "a1"), ("é10", "d4"))
    ]
    lines = [json.dumps(row) for row in rows]
    journal = tmp_path / "journal.jsonl"
    journal.write_text("\n".join([lines[0], lines[1], '{"customer_id": "10', lines[2], lines[3]]) + "\n")
    person = Person(("10",), frozenset({"a1"}), frozenset({"a1"}))
    assert _rewrite_lines(journal, person) == 2
    assert journal.read_text().splitlines() == [lines[1], lines[3]]
    assert _rewrite_lines(journal, person) == 0
    assert _rewrite_lines(journal, Person(("é10",), frozenset(), frozenset())) == 1
    assert journal.read_text().splitlines() == [lines[1]]


def test_a_short_id_deletes_no_log_that_holds_it_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    (tmp_path / "dbt_project.yml").touch()
    for folder in ("logs", "target"):
        (tmp_path / folder).mkdir()
    action, other = "0f" * 16, "100000406"
    texts = {
        "logs/run.log": "2026-10-31 04:15:00 10 of 203 OK",
        "logs/decision.log": f"withdrawn {action}",
        "logs/long.log": f"customer {other}",
        "target/run_results.json": '{"failures": 3}',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    erased = Erased()
    _remove_generated("demo", Person(("10", other), frozenset({action}), frozenset({action})), erased)
    assert {path.name for path in erased.files} == {"decision.log", "long.log"}
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["run.log"]
    (said,) = erased.unsure
    assert said.startswith(f"1 file(s) in {tmp_path / 'logs'} (so short an id")
    assert f"may hold the id: {said}" in lines_of(erased)


def test_a_copy_is_rewritten_without_the_person_and_keeps_all_else(tmp_path: Path) -> None:
    file = tmp_path / "retention.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{file}' as made (storage_version 'v1.0.0')")
        connection.execute(
            "create table made.actions (customer_id varchar not null, action_id varchar primary key);"
            "create table made.counts as select 3 as customers;"
            "create table made.logged as select 'b2' as record_id union all select 'c3';"
            "comment on table made.actions is 'one row per action';"
            "insert into made.actions values ('100000406', 'a1'), ('100000407', 'c3')"
        )
    file.chmod(0o444)
    assert rewrite_copy(file, PERSON) == 2
    assert b"100000406" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o444
    with duckdb.connect(str(file), read_only=True) as copy:
        assert copy.execute("from actions").fetchall() == [("100000407", "c3")]
        assert copy.execute("from counts").fetchall() == [(3,)]
        assert copy.execute("from logged").fetchall() == [("c3",)]
        table = copy.execute(
            "select comment, has_primary_key, tags from duckdb_tables() where table_name = 'actions'"
        )
        assert table.fetchall()[0][:2] == ("one row per action", True)
        version = copy.execute(
            "select tags['storage_version'] from duckdb_databases() where not internal"
        ).fetchall()
        assert version == [("v1.0.0+",)]
    assert rewrite_copy(file, PERSON) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["retention.duckdb"]


def test_a_short_id_removes_rows_only_where_a_column_names_the_customer(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    duckdb.sql("select '7' as customer_id, '1' as segment union all select '8', '7'").write_parquet(str(file))
    assert rewrite_copy(file, Person(("7",), frozenset(), frozenset())) == 1
    assert duckdb.read_parquet(str(file)).fetchall() == [("8", "7")]


def test_one_mistyped_id_among_others_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dbt_project.yml").touch()
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.setenv("RETENTION_DB", str(tmp_path / "demo.duckdb"))
    with duckdb.connect(str(tmp_path / "demo.duckdb")) as connection:
        connection.execute("create table customers as select 'known-1' as customer_id")
        connection.execute("create view stg_customers as from customers")
    before = (tmp_path / "demo.duckdb").read_bytes()
    with pytest.raises(BayesPilotError, match=r"nobody was erased(.|\n)*first values: known-2\n"):
        erase("demo", ["known-1", "known-2"])
    assert (tmp_path / "demo.duckdb").read_bytes() == before


def test_what_is_said_names_no_id() -> None:
    said = lines_of(
        Erased(rows={"customer_features": 15}, raw_rows={"stg_activity": 1200}, remaining=["table crm"])
    )
    assert said == [
        "removed 15 row(s) of customer_features",
        "the raw data still holds 1,200 row(s) of stg_activity: the next builds leave them out",
        "still holds the id: table crm",
    ]
    assert lines_of(Erased()) == ["nothing was left to remove"]


@pytest.fixture
def published(fresh_copy: Project, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, str]:
    """A built and published project whose log names the customer to erase, with that customer's id."""
    project = fresh_copy
    (customer,) = project.query(
        "select customer_id from retention_actions where action <> 'no_action' and customer_id in"
        " (select customer_id from training_examples) order by priority limit 1"
    )[0]
    for _ in range(2):
        publish("demo", project.warehouse(), project.folder / "warehouse" / "published" / "demo")
    for folder in ("logs", "target", "reports/demo"):
        (project.folder / folder).mkdir(parents=True, exist_ok=True)
        (project.folder / folder / "said.txt").write_text(f"customer {customer} has no consent")
        (project.folder / folder / "other.txt").write_text(f"customer {customer}9 has no consent")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(project.folder))
    monkeypatch.setenv("RETENTION_DATA", str(project.raw_data))
    monkeypatch.delenv("RETENTION_DB", raising=False)
    return project, str(customer)


def everything_else(project: Project, customer: str, table: str) -> list[tuple[Any, ...]]:
    return project.query(f"select * from {table} where customer_id <> '{customer}' order by all")


def places_with(project: Project, words: list[str]) -> list[str]:
    """Return the files that hold a word in their bytes, and the tables that hold one in a value."""
    roots = ("warehouse", "logs", "target", "reports", "models_ml/artifacts")
    files = [path for root in roots for path in (project.folder / root).rglob("*") if path.is_file()]
    found = [
        str(path)
        for path in files
        if any(word.encode() in path.read_bytes().replace(f"{words[0]}9".encode(), b"") for word in words)
    ]
    databases = [path for path in files if path.suffix == ".duckdb"]
    for path in databases:
        with duckdb.connect(str(path), read_only=True) as connection:
            columns = connection.execute(
                "select table_name, column_name from duckdb_columns() where data_type = 'VARCHAR' and table_name in"
                " (select table_name from duckdb_tables() where not internal)"
            ).fetchall()
            for table, column in columns:
                holds = " or ".join(f"contains({column}, '{word}')" for word in words)
                if connection.execute(f'select count(*) from "{table}" where {holds}').fetchall()[0][0]:
                    found.append(f"{path}: {table}.{column}")
    for path in (path for path in files if path.suffix == ".parquet"):
        rows = duckdb.read_parquet(str(path)).filter(f"customer_id = '{words[0]}'").fetchall()
        found.extend([str(path)] if rows else [])
    return found


@pytest.mark.build
def test_nothing_is_left_nothing_enters_again_and_others_stay(published: tuple[Project, str]) -> None:
    project, customer = published
    actions = project.query(
        f"select action_id from retention_actions_history where customer_id = '{customer}'"
    )
    words = [customer, *(action for (action,) in actions)]
    held = places_with(project, words)
    assert {"churn_scores", "int_stored_decisions", "customer_features"} <= {
        place.split(": ")[1].split(".")[0] for place in held if ": " in place
    }
    tables = ("customer_features", "retention_actions_history", "retention_actions", "churn_scores")
    others = {table: everything_else(project, customer, table) for table in tables}
    policy_runs = project.query("select * from policy_runs")

    erased = erase("demo", [customer])
    assert places_with(project, words) == []
    assert erased.remaining == []
    assert erased.rows["int_stored_decisions"] == len(actions) == 1
    assert erased.raw_rows["stg_customers"] >= 1
    assert sum(path.endswith("retention.duckdb") for path in erased.rows) == 2, "every run that still stands"
    assert {path.name for path in erased.files} >= {"said.txt"}
    assert (project.folder / "logs" / "other.txt").is_file()
    assert {table: everything_else(project, customer, table) for table in tables} == others
    assert project.query("select * from policy_runs") == policy_runs
    hashed = hashlib.sha256(words[1].encode()).hexdigest()
    assert project.query("select action_id_hash from erased_actions") == [(hashed,)]
    tombstones = project.query("from retention_actions_sync where status = 'erased'")
    assert [row[0] for row in tombstones] == [hashed]
    assert not set(words) & {value for row in tombstones for value in row}

    with pytest.raises(BayesPilotError, match="no customer is named"):
        erase("demo", [""])
    assert (project.folder / "logs" / "other.txt").is_file()

    again = erase("demo", [customer])
    assert again.rows == {}
    assert again.files == []
    assert again.raw_rows == erased.raw_rows
    assert project.query("select count(*) from erased_customers") == [(1,)]

    said = project.dbt("build", "--exclude-resource-types", "unit_test")
    assert "has changed since" not in said
    assert places_with(project, words) == []
    assert project.query(f"select * from quarantine where customer_id = '{customer}'") == []
    assert project.query(f"select * from int_checked_activity where customer_id = '{customer}'") == []
    assert everything_else(project, customer, "customer_features") == others["customer_features"]
    assert project.query("from retention_actions_sync where status = 'erased'") == tombstones
    assert project.query("select count(*) from erased_customers") == [(1,)]


@pytest.mark.build
def test_rows_of_an_erased_person_without_a_customer_row_do_not_enter_the_quarantine(
    published: tuple[Project, str], tmp_path: Path
) -> None:
    project, customer = published
    assert project.raw_data is not None
    erase("demo", [customer])
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in project.raw_data.glob("*.parquet"):
        kept = f"where customer_id <> {customer}" if file.stem == "customers" else ""
        duckdb.sql(f"select * from '{file}' {kept}").write_parquet(str(raw / file.name))
    project.raw_data = raw
    project.dbt("build", "--select", "+quarantine", *UNTESTED)
    assert project.query(f"select * from quarantine where customer_id = '{customer}'") == []
    assert project.query(
        "select count(*) > 0 from quarantine where quarantine_reason = 'unknown_customer'"
    ) == [(True,)]


@pytest.mark.build
def test_a_mistyped_id_changes_nothing(published: tuple[Project, str]) -> None:
    project, customer = published
    before = project.warehouse().read_bytes()
    with pytest.raises(BayesPilotError, match="nothing is held of this customer"):
        erase("demo", [f"{customer}00"])
    assert project.warehouse().read_bytes() == before


@pytest.mark.build
def test_an_interrupted_erasure_leaves_the_warehouse_whole(
    published: tuple[Project, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, customer = published
    rows = project.query("select count(*) from customer_features")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("models_ml.erase._record", stop)
        with pytest.raises(KeyboardInterrupt):
            erase("demo", [customer])
    assert project.query("select count(*) from customer_features") == rows
    assert [path.name for path in project.warehouse().parent.iterdir() if path.name.startswith(".demo")] == []
    with monkeypatch.context() as patched:
        patched.setattr("models_ml.erase.rewrite_copy", stop)
        with pytest.raises(KeyboardInterrupt):
            erase("demo", [customer])
    copies = (project.folder / "warehouse" / "published" / "demo" / "runs").glob("*/retention.duckdb")
    assert erase("demo", [customer]).rows.keys() >= {str(copy) for copy in copies}
    assert places_with(project, [customer]) == []
