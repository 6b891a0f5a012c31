"""The published copy: one folder a run, a link that changes at once, and nothing where tables are of different runs."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from models_ml import publish as publishing
from models_ml.erase import Person, rewrite_copy
from models_ml.errors import BayesPilotError
from models_ml.files import point_link
from models_ml.paths import published_run_folder
from models_ml.publish import publish
from models_ml.published_tables import COPY, ONLY_ROWS, PUBLISHED_TABLES, REPORT_PREFIX, UnfinishedRunError

TABLES = """
    create table int_run as
        select date '2026-10-31' as as_of_date, 'abcdef0123456789' as dbt_invocation_id,
            null::varchar as history_from, false as is_frozen;
    create table int_finished_run as select as_of_date, dbt_invocation_id from int_run;
    create table retention_actions as
        select 'c' || range as customer_id, range as priority, date '2026-10-31' as as_of_date,
            'p1' as pipeline_version, 'q1' as policy_version
        from range(3);
    comment on table retention_actions is 'it''s one row per customer';
    comment on column retention_actions.priority is 'order of "contacts"';
    create view retention_actions_deliverable as select * from retention_actions where priority > 0;
    comment on view retention_actions_deliverable is 'what may be done now';
    create table int_stored_decisions as
        select customer_id, as_of_date, timestamp '2026-11-01 04:00:00' as updated_at from retention_actions
        union all select 'c0', date '2026-10-30', timestamp '2026-10-31 04:00:00';
    create view retention_actions_history as
        select md5(customer_id) as action_id, customer_id, as_of_date from main.int_stored_decisions;
    comment on view retention_actions_history is 'every decision';
    create table policy_runs as
        select as_of_date, 'q1' as policy_version from int_run
        union all select date '2026-10-30', 'q0';
    create table churn_scores as select as_of_date, 'p1' as pipeline_version from int_run;
    create table deployed_pipeline as select 'p1' as pipeline_version;
    create table customer_features as select as_of_date, 7 as tenure_days from int_run union all select date '2026-09-30', 6;
    create table rpt_run_volume as select as_of_date, 3 as row_count from int_run;
    create table rpt_expected_performance as select as_of_date, 0.7 as auc from int_run;
    create table int_decisions as select 1 as internal;
    create table somebody_elses as select 1 as internal;
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / f"{COPY[:4]}.duckdb"  # a warehouse may have any name
    with duckdb.connect(str(path)) as connection:
        connection.execute(TABLES)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's a place" / "published"  # quotes and blanks are part of a path


def change(warehouse: Path, statement: str) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(statement)


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(file), read_only=True) as copy:
        return copy.execute(sql).fetchall()


def test_a_run_folder_holds_public_tables_with_their_comments_and_its_id(
    warehouse: Path, folder: Path
) -> None:
    published = publish("demo", warehouse, folder)
    assert published.rows == 3
    assert (folder / "current").is_symlink()
    run = (folder / "current").resolve()
    assert run == published.run_folder.resolve()
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-abcdef01", run.name)
    assert sorted(path.name for path in run.iterdir()) == [
        "retention.duckdb", "retention_actions.parquet", "retention_actions_deliverable.parquet",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o222 for path in run.iterdir()} == {0}
    file = run / "retention.duckdb"
    assert [name for (name,) in rows(file, "select table_name from duckdb_tables() order by 1")] == [
        "churn_scores", "customer_features", "deployed_pipeline", "policy_runs", "published_run", "retention_actions",
        "retention_actions_deliverable", "rpt_expected_performance", "rpt_run_volume",
    ]  # fmt: skip
    assert rows(file, "select comment from duckdb_tables() where table_name like 'retention_actions%' order by table_name") == [
        ("it's one row per customer",), ("what may be done now",),
    ]  # fmt: skip
    comment = "select comment from duckdb_columns() where table_name = 'retention_actions' and column_name = 'priority'"
    assert rows(file, comment) == [('order of "contacts"',)]
    assert rows(file, "select tenure_days from customer_features") == [(7,)], "of the run's date only"
    assert rows(file, "select run_id, source, as_of_date::varchar, dbt_invocation_id from published_run") == [
        (run.name, "demo", "2026-10-31", "abcdef0123456789")
    ]
    assert rows(file, "select tags['storage_version'] from duckdb_databases() where not internal") == [
        ("v1.0.0+",)
    ]
    parquet = run / "retention_actions_deliverable.parquet"
    assert duckdb.read_parquet(str(parquet)).max("priority").fetchall() == [(2,)]
    metadata = pq.read_metadata(parquet).metadata
    assert (metadata[b"published_run"], metadata[b"as_of_date"]) == (run.name.encode(), b"2026-10-31")


def history_of(run: Path) -> list[tuple[object, ...]]:
    sql = "select as_of_date::varchar, customer_id, action_id = md5(customer_id) from retention_actions_history order by 1, 2"
    return rows(run / "retention.duckdb", sql)


def test_the_history_of_a_run_is_read_from_files_of_its_nights(warehouse: Path, folder: Path) -> None:
    run = publish("demo", warehouse, folder).run_folder
    tonight = [("2026-10-31", f"c{number}", True) for number in range(3)]
    assert history_of(run) == [("2026-10-30", "c0", True), *tonight]
    assert rows(run / "retention.duckdb", "select view_name, comment from duckdb_views() where not internal order by 1") == [
        ("int_stored_decisions", None), ("retention_actions_history", "every decision"),
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o222 for path in (folder / "history").iterdir()} == {0}
    with duckdb.connect() as other:  # a target for development reads the copy under a name of its own
        other.execute(f"attach '{str(run / 'retention.duckdb').replace(chr(39), chr(39) * 2)}' as production")
        assert other.execute("select count(*) from production.main.retention_actions_history").fetchall() == [
            (4,)
        ]


def test_a_night_is_written_again_only_where_its_rows_have_changed(
    warehouse: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish("demo", warehouse, folder).run_folder
    written = {path: path.stat().st_mtime_ns for path in (folder / "history").iterdir()}
    assert len(written) == 2
    change(
        warehouse,
        "update int_stored_decisions set updated_at = updated_at + interval 1 hour where customer_id = 'c1'",
    )
    second = publish("demo", warehouse, folder).run_folder
    change(warehouse, "delete from int_stored_decisions where customer_id = 'c0'")
    third = publish("demo", warehouse, folder).run_folder
    assert [len(history_of(run)) for run in (first, second, third)] == [4, 4, 2]
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(list((folder / "history").iterdir())) == 4
    monkeypatch.setattr(publishing, "KEPT_AFTER_REPLACEMENT", timedelta(0))
    fourth = publish("demo", warehouse, folder).run_folder
    assert history_of(fourth) == [("2026-10-31", "c1", True), ("2026-10-31", "c2", True)]
    assert len(list((folder / "history").iterdir())) == 1


def test_erasing_from_a_parquet_file_keeps_the_id_of_its_run(warehouse: Path, folder: Path) -> None:
    run = publish("demo", warehouse, folder).run_folder
    file = run / "retention_actions.parquet"
    assert rewrite_copy(file, Person(("c1",), frozenset(), frozenset())) == 1
    assert pq.read_metadata(file).metadata[b"published_run"] == run.name.encode()
    assert duckdb.read_parquet(str(file)).count("*").fetchall() == [(2,)]


def test_every_table_of_the_readme_and_every_table_of_earlier_runs_is_published() -> None:
    readme = (ROOT / "README.md").read_text().split("## What comes out")[1].split("\n## ")[0]
    named = {
        name
        for line in readme.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    read = {
        name
        for file in (ROOT / "dbt_project").rglob("*.sql")
        for name in re.findall(r"\{\{ earlier_runs\('(\w+)'", file.read_text())
    }
    assert {"retention_actions_history", "policy_runs", "int_enrolled_months", "rpt_run_volume"} <= read
    assert len(named) > 20
    missing = {name for name in named | read if not name.startswith(REPORT_PREFIX)} - set(PUBLISHED_TABLES)
    assert missing == {"churn_labels", "training_examples"}, (
        "views that only a training reads, as README says"
    )
    assert not read & ONLY_ROWS.keys(), "what the loop reads is published whole"


def test_the_link_moves_while_a_reader_holds_the_earlier_run(warehouse: Path, folder: Path) -> None:
    earlier = publish("demo", warehouse, folder).run_folder
    query = "select count(*) from retention_actions"
    read = (
        f"import duckdb; c = duckdb.connect({str(earlier / 'retention.duckdb')!r}, read_only=True); print('open', flush=True);"
        f" input(); print(c.execute({query!r}).fetchall())"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", read], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    change(warehouse, "delete from retention_actions where priority = 0")
    later = publish("demo", warehouse, folder).run_folder
    assert later != earlier
    assert reader.communicate("\n")[0] == "[(3,)]\n", "the reader keeps the run that it resolved"
    assert rows(folder / "current" / "retention.duckdb", query) == [(2,)]
    assert rows(earlier / "retention.duckdb", query) == [(3,)], "and may still open its files"


def test_a_replaced_run_stays_an_hour(warehouse: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter([0.0, 24.0, 24.9, 25.1])
    began = datetime(2026, 11, 1)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return began + timedelta(hours=next(hours))

    monkeypatch.setattr(publishing, "datetime", Clock)
    runs = [publish("demo", warehouse, folder).run_folder for _ in range(3)]
    assert sorted((folder / "runs").iterdir()) == runs, "the first was replaced 54 minutes ago"
    (folder / "runs" / "notes").mkdir()  # nobody's run stays
    last = publish("demo", warehouse, folder).run_folder
    assert sorted((folder / "runs").iterdir()) == [*runs[1:], last, folder / "runs" / "notes"]


@pytest.mark.parametrize("part", ["database", "parquet", "link"])
def test_a_killed_publishing_leaves_the_earlier_run_and_is_cleaned_up(
    warehouse: Path, folder: Path, part: str
) -> None:
    earlier = publish("demo", warehouse, folder).run_folder
    dies = {
        "database": "tables.sql_text = die",
        "parquet": "publishing.PARTS = (*publishing.PARTS, die)",
        "link": "publishing.point_link = die",
    }[part]
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from models_ml import publish as publishing, published_tables as tables\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{dies}\n"
        "publishing.publish('demo', Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(warehouse), str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (folder / "current").resolve() == earlier.resolve()
    half_written = [path for path in (folder / "runs").iterdir() if path != earlier]
    assert len(half_written) == 1
    later = publish("demo", warehouse, folder).run_folder
    assert (folder / "current").resolve() == later.resolve()
    left = [path for path in (folder / "runs").iterdir() if path not in (earlier, later)]
    assert left == (half_written if part == "link" else []), (
        "a whole run that was never current goes with the others"
    )
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_two_at_once_wait_for_each_other(
    warehouse: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("demo", warehouse, folder)
    half_written = folder / "runs" / ".20261031T010101.000000Z-abcdef01.4711"
    half_written.mkdir()
    monkeypatch.setattr(publishing, "WAIT_SECONDS", 0.2)
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BayesPilotError, match="another command is writing the published copy"):
            publish("demo", warehouse, folder)
        assert half_written.is_dir(), "it may be the other's work"
    publish("demo", warehouse, folder)
    assert not half_written.exists()


DIFFERENT_RUNS = {
    "delete from retention_actions": ["retention_actions is empty", "--empty decides nothing"],
    "delete from int_run": ["int_run is empty"],
    "update int_run set dbt_invocation_id = 'later'": [
        "only a part of a run", "int_run was begun by later for 2026-10-31", "is abcdef0123456789 for 2026-10-31",
    ],
    "delete from int_finished_run": ["only a part of a run"],
    "update retention_actions set as_of_date = '2026-10-30'": [
        "tables of different runs", "retention_actions is of 2026-10-30, the run is of 2026-10-31",
    ],
    "delete from policy_runs where policy_version = 'q1'": ["policy_runs is of 2026-10-30"],
    "update rpt_run_volume set as_of_date = '2026-11-01'": ["rpt_run_volume is of 2026-11-01"],
    "update policy_runs set policy_version = 'q2' where policy_version = 'q1'": [
        "policy_runs is of policy_version q2, the run is of policy_version q1",
    ],
    "update churn_scores set pipeline_version = 'p2'": ["churn_scores is of pipeline_version p2"],
    "update deployed_pipeline set pipeline_version = 'p2'": ["deployed_pipeline is of pipeline_version p2"],
    "update int_run set history_from = 'production.main'": ["history of production.main", "leave out history_from"],
    "drop table policy_runs": ["the warehouse lacks a table or column"],
}  # fmt: skip


@pytest.mark.parametrize("statement", DIFFERENT_RUNS)
def test_tables_of_different_runs_are_refused_by_name(warehouse: Path, folder: Path, statement: str) -> None:
    publish("demo", warehouse, folder)
    before = sorted(folder.rglob("*"))
    change(warehouse, statement)
    with pytest.raises(BayesPilotError) as raised:
        publish("demo", warehouse, folder)
    said = str(raised.value)
    for expected in (*DIFFERENT_RUNS[statement], "next: bayespilot run --source demo"):
        assert expected in said
    assert isinstance(raised.value, UnfinishedRunError) == ("only a part" in said)
    assert sorted(folder.rglob("*")) == before


def test_decisions_that_have_begun_keep_their_pipeline(warehouse: Path, folder: Path) -> None:
    change(warehouse, "update int_run set is_frozen = true; update churn_scores set pipeline_version = 'p2'")
    assert publish("demo", warehouse, folder).rows == 3


def file_for_folder(folder: Path) -> None:
    folder.write_text("not a folder")


def file_for_runs(folder: Path) -> None:
    folder.mkdir()
    (folder / "runs").write_text("not a folder")


def folder_for_link(folder: Path) -> None:
    (folder / "current").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (file_for_folder, "a file stands where a folder is needed"),
        (file_for_runs, "a file stands where a folder is needed"),
        (folder_for_link, "a folder stands where the link to the published run is needed"),
    ],
)
def test_what_stands_in_the_way_is_said(
    warehouse: Path, folder: Path, spoil: Callable[[Path], None], says: str
) -> None:
    folder.parent.mkdir()
    spoil(folder)
    with pytest.raises(BayesPilotError, match=says) as raised:
        publish("demo", warehouse, folder)
    assert "then bayespilot publish --source demo" in str(raised.value)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied"), "the folder cannot be written"),
        (OSError(30, "Read-only file system"), "the folder cannot be written"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (duckdb.IOException("Could not write to file: No space left on device"), "the disk is full"),
        (
            duckdb.IOException("CHECKPOINT failed\nOriginal error: No space left on device"),
            "the disk is full",
        ),
        (duckdb.TransactionException("Failed to commit: No space left on device"), "the disk is full"),
        (duckdb.IOException("something else\nof many lines"), "something else"),
    ],
)
def test_faults_of_the_file_system_are_worded(
    warehouse: Path, folder: Path, error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = publish("demo", warehouse, folder).run_folder

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(publishing, "PARTS", (*publishing.PARTS, fail))
    with pytest.raises(BayesPilotError, match=says):
        publish("demo", warehouse, folder)
    assert list((folder / "runs").iterdir()) == [earlier]


def test_old_runs_that_cannot_be_removed_are_a_warning(
    warehouse: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers see the new run by then; what can be removed is removed, and the next publishing does the rest."""
    monkeypatch.setattr(publishing, "KEPT_AFTER_REPLACEMENT", timedelta(0))
    stuck, successor = (publish("demo", warehouse, folder).run_folder for _ in range(2))
    replaced = folder / "runs" / "20200101T010101.000000Z-abcdef01"
    shutil.copytree(stuck, replaced)

    def refuse(path: Path, **options: bool) -> None:
        if path == stuck.resolve():
            raise PermissionError(errno.EACCES, "Permission denied", str(path / "retention.duckdb"))
        remove(path, **options)

    remove = shutil.rmtree
    with monkeypatch.context() as disk:
        disk.setattr(publishing.shutil, "rmtree", refuse)
        published = publish("demo", warehouse, folder)
    assert (folder / "current").resolve() == published.run_folder.resolve()
    assert sorted((folder / "runs").iterdir()) == sorted([stuck, successor, published.run_folder])
    (warning,) = published.warnings
    assert warning.startswith("the run is published, but files that no reader needs any more")
    assert f"where: {stuck.resolve()}" in warning
    assert "Permission denied" in warning
    assert "next: let this account delete there; the next publishing tries again" in warning
    assert "earlier copy stays" not in warning
    later = publish("demo", warehouse, folder)
    assert later.warnings == ()
    assert sorted((folder / "runs").iterdir()) == [published.run_folder, later.run_folder]


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), duckdb.IOException("not a DuckDB file")]
)
def test_nights_that_cannot_be_removed_are_a_warning(
    warehouse: Path, folder: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(publishing, "remove_unnamed", fail)
    published = publish("demo", warehouse, folder)
    assert (folder / "current").resolve() == published.run_folder.resolve()
    (warning,) = published.warnings
    assert f"where: {folder / 'history'}" in warning


def test_a_link_that_points_at_the_run_is_published(
    warehouse: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is replaced, then the disk fails to confirm it; a link that is not replaced publishes nothing."""
    earlier = publish("demo", warehouse, folder).run_folder

    def replace_only(link: Path, target: Path) -> None:
        point_link(link, target)
        raise OSError(errno.EIO, "Input/output error", str(link.parent))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(publishing, "point_link", fail)
        with pytest.raises(BayesPilotError, match="nothing is published"):
            publish("demo", warehouse, folder)
    assert (folder / "current").resolve() == earlier.resolve()
    monkeypatch.setattr(publishing, "point_link", replace_only)
    published = publish("demo", warehouse, folder)
    assert (folder / "current").resolve() == published.run_folder.resolve()
    assert "the disk has not confirmed the new link" in published.warnings[0]


def test_a_file_that_cannot_grow_is_said(warehouse: Path, folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from models_ml.publish import publish\n"
        "from models_ml.errors import BayesPilotError\n"
        "try: publish('demo', Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except BayesPilotError as error: print(error); sys.exit(3)"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    finished = subprocess.run(
        [sys.executable, "-c", script, str(warehouse), str(folder)],
        check=False, capture_output=True, text=True, preexec_fn=limit,
    )  # fmt: skip
    assert finished.returncode == 3, finished.stderr
    assert "nothing is published, the earlier copy stays as it is" in finished.stdout
    assert list((folder / "runs").iterdir()) == []


def test_the_run_that_is_published_now_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: Path
) -> None:
    monkeypatch.setenv("RETENTION_DB", str(warehouse))
    with pytest.raises(BayesPilotError, match="nothing has been published yet"):
        published_run_folder("demo")
    published = publish("demo", warehouse, tmp_path / "published" / "demo")
    assert published_run_folder("demo") == published.run_folder.resolve()
    assert os.path.islink(tmp_path / "published" / "demo" / "current")
