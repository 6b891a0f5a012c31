"""Bad input is set aside with its reason, or stops the run with a message that says what to do."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from conftest import Project

pytestmark = pytest.mark.build

ACTIONS = "select * from retention_actions order by customer_id"


@pytest.fixture
def own_raw(fresh_copy: Project, small_world: Path, tmp_path: Path) -> Project:
    """A built project whose raw files the test may spoil."""
    fresh_copy.raw_data = Path(shutil.copytree(small_world, tmp_path / "raw"))
    return fresh_copy


def rewrite(project: Project, table: str, select: str) -> None:
    """Replace a raw file by a select on itself."""
    assert project.raw_data is not None
    file = project.raw_data / f"{table}.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create view raw as from '{file}'")
        connection.execute(f"copy ({select}) to '{file}.aside' (format parquet)")
    Path(f"{file}.aside").replace(file)


def edit_seed(project: Project, seed: str, edit: Callable[[list[dict[str, str]]], None]) -> None:
    """Change the rows of a seed of the demo source."""
    file = project.folder / "seeds" / "demo" / f"{seed}.csv"
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = list(rows[0])
    edit(rows)
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, names)
        writer.writeheader()
        writer.writerows(rows)


BROKEN_TABLES = {
    "missing column": (
        "subscriptions",
        "select * exclude (monthly_fee) from raw",
        ["raw table subscriptions lacks column monthly_fee"],
    ),
    "text where a number belongs": (
        "subscriptions",
        "select * replace (case when subscription_id % 2 = 0 then 'a lot' else monthly_fee::varchar end as monthly_fee) from raw",
        ["raw table subscriptions, column monthly_fee: VARCHAR where", "first values: a lot"],
    ),
}


@pytest.mark.parametrize("fault", sorted(BROKEN_TABLES))
def test_a_broken_table_stops_the_run(own_raw: Project, fault: str) -> None:
    table, select, messages = BROKEN_TABLES[fault]
    before = own_raw.query(ACTIONS)
    rewrite(own_raw, table, select)
    output = own_raw.dbt("build", succeeds=False)
    for message in [*messages, "dbt_project/sources/demo/sources.yml", "then run dbt build again"]:
        assert message in output
    assert own_raw.query(ACTIONS) == before


def test_a_missing_file_stops_the_run(own_raw: Project) -> None:
    before = own_raw.query(ACTIONS)
    assert own_raw.raw_data is not None
    (own_raw.raw_data / "payments.parquet").unlink()
    output = own_raw.dbt("build", succeeds=False)
    assert "raw table payments is missing: no file at" in output
    assert "nothing has been changed" in output
    assert own_raw.query(ACTIONS) == before


QUARANTINED = {
    "duplicate_customer_id": ("customers", "from raw union all (from raw order by customer_id limit 2)", 2),
    "unknown_customer": (
        "activity",
        "from raw union all select * replace (1 as customer_id) from (from raw order by all limit 3)",
        3,
    ),
    "after_data_end": (
        "activity",
        "from raw union all select * replace (timestamp '2027-01-01' as occurred_at) from"
        " (from raw semi join (select min(customer_id) as customer_id from raw where occurred_at < timestamp '2025-06-01'"
        " and customer_id > 1000) using (customer_id) order by all limit 1)",
        1,
    ),
    "negative_monthly_fee": (
        "subscriptions",
        "select * replace (case when subscription_id = (select max(subscription_id) from raw) then -5 else monthly_fee end"
        " as monthly_fee) from raw",
        1,
    ),
    "ended_before_started": (
        "subscriptions",
        "select * replace (case when subscription_id = (select subscription_id from raw order by 1 desc limit 1 offset 1)"
        " then started_on - 9 else ended_on end as ended_on) from raw",
        1,
    ),
    "satisfaction_out_of_range": (
        "support_tickets",
        "select * replace (case when ticket_id in (select ticket_id from raw where resolved_at >= opened_at order by 1 limit 2) then 9 else satisfaction end"
        " as satisfaction) from raw",
        2,
    ),
}


Counts = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def broken_rows(
    built_project: Project, small_world: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Counts]:
    """A project whose raw files hold every fault, and what was set aside and staged before, by reason."""
    folder = tmp_path_factory.mktemp("broken")
    project = built_project.copy(folder / "project")
    project.raw_data = Path(shutil.copytree(small_world, folder / "raw"))
    before = {}
    for reason, (table, _, _) in QUARANTINED.items():
        [(staged,)] = project.query(f"select count(*) from stg_{table}")
        before[reason] = (set_aside(project, reason), staged)
    for table, select, _ in QUARANTINED.values():
        rewrite(project, table, select)
    project.dbt("build", "-s", "+quarantine")
    return project, before


def set_aside(project: Project, reason: str) -> int:
    table = QUARANTINED[reason][0]
    [(rows,)] = project.query(
        f"select count(*) from quarantine where staging_model = 'stg_{table}' and quarantine_reason = '{reason}'"
    )
    return int(rows)


@pytest.mark.parametrize("reason", sorted(QUARANTINED))
def test_a_broken_row_is_set_aside_and_counted(broken_rows: tuple[Project, Counts], reason: str) -> None:
    project, counts = broken_rows
    before, staged = counts[reason]
    table, _, added = QUARANTINED[reason]
    assert set_aside(project, reason) == before + added
    kept, quarantined, now = project.query(
        f"select (select count(*) from int_checked_{table} where quarantine_reason is null),"
        f" (select count(*) from quarantine where staging_model = 'stg_{table}'), (select count(*) from stg_{table})"
    )[0]
    assert kept + quarantined == now >= staged


# What else a seed may hold is judged without a build in test_bad_inputs.py.
SEED_FAULTS: dict[str, tuple[str, Callable[[list[dict[str, str]]], None], str]] = {
    "SQL that is more than an expression": (
        "offers",
        lambda rows: rows[0].update(eligible_when="exists (select 1 from stg_customers)"),
        "nudge_email: eligible_when must be one expression over columns of customer_features",
    ),
    "parameter missing": ("policy", lambda rows: rows.pop(0), "the parameter is missing"),
}


@pytest.mark.parametrize("fault", sorted(SEED_FAULTS))
def test_a_broken_seed_stops_the_run(fresh_copy: Project, fault: str) -> None:
    seed, edit, message = SEED_FAULTS[fault]
    before = fresh_copy.query(ACTIONS)
    edit_seed(fresh_copy, seed, edit)
    output = fresh_copy.dbt("build", "--selector", "decide", succeeds=False)
    assert message in output
    assert f"seeds/demo/{seed}.csv" in output
    assert "then run dbt build again" in output
    assert fresh_copy.query(ACTIONS) == before


def test_a_seed_as_a_spreadsheet_of_windows_writes_it_is_read(fresh_copy: Project) -> None:
    before = fresh_copy.query("from int_offers order by offer")
    for file in (fresh_copy.folder / "seeds" / "demo").glob("*.csv"):
        file.write_bytes(
            b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n").replace(b",true,", b",TRUE,")
        )
    fresh_copy.dbt("build", "--select", "path:seeds", "path:dbt_project/models/parameters")
    assert fresh_copy.query("from int_offers order by offer") == [
        tuple("TRUE" if value == "true" else value for value in row) for row in before
    ]


@pytest.mark.parametrize(
    ("as_of_date", "message"),
    [
        ("2001-01-01", "lies before the first day of the data"),
        ("2030-01-01", "lies after the last day of the data, 2026-10-31"),
    ],
)
def test_a_date_outside_the_data_is_refused(
    new_project: Callable[..., Project], small_world: Path, as_of_date: str, message: str
) -> None:
    project = new_project(small_world)
    output = project.dbt("build", "--vars", f"{{as_of_date: '{as_of_date}'}}", succeeds=False)
    assert message in output
    assert (
        project.query(
            "select table_name from information_schema.tables where table_name = 'retention_actions'"
        )
        == []
    )


def test_an_end_of_the_data_that_is_null_is_named(built_project: Project) -> None:
    [file] = built_project.folder.glob("target/compiled/bayespilot/dbt_project/models/*/int_run.sql")
    without_end = file.read_text().replace("cast(date '2026-10-31' as date)", "cast(null as date)")
    with (
        duckdb.connect(str(built_project.warehouse()), read_only=True) as connection,
        pytest.raises(duckdb.Error, match="data_ends_on of the source 'demo' is null"),
    ):
        connection.execute(without_end).fetchall()


CANNOT_TRAIN = {
    "all six tables are empty": (
        dict.fromkeys(("customers", "subscriptions", "activity", "payments", "support_tickets", "retention_contacts"), "from raw where false"),
        "",
    ),
    "all customers churned": (
        {
            # One period of twenty days each: whoever runs at a month end has left four weeks later.
            "subscriptions": "select * replace (started_on + 20 as ended_on) from raw"
            " where subscription_id in (select max(subscription_id) from raw group by customer_id)"
        },
        "churn",
    ),
    "none churned": (
        {"subscriptions": "select * replace (null::date as ended_on) from raw"},
        "churn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("world", sorted(CANNOT_TRAIN))
def test_training_says_why_it_cannot(
    new_project: Callable[..., Project], small_world: Path, tmp_path: Path, world: str
) -> None:
    raw = Path(shutil.copytree(small_world, tmp_path / "raw"))
    project = new_project(raw)
    selects, message = CANNOT_TRAIN[world]
    for table, select in selects.items():
        rewrite(project, table, select)
    output = project.dbt("build", succeeds=False)
    assert "next:" in output or "dbt build" in output
    assert message in output
    assert not list(project.folder.rglob("deployed_pipeline.pkl"))


def record_file(project: Project) -> Path:
    return project.folder / "models_ml" / "artifacts" / "demo" / "deployed_pipeline.json"


def spoil_bytes(project: Project) -> None:
    file = record_file(project).with_suffix(".pkl")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))


def drop_a_feature(project: Project) -> None:
    file = project.folder / "dbt_project/models/features/customer_features.yml"
    text = file.read_text()
    assert "            role: categorical\n" in text
    file.write_text(text.replace("            role: categorical\n", "", 1))


# What else a record may say is judged without a build in test_deployment.py.
SPOILED: dict[str, tuple[Callable[[Project], None], str]] = {
    "edited bytes": (spoil_bytes, "checksum"),
    "other features": (drop_a_feature, "feature"),
}


@pytest.mark.parametrize("fault", sorted(SPOILED))
def test_scoring_alone_refuses_what_does_not_fit(fresh_copy: Project, fault: str) -> None:
    spoil, word = SPOILED[fault]
    before = fresh_copy.query(ACTIONS)
    spoil(fresh_copy)
    pickled = record_file(fresh_copy).with_suffix(".pkl").read_bytes()
    output = fresh_copy.dbt("build", "--selector", "scoring", succeeds=False)
    assert word in output.lower()
    assert "retrain: true" in output or "dbt build" in output
    assert record_file(fresh_copy).with_suffix(".pkl").read_bytes() == pickled
    assert fresh_copy.query(ACTIONS) == before
