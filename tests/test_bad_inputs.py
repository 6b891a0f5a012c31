"""Every bad input that the project knows, with what it gets: a reason of the quarantine, or a refusal in words.

A raw row is judged by the compiled SQL of the valid rows, a row of a seed by the compiled gate, both in memory; artifacts,
environment and command line by the functions that a command calls; what dbt itself must see shares one start of dbt per
group. ``pytest tests/test_bad_inputs.py --write-bad-inputs`` writes the table ``bad_inputs.md``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import bad_input_cases as given
import duckdb
import pytest
import yaml
from bad_input_cases import ANSWERED_HERE, CASES, Case, Place
from conftest import ROOT, Project
from typer.testing import CliRunner

from models_ml.cli import app
from models_ml.deployment.deployed import DEPLOYED, load_deployed
from models_ml.errors import BayesPilotError
from models_ml.new_source import read_contract
from models_ml.run import check_before_build
from models_ml.training.context import Purpose, read_purpose, warehouse_tables
from models_ml.warehouse import open_warehouse

pytestmark = pytest.mark.build

TABLE = Path(__file__).with_name("bad_inputs.md")
SEEDS = ("policy", "channels", "offers", "offer_effect_priors", "activity_map", "reason_texts")
COUNTED = ("monthly_fee", "amount", "quantity", "cost")
AT_ONCE = 5  # faults that one message shows
HEAD = """# Bad inputs, and what each gets

Written by `pytest tests/test_bad_inputs.py --write-bad-inputs`, which gives each of them but lost input, which
`tests/test_lost_input.py` gives. A raw row that is broken is set aside in `quarantine` with the reason; everything else stops
the run before anything changes. Of lost input, the feeds and problems are named that `rpt_input_problems` holds at least.

| kind | where | given | gets |
|---|---|---|---|
"""


@pytest.fixture(autouse=True)
def environment_restored() -> Iterator[None]:
    """Undo what a case does to the environment of this process."""
    before = dict(os.environ)
    os.environ.pop("RETENTION_DB", None)
    yield
    os.environ.clear()
    os.environ.update(before)


def compiled(project: Project, name: str) -> str:
    [file] = (project.folder / "target/compiled/bayespilot/dbt_project/models").glob(f"*/{name}.sql")
    return file.read_text()


def compiled_staging(project: Project, table: str) -> str:
    return (
        project.folder / f"target/compiled/bayespilot/dbt_project/sources/demo/stg_{table}.sql"
    ).read_text()


class RawRows:
    """The compiled models of the valid rows over staging tables of one sound row each."""

    def __init__(self, project: Project) -> None:
        self.connection = connection = duckdb.connect()
        connection.execute("attach ':memory:' as demo; use demo")
        self.staging = {name: compiled_staging(project, name) for name in given.SOUND}
        self.columns = {table.name: table.columns for table in read_contract(project.folder)}
        for name, columns in self.columns.items():
            typed = ", ".join(f"{column.name} {column.type}" for column in columns)
            connection.execute(f"create table stg_{name} ({typed})")
        connection.execute(f"create table int_run as select date '{given.DATA_END}' as data_ends_on")
        connection.execute("create table erased_customers (customer_hash text, salt text)")
        connection.execute("create table int_channels as select 'email' as channel")
        connection.execute("create table int_activity_map as select 'login' as activity_type")
        self.insert(
            "customers", {"customer_id": "c1", "signed_up_on": given.SOUND["customers"]["signed_up_on"]}
        )
        for name in self.columns:
            connection.execute(
                f"create view int_checked_{name} as {compiled(project, f'int_checked_{name}')}"
            )

    def insert(self, table: str, row: dict[str, Any]) -> None:
        values = [
            self.staged(table, column.name, row.get(column.name))
            if column.name in COUNTED
            else row.get(column.name)
            for column in self.columns[table]
        ]
        self.connection.execute(f"insert into stg_{table} values ({', '.join('?' * len(values))})", values)

    def staged(self, table: str, column: str, value: float | None) -> Any:
        """Return what the source's staging select makes of a raw number."""
        text = self.staging[table]
        upto = text[: text.index(f"end as {column}")]
        sql = upto[upto.rindex("case\n") :] + "end"
        return self.connection.execute(
            f"select {sql} from (select cast(? as double) as {column})", [value]
        ).fetchall()[0][0]

    def reasons(self, table: str, row: dict[str, Any]) -> list[str]:
        """Return why rows of a table are set aside once ``row`` is added; the row is taken away again."""
        self.connection.execute("begin")
        try:
            self.insert(table, row)
            found = self.connection.execute(f"select quarantine_reason from int_checked_{table}").fetchall()
        finally:
            self.connection.execute("rollback")
        return [reason for (reason,) in found if reason is not None]


class Gate:
    """The compiled gate of the seeds, over the sound seeds of the demo."""

    def __init__(self, project: Project) -> None:
        self.connection = connection = duckdb.connect()
        connection.execute("attach ':memory:' as demo; use demo")
        connection.execute(f"attach '{project.warehouse()}' as built (read_only)")
        for table in SEEDS:
            connection.execute(f"create table {table} as from built.{table}")
        connection.execute("detach built")
        for view in ("int_offer_effect_priors", "int_seed_problems"):
            connection.execute(f"create view {view} as {compiled(project, view)}")

    def problems(self, sql: str = "") -> list[tuple[str, str, str]]:
        """Return what the gate says after a statement, which is undone again."""
        self.connection.execute("begin")
        try:
            if sql:
                self.connection.execute(sql)
            return self.connection.execute("from int_seed_problems order by all").fetchall()
        finally:
            self.connection.execute("rollback")


@dataclass
class Bench:
    """What answers a case; each part is made when it is first asked."""

    project: Project
    folder: Path
    asked_of_dbt: dict[str, str] = field(default_factory=dict)
    answers: dict[Case, str] = field(default_factory=dict)

    @cached_property
    def raw_rows(self) -> RawRows:
        return RawRows(self.project)

    @cached_property
    def gate(self) -> Gate:
        return Gate(self.project)

    @cached_property
    def purpose(self) -> Purpose:
        with open_warehouse("demo", self.project.warehouse()) as connection:
            return read_purpose(connection, warehouse_tables())

    def dbt(self, group: str, prepare: Callable[[Project], list[str]]) -> str:
        """Return what dbt says in a copy of the project that ``prepare`` has spoilt; once for each group."""
        if group not in self.asked_of_dbt:
            copy = self.project.copy(self.folder / group)
            self.asked_of_dbt[group] = copy.dbt(*prepare(copy), succeeds=False)
        return self.asked_of_dbt[group]


@pytest.fixture(scope="module")
def bench(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(built_project, tmp_path_factory.mktemp("bad_inputs"))


# ------------------------------------------------------------------------------------------- what answers a kind
def raw_row(bench: Bench, case: Case, _: Path) -> str:
    [reason] = bench.raw_rows.reasons(case.where, {**given.SOUND[case.where], **case.change})
    return reason


def seed(bench: Bench, case: Case, _: Path) -> str:
    problems = bench.gate.problems(case.change)
    assert case.where in {Path(file).name for file, _, _ in problems}
    return "; ".join(f"{row}: {problem}" for file, row, problem in problems if Path(file).name == case.where)


def variable(bench: Bench, case: Case, _: Path) -> str:
    number = given.VARIABLES.index(case) // AT_ONCE
    together: dict[str, Any] = {}
    for other in given.VARIABLES[number * AT_ONCE : (number + 1) * AT_ONCE]:
        together |= other.change
    said = bench.dbt(
        f"variables {number}", lambda _: ["seed", "-s", "channels", "--vars", yaml.safe_dump(together)]
    )
    [name] = case.change
    return next(line.strip(" -") for line in said.splitlines() if line.strip(" -").startswith(f"{name}:"))


def seed_file(bench: Bench, case: Case, _: Path) -> str:
    def spoil(project: Project) -> list[str]:
        for one in given.SEED_FILES:
            file = project.folder / "seeds" / "demo" / one.where
            file.write_text(one.change(file.read_text()))
        return ["seed"]

    said = bench.dbt("seed files", spoil)
    return next(line.strip(" -") for line in said.splitlines() if f"seeds/demo/{case.where}, line 1" in line)


def raw_table(bench: Bench, case: Case, _: Path) -> str:
    def spoil(project: Project) -> list[str]:
        assert project.raw_data is not None
        project.raw_data = Path(shutil.copytree(project.raw_data, bench.folder / "raw"))
        for one in given.RAW_TABLES:
            file = project.raw_data / f"{one.where}.parquet"
            if one.change is None:
                file.unlink()
                continue
            with duckdb.connect() as connection:
                connection.execute(f"create table raw as from '{file}'")
                connection.execute(f"copy ({one.change}) to '{file}' (format parquet)")
        return ["run", "-s", "int_run"]

    said = bench.dbt("raw tables", spoil)
    return next(line.strip(" -") for line in said.splitlines() if f"raw table {case.where}" in line).split(
        " /"
    )[0]


def artifact(bench: Bench, case: Case, folder: Path) -> str:
    kept = bench.project.folder / "models_ml" / "artifacts" / "demo"
    for name in (f"{DEPLOYED}.json", f"{DEPLOYED}.pkl"):
        shutil.copy(kept / name, folder / name)
    load_deployed(folder, bench.purpose)
    case.change(folder)
    with pytest.raises(BayesPilotError) as refused:
        load_deployed(folder, bench.purpose)
    return str(refused.value)


def environment(bench: Bench, case: Case, folder: Path) -> str:
    place = Place(folder / "project", folder / "project" / "warehouse" / "demo.duckdb")
    for part in ("dbt_project/sources/demo", "seeds/demo"):
        shutil.copytree(bench.project.folder / part, place.root / part)
    shutil.copy(bench.project.folder / "dbt_project.yml", place.root)
    place.warehouse.parent.mkdir()
    shutil.copy(bench.project.warehouse(), place.warehouse)
    os.environ["DBT_PROFILES_DIR"] = str(place.root)
    check_before_build("demo", lambda _: None)
    try:
        case.change(place)
        with pytest.raises(BayesPilotError) as refused:
            check_before_build("demo", lambda _: None, wait_seconds=0.0)
    finally:
        if place.holder is not None:
            place.holder.kill()
            place.holder.communicate()
    return str(refused.value)


def command_line(bench: Bench, case: Case, _: Path) -> str:
    os.environ["DBT_PROFILES_DIR"] = str(bench.project.folder)
    finished = CliRunner().invoke(app, case.change, env={**os.environ, "COLUMNS": "200"})
    assert finished.exit_code in (1, 2)
    assert finished.exception is None or isinstance(finished.exception, SystemExit)
    return " ".join(finished.output.replace("│", " ").replace("─", "").split())


ANSWERS: dict[str, Callable[[Bench, Case, Path], str]] = {
    "raw row": raw_row,
    "seed": seed,
    "variable": variable,
    "seed file": seed_file,
    "raw table": raw_table,
    "artifact": artifact,
    "environment": environment,
    "command line": command_line,
}


@pytest.mark.parametrize("case", ANSWERED_HERE, ids=lambda case: f"{case.kind}-{case.where}-{case.given}")
def test_a_bad_input_is_answered_in_words(bench: Bench, case: Case, tmp_path: Path) -> None:
    answer = ANSWERS[case.kind](bench, case, tmp_path)
    assert case.gets in answer
    assert "Traceback" not in answer
    bench.answers[case] = answer


def test_sound_input_passes(bench: Bench) -> None:
    assert bench.gate.problems() == []
    for table, row in given.SOUND.items():
        assert bench.raw_rows.reasons(table, dict(row)) == [], table


def test_the_table_shows_every_bad_input(bench: Bench, request: pytest.FixtureRequest) -> None:
    assert len({(case.kind, case.where, case.given) for case in CASES}) == len(CASES) >= 80
    rows = [row_of(case, case.gets) for case in CASES]
    if request.config.getoption("--write-bad-inputs"):
        assert len(bench.answers) == len(ANSWERED_HERE), "not every case has passed"
        TABLE.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    assert TABLE.read_text() == HEAD + "".join(f"{row}\n" for row in rows)


def row_of(case: Case, gets: str) -> str:
    cells = (case.kind, case.where, case.given, gets)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def test_every_variable_that_is_read_is_known_and_every_known_one_is_read() -> None:
    files = [
        *(ROOT / "dbt_project").rglob("*.sql"),
        *(ROOT / "dbt_project").rglob("*.yml"),
        ROOT / "dbt_project.yml",
    ]
    read = {name for file in files for name in re.findall(r"\bvar\(['\"](\w+)['\"]", file.read_text())}
    macro = (ROOT / "dbt_project" / "macros" / "variables.sql").read_text()
    known = macro[macro.index("macro project_variables()") : macro.index("endmacro")]
    assert read == set(re.findall(r"'(\w+)':", known))
