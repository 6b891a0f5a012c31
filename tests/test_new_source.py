"""bayespilot init: what it writes, what it refuses, and three businesses from raw files to retention_actions."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from conftest import DECISIONS, ROOT, Project, copy_project
from jinja2 import Environment
from new_source_data import LAST_DAY, write_seats, write_transactions, write_weekly_boxes

from models_ml import raw_tables
from models_ml.errors import BayesPilotError
from models_ml.new_source import NewSource, read_contract, write_new_source
from models_ml.run import check_before_build, where_cast

TEMPLATE = ROOT / "seeds" / "template"
DEMO_WORDS = (
    *(
        "EUR",
        "demo",
        "e-mail that shows",
        "data export",
        "pricing page",
        "software",
        "invoice",
        "login",
        "session",
    ),
    *("feature_use", "nudge", "agent", "dunning", "card"),
)


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without sources, in which files can be written."""
    project = copy_project(tmp_path / "project", tmp_path)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(project.folder))
    monkeypatch.delenv("RETENTION_DB", raising=False)
    return project.folder


def written(name: str = "acme", folder: Path | None = None, **changed: str) -> NewSource:
    arguments = {"tables": "", "data_ends_on": "", "churn": ""} | changed
    return write_new_source(name, folder=folder, **arguments)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Acme",
        "2shops",
        "../acme",
        "a/b",
        "a.b",
        "a b",
        "äcme",
        "main",
        "raw",
        "template",
        "a" * 41,
        "a\n",
    ],
)
def test_a_name_that_is_no_identifier_is_refused(project_folder: Path, name: str) -> None:
    before = sorted(project_folder.rglob("*"))
    with pytest.raises(BayesPilotError, match="name of a source"):
        written(name)
    assert sorted(project_folder.rglob("*")) == before


@pytest.mark.parametrize("existing", ["dbt_project/sources/acme", "seeds/acme"])
def test_nothing_is_overwritten(project_folder: Path, existing: str) -> None:
    (project_folder / existing).mkdir()
    (project_folder / existing / "mine.sql").write_text("select 1")
    with pytest.raises(BayesPilotError, match="nothing has been changed"):
        written()
    assert [file.name for file in (project_folder / existing).iterdir()] == ["mine.sql"]
    other = {"seeds/acme": "dbt_project/sources/acme"}.get(existing, "seeds/acme")
    assert not (project_folder / other).exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no .csv"),
        ({"a.csv": "x\n1\n", "A.parquet": "x"}, "same table"),
        ({"o'neill.csv": "x\n1\n"}, "braces, quotes"),
        ({"a.parquet": "no parquet"}, "cannot read"),
        ({"a.csv": "name,place\n1,München\n"}, "not utf-8 encoded"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused(
    project_folder: Path, tmp_path: Path, files: dict, message: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="latin-1")
    with pytest.raises(BayesPilotError, match=message):
        written(folder=folder)
    assert not (project_folder / "seeds" / "acme").exists()


@pytest.mark.parametrize("churn", ["cancelled", "Inactivity"])
def test_an_unknown_definition_of_churn_is_refused(project_folder: Path, churn: str) -> None:
    with pytest.raises(BayesPilotError, match="subscription_end, inactivity"):
        written(churn=churn)


def test_columns_of_the_contract_are_mapped_and_others_are_to_be_filled_in(
    project_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "customers.csv").write_bytes(
        b'\xef\xbb\xbfCustomer_ID,signed_up_on,"land\n{x}"\n12345678901234567890123,2026-01-31,"d,e"\n7,2026-02-01,\n'
    )
    (folder / "Sales 2026.csv").write_text("who;total\n7;1,5\n")
    source = written(folder=folder)
    staging = project_folder / "dbt_project" / "sources" / "acme"
    assert source.to_fill_in == {"customers": ("region", "acquisition_channel", "segment")}
    assert len(source.without_table) == 6
    text = (staging / "stg_customers.sql").read_text()
    assert "cast(Customer_ID as string) as customer_id,\n" in text
    assert "-- Raw columns that are not used: land (x) (VARCHAR).\n" in text
    assert "cast(null as string) as region, -- fill in: Region of the customer\n" in text
    declared = yaml.safe_load((staging / "sources.yml").read_text())["sources"][0]
    columns = {table["name"]: [c["name"] for c in table["columns"]] for table in declared["tables"]}
    assert columns == {
        "sales_2026": ["who", "total"],
        "customers": ["Customer_ID", "signed_up_on", "land\n{x}"],
    }
    location = declared["tables"][1]["config"]["meta"]["external_location"].split("}}/")[1]
    read = duckdb.sql(f"select * from read_csv('{folder}/{location}").fetchall()
    assert [row[0] for row in read] == ["12345678901234567890123", "7"]
    assert source.newest_day == "2026-02-01"
    assert "where false" in (staging / "stg_payments.sql").read_text()
    assert "who (" in (staging / "stg_payments.sql").read_text()


def test_a_day_that_is_yet_to_come_is_not_where_the_data_ends(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "subscriptions.csv").write_text(
        "customer_id,started_on,Ended_On,end_announced_on\n7,2026-01-01,2026-03-01,2026-02-07\n"
    )
    assert written(folder=folder).newest_day == "2026-02-07"


def test_words_that_seeds_name_are_written_in_lower_case(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "subscriptions.csv").write_text(
        "customer_id,subscription_id,plan,Billing_Period\n7,s1,Pro,Annual\n"
    )
    written(folder=folder)
    text = (project_folder / "dbt_project" / "sources" / "acme" / "stg_subscriptions.sql").read_text()
    assert "lower(trim(cast(Billing_Period as string))) as billing_period,\n" in text
    assert "cast(plan as string) as plan,\n" in text


def test_a_file_declares_only_what_it_shows(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    header = "contact_id,customer_id,contacted_on,accepted_on\n"
    (folder / "retention_contacts.csv").write_text(header)
    written("nothing", folder=folder)
    (folder / "retention_contacts.csv").write_text(header + "A1,7,2026-01-31,\n")
    written("one", folder=folder)
    declared = {}
    for name in ("nothing", "one"):
        text = (project_folder / "dbt_project" / "sources" / name / "sources.yml").read_text()
        [table] = yaml.safe_load(text)["sources"][0]["tables"]
        declared[name] = {column["name"]: column.get("data_type") for column in table["columns"]}
        location = table["config"]["meta"]["external_location"].split("}}/")[1]
        (folder / "retention_contacts.csv").write_text(header + "001,007,2026-01-31,2026-02-01\n")
        read = duckdb.sql(f"select contact_id, customer_id from read_csv('{folder}/{location}").fetchall()
        assert read == [("001", "007")]
    assert set(declared["nothing"].values()) == {None}
    assert declared["one"] == {
        "contact_id": "varchar",
        "customer_id": "varchar",
        "contacted_on": "date",
        "accepted_on": None,
    }


def test_columns_named_as_words_of_sql_are_read(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "activity.csv").write_text("order,end,at,true\n1,2,2026-01-31,x\n")
    source = written(folder=folder)
    assert source.newest_day == "2026-01-31"
    declared = (project_folder / "dbt_project" / "sources" / "acme" / "sources.yml").read_text()
    assert [column["name"] for column in yaml.safe_load(declared)["sources"][0]["tables"][0]["columns"]] == [
        *("order", "end", "at", "true")
    ]


@pytest.mark.parametrize(
    ("days", "kept", "said"),
    [
        ("03/04/2026,05/06/2026", "dateformat = '%d/%m/%Y'", "all values fit %m/%d/%Y too"),
        ("03/04/26,05/06/26", "dateformat = '%y/%m/%d'", "all values fit %d/%m/%y and %m/%d/%y too"),
        ("03/04/2026,05/25/2026", "dateformat = '%m/%d/%Y'", ""),
        ("03/04/2026 10:00:00,25/06/2026 11:00:00", "timestampformat = '%d/%m/%Y %H:%M:%S'", ""),
        ("2026-03-04,2026-05-06", "allow_quoted_nulls = true)", ""),
    ],
)
def test_days_keep_the_order_in_which_they_were_read_first(
    project_folder: Path, tmp_path: Path, days: str, kept: str, said: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "sales.csv").write_text("day\n" + days.replace(",", "\n") + "\n")
    source = written(folder=folder)
    text = (project_folder / "dbt_project" / "sources" / "acme" / "sources.yml").read_text()
    [table] = yaml.safe_load(text)["sources"][0]["tables"]
    assert kept in table["config"]["meta"]["external_location"]
    doubts = [line for line in source.to_check if line.startswith("sources.yml: sales: days such as 03/04/")]
    assert [line.endswith(said) for line in doubts] == ([True] if said else [])
    assert text.count("# fill in: days such as") == len(doubts)


RAW_SUBSCRIPTIONS = """
    select 's' as subscription_id, '1' as customer_id, 'A' as plan, 'annual' as billing_period, '1,50' as monthly_fee,
        '2026-01-31' as started_on, '31.1.2027' as ended_on, 20260101 as end_announced_on
"""
RAW_ACTIVITY = """
    select * from (values
        ('1', '2026-01-31T23:00:00-05:00', 'a', 0.4, ' { {') , ('1', '2026-01-31 10:00', 'a', 1.5, '7'),
        ('1', null, 'a', 3.0, '€7')
    ) as events (customer_id, occurred_at, activity_type, quantity, amount)
"""
RAW_PAYMENTS = "select unnest([-0.004, 0, 12.345, null]) as amount, 5 as cost"


def test_values_that_the_contract_cannot_take_are_named(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    raw = {"subscriptions": RAW_SUBSCRIPTIONS, "activity": RAW_ACTIVITY, "payments": RAW_PAYMENTS}
    for name, select in raw.items():
        duckdb.sql(select).write_parquet(str(folder / f"{name}.parquet"))
    source = written(folder=folder)
    assert [line for line in source.to_check if line.startswith("stg_")] == [
        "stg_subscriptions.sql: monthly_fee: 1 value is no decimal(18, 2), such as '1,50'",
        "stg_subscriptions.sql: ended_on: 1 value is no date, such as '31.1.2027'",
        "stg_subscriptions.sql: end_announced_on: 1 value is no date, such as '20260101'",
        "stg_activity.sql: quantity: 2 values are no whole number, such as '0.4' or '1.5'",
        "stg_activity.sql: amount: 2 values are no decimal(18, 2), such as ' { {' or '€7'",
        "stg_payments.sql: amount: 1 value is no decimal(18, 2), such as '-0.004'",
    ]
    staging = project_folder / "dbt_project" / "sources" / "acme"
    assert (
        "-- fill in: 1 value is no date, such as '31.1.2027'"
        in (staging / "stg_subscriptions.sql").read_text()
    )
    text = (staging / "stg_activity.sql").read_text()
    assert "{{ utc_time('occurred_at') }} as occurred_at,\n" in text
    assert "{{ countable('quantity', 'bigint') }} as quantity, -- fill in: 2 values" in text
    assert "' ( (' or" in text


@pytest.mark.parametrize(
    ("text", "last_day", "said"),
    [
        ("day\n2011-05-31\n", "date '2011-05-31'", "the newest day in the data is 2011-05-31 (train.day)"),
        ("day\n{today}\n", "current_date - 1", "the newest day in the data is {today} (train.day)"),
        ("ID,Promotion\n1,Yes\n", "current_date - 1", "bayespilot uplift"),
    ],
)
def test_where_the_data_ends_is_said(
    project_folder: Path, tmp_path: Path, text: str, last_day: str, said: str
) -> None:
    today = str(datetime.now(UTC).date())
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text(text.format(today=today))
    source = written(folder=folder)
    assert said.format(today=today) in "\n".join(source.next_steps())
    declared = (project_folder / "dbt_project" / "sources" / "acme" / "sources.yml").read_text()
    assert yaml.safe_load(declared)["sources"][0]["config"]["meta"]["data_ends_on"] == last_day


def test_what_is_not_read_of_the_folder_is_named(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "2025").mkdir(parents=True)
    for name in ("customers.csv", "subscriptions.csv.gz", "plans.xlsx", ".DS_Store"):
        (folder / name).write_text("customer_id\n1\n")
    assert "the data: not read: 2025, plans.xlsx, subscriptions.csv.gz" in written(folder=folder).to_check


def test_a_failed_cast_is_said_to_stand_in_its_staging_select(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "customers.csv").write_text("customer_id,signed_up_on\n1,27/03/2025\n2,2026-01-31\n")
    written(folder=folder)
    fault = 'Conversion Error: invalid date field format: "27/03/2025" when casting from source column signed_up_on'
    said = where_cast(f"in model int_run\n  {fault}\n  \n  LINE 34", "acme")
    assert said.startswith("\n  where: column signed_up_on in dbt_project/sources/acme/stg_customers.sql; ")
    assert where_cast("Binder Error: something else", "acme") == ""


def test_a_large_csv_is_named(project_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_tables, "SLOW_BYTES", 20)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "customers.csv").write_text("customer_id\n1\n")
    (folder / "activity.csv").write_text("customer_id\n" + "1\n" * 20)
    (said,) = (line for line in written(folder=folder).to_check if "Parquet" in line)
    assert said.endswith(": activity.csv (0 MB)")


def test_types_of_events_are_listed_as_staging_writes_them(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    kinds = "values ('login '), (' login'), ('Export'), (''), (null)"
    duckdb.sql(f"from ({kinds}) as kinds (activity_type)").write_parquet(str(folder / "activity.parquet"))
    written(folder=folder)
    listed = [row["activity_type"] for row in rows_of(project_folder / "seeds" / "acme" / "activity_map.csv")]
    assert listed == ["Export", "login"]
    text = (project_folder / "dbt_project" / "sources" / "acme" / "stg_activity.sql").read_text()
    assert "        trim(cast(activity_type as string)) as activity_type,\n" in text


def test_copies_of_events_are_counted(project_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "activity.csv").write_text(
        "customer_id,occurred_at\n1,2026-01-31\n1,2026-01-31\n1,2026-01-31\n2,\n"
    )
    (said,) = (line for line in written(folder=folder).to_check if "copies" in line)
    assert said.startswith("stg_activity.sql: 2 of the rows are copies of others, which count too")


def test_a_source_without_customers_is_refused_before_the_build(project_folder: Path) -> None:
    written()
    with pytest.raises(BayesPilotError, match="the source acme has no customers yet"):
        check_before_build("acme", print)


def macro(file: str, name: str, *arguments: str) -> str:
    """Return the SQL of a macro that calls no adapter."""
    text = (ROOT / "dbt_project" / "macros" / file).read_text(encoding="utf-8")
    known = {"return": lambda found: found, "modules": {"re": re}}
    template = Environment(extensions=["jinja2.ext.do"]).from_string(text, globals=known)
    return getattr(template.module, name)(*arguments).strip()


def test_a_fraction_of_a_whole_number_is_beyond_counting_and_not_rounded() -> None:
    values = "(select unnest(['0', '0.4', '1.5', '2.0', '-3', 'NaN', '1e11', null]) as raw)"
    whole, rating, money = (
        [value for (value,) in duckdb.sql(f"select {sql} from {values}").fetchall()]
        for sql in (
            macro("valid_rows.sql", "countable", "raw", "bigint"),
            macro("valid_rows.sql", "countable", "cast(raw as double)", "integer"),
            macro("valid_rows.sql", "countable", "cast(raw as double)", "decimal(18, 2)"),
        )
    )
    beyond = 9_999_999_999_999
    assert whole == [0, beyond, beyond, 2, -3, beyond, 100_000_000_000, None]
    assert rating == [0, 2**31 - 1, 2**31 - 1, 2, -3, 2**31 - 1, 2**31 - 1, None]
    assert [float(value) for value in money[:5]] == [0, 0.4, 1.5, 2, -3]
    product = macro("valid_rows.sql", "countable", "1.001e0 * 1000", "bigint")
    assert duckdb.sql(f"select 1.001e0 * 1000 < 1001, {product}").fetchall() == [(True, 1001)]


def test_of_days_that_a_file_has_in_another_format_the_odd_one_is_the_fault() -> None:
    file = "read_csv('sales.csv', dateformat = '%d/%m/%Y')"
    for kind, relation, fault in (("date", file, "2026-07-01"), ("date", "'sales.parquet'", "03/04/2026")):
        sql = macro("raw_data.sql", "as_declared", relation, "day", kind)
        days = "(values ('03/04/2026'), ('2026-07-01')) as days (day)"
        assert duckdb.sql(f"select day from {days} where {sql} is null").fetchall() == [(fault,)]
        assert duckdb.sql(f"select {sql} from (select 20260701 as day)").fetchall() == [(None,)]


def test_a_time_in_words_is_read_by_the_zone_that_it_names() -> None:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    zoned, plain = "'2026-01-31T23:00:00-05:00'", "'2026-01-31 23:00:00'"
    sql = ", ".join(macro("engine_specific.sql", "default__utc_time", text) for text in (zoned, plain))
    assert connection.sql(f"select {sql}").fetchall() == [
        (datetime(2026, 2, 1, 4), datetime(2026, 1, 31, 23))
    ]


def test_every_table_and_column_of_the_contract_is_written(project_folder: Path) -> None:
    written()
    staging = project_folder / "dbt_project" / "sources" / "acme"
    contract = read_contract(ROOT)
    assert {path.stem for path in staging.glob("*.sql")} == {f"stg_{table.name}" for table in contract}
    for table in contract:
        text = (staging / f"stg_{table.name}.sql").read_text()
        assert "doc(" not in text
        types = duckdb.sql(text).columns, [str(kind) for kind in duckdb.sql(text).types]
        wanted = [
            column.type.upper().replace("STRING", "VARCHAR").replace(", ", ",") for column in table.columns
        ]
        assert types == ([column.name for column in table.columns], wanted)


def test_tables_of_the_warehouse_are_mapped(project_folder: Path) -> None:
    (project_folder / "warehouse").mkdir(exist_ok=True)
    with duckdb.connect(str(project_folder / "warehouse" / "acme.duckdb")) as connection:
        connection.execute(
            "create schema loaded; create table loaded.payments (payment_id bigint, paid_on date)"
        )
    source = written(tables="acme.loaded")
    declared = yaml.safe_load((project_folder / "dbt_project/sources/acme/sources.yml").read_text())[
        "sources"
    ][0]
    assert (declared["database"], declared["schema"]) == ("acme", "loaded")
    assert "config" not in declared["tables"][0]
    assert source.to_fill_in == {"payments": ("customer_id", "due_on", "amount", "payment_method")}


@pytest.mark.parametrize("tables", ["acme", "acme.", ".loaded", "other.loaded", "acme.nothing"])
def test_tables_that_cannot_be_found_are_refused(project_folder: Path, tables: str) -> None:
    duckdb.connect(str(project_folder / "warehouse" / "acme.duckdb")).close()
    with pytest.raises(BayesPilotError):
        written(tables=tables)
    assert not (project_folder / "seeds" / "acme").exists()


def test_a_warehouse_that_holds_no_such_tables_says_what_it_is(project_folder: Path) -> None:
    warehouse = project_folder / "warehouse" / "acme.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create schema loaded; create table loaded.payments (payment_id bigint)")
    with pytest.raises(BayesPilotError, match="next: name one that does: loaded"):
        written(tables="acme.nothing")
    warehouse.write_text("no database")
    with pytest.raises(BayesPilotError, match="cannot be opened"):
        written(tables="acme.loaded")


def test_neutral_seeds_have_every_parameter_and_say_what_to_fill_in(project_folder: Path) -> None:
    written()
    declared = yaml.safe_load((ROOT / "dbt_project/models/parameters/int_policy_parameters.yml").read_text())
    parameters = [column["name"] for column in declared["models"][0]["columns"]]
    assert sorted(row["parameter"] for row in rows_of(TEMPLATE / "policy.csv")) == sorted(parameters)
    seeds = project_folder / "seeds" / "acme"
    assert {file.name for file in seeds.iterdir()} == {
        file.name for file in (ROOT / "seeds/demo").glob("*.csv")
    }
    for file in seeds.iterdir():
        header = (ROOT / "seeds/demo" / file.name).read_text().splitlines()[0]
        assert file.read_text().splitlines()[0] == header
        assert all(row["source"].startswith("fill in: ") and row["unit"] for row in rows_of(file)), file
        text = file.read_text()
        assert [word for word in DEMO_WORDS if word in text] == []
    assert [(row["offer"], row["signal"]) for row in rows_of(seeds / "offer_effect_priors.csv")] == [
        ("*", "intercept"),
        ("*", "*"),
    ]


# What a user writes into the files of each business, and the definition of churn that init chose.


def fill_in(project: Project, table: str, edits: dict[str, str]) -> None:
    """Replace texts of a staging select, each of which must stand there once."""
    path = project.folder / "dbt_project" / "sources" / "acme" / f"stg_{table}.sql"
    text = path.read_text(encoding="utf-8")
    for old, new in edits.items():
        assert text.count(old) == 1, (table, old)
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def write_map(project: Project, kind: str, meaning: str) -> None:
    path = project.folder / "seeds" / "acme" / "activity_map.csv"
    path.write_text(
        f"activity_type,meaning,counts_as_event,unit,source\n{kind},{meaning},true,events,the register\n"
    )


def complete_transactions(project: Project) -> None:
    fill_in(
        project,
        "customers",
        {
            "cast(null as string) as customer_id": 'cast("Card No" as string) as customer_id',
            "cast(null as date) as signed_up_on": 'cast(min("bought at") as date) as signed_up_on',
            "where false": "from {{ source('acme', 'transactions') }} group by \"Card No\"",
        },
    )
    fill_in(
        project,
        "activity",
        {
            "cast(null as string) as customer_id": 'cast("Card No" as string) as customer_id',
            "cast(null as timestamp) as occurred_at": 'cast("bought at" as timestamp) as occurred_at',
            "cast(null as string) as activity_type": "cast('purchase' as string) as activity_type",
            "cast(null as bigint) as quantity": "cast(1 as bigint) as quantity",
            "cast(null as decimal(18, 2)) as amount": "cast(total as decimal(18, 2)) as amount",
            "where false": "from {{ source('acme', 'transactions') }}",
        },
    )
    path = project.folder / "seeds" / "acme" / "activity_map.csv"
    header = "activity_type,meaning,counts_as_event,unit,source\n"
    path.write_text(
        f"{header}purchase,engagement,true,purchases,the register\npurchase,purchase,true,purchases,the register\n"
    )


def complete_seats(project: Project) -> None:
    """Every table has the names of the contract: only a belief, a budget and a currency are added."""
    seeds = project.folder / "seeds" / "acme"
    with (seeds / "offer_effect_priors.csv").open("a") as file:
        file.write("example_offer,intercept,-0.4,0.1,,,log-odds of churn,belief of the team\n")
    policy = (seeds / "policy.csv").read_text()
    assert policy.count("monthly_budget,0,") == policy.count("currency,XXX,") == 1
    (seeds / "policy.csv").write_text(
        policy.replace("monthly_budget,0,", "monthly_budget,500,").replace("currency,XXX,", "currency,CHF,")
    )


def complete_weekly_boxes(project: Project) -> None:
    fill_in(project, "customers", {"cast(null as string) as region": "cast(zone as string) as region"})
    fill_in(
        project,
        "subscriptions",
        {
            "cast(null as decimal(18, 2)) as monthly_fee": "cast(weekly_fee * 52 / 12 as decimal(18, 2)) as monthly_fee",
            "lower(trim(cast(billing_period as string)))": "cast('monthly' as string)",
        },
    )
    fill_in(
        project,
        "consents",
        {
            "cast(null as string) as customer_id": "cast(customer_id as string) as customer_id",
            "cast(null as string) as channel": "cast('email' as string) as channel",
            "cast(null as boolean) as is_granted": "cast(newsletter as boolean) as is_granted",
            "where false": "from {{ source('acme', 'customers') }}",
        },
    )
    fill_in(
        project,
        "activity",
        {
            "cast(null as string) as customer_id": "cast(customer_id as string) as customer_id",
            "cast(null as timestamp) as occurred_at": "cast(delivered_on as timestamp) as occurred_at",
            "cast(null as string) as activity_type": "cast('box' as string) as activity_type",
            "cast(null as bigint) as quantity": "cast(boxes as bigint) as quantity",
            "where false": "from {{ source('acme', 'deliveries') }} where not skipped",
        },
    )
    write_map(project, "box", "engagement")


BUSINESSES: dict[str, tuple[Callable[[Path], Path], Callable[[Project], None], str]] = {
    "transactions": (write_transactions, complete_transactions, "inactivity"),
    "seats": (write_seats, complete_seats, "subscription_end"),
    "weekly boxes": (write_weekly_boxes, complete_weekly_boxes, "subscription_end"),
}
PLAN_WORDS = ("plan", "billing", "fee", "commitment", "subscription")
ABSENT = {
    "transactions": (*PLAN_WORDS, "ticket", "rating", "payment", "invoice"),
    "seats": ("ticket", "rating", "payment", "invoice"),
    "weekly boxes": ("ticket", "rating", "payment", "invoice"),
}


@pytest.mark.build
@pytest.mark.parametrize("business", sorted(BUSINESSES))
def test_a_new_business_decides(tmp_path: Path, business: str) -> None:
    write, complete, churn = BUSINESSES[business]
    project = copy_project(tmp_path / "project", tmp_path / "unused")
    project.raw_data = None
    begun = project.run(
        *("bayespilot", "init", "acme", "--data", str(write(tmp_path / "data"))),
        *("--data-ends-on", f"date '{LAST_DAY}'"),
    )
    assert begun.returncode == 0, begun.output
    assert f"churn is {churn}" in begun.stdout
    complete(project)
    # A whole build, reports and tests of the data included, of one of them; the real shop is another without plans.
    selected = () if business == "seats" else (*DECISIONS, "+quarantine", "+offer_effects")
    project.dbt("build", *selected, "--vars", "{source: acme}")

    def query(sql: str) -> list[tuple[Any, ...]]:
        return project.query(sql, "acme")

    at_risk, decided = query(
        f"select (select count(*) from customer_features where as_of_date = date '{LAST_DAY}'),"
        " (select count(*) from retention_actions)"
    )[0]
    assert at_risk == decided > 100
    assert query("select count(*) from quarantine") == [(0,)]
    assert query("select distinct effect_source from offer_effects") == [("assumed",)]
    texts = words_of(project)
    assert [word for word in DEMO_WORDS if any(word in text for text in texts)] == []
    reasons = query("select distinct unnest([reason_1, reason_2, reason_3]) from retention_actions")
    cited = {reason for (reason,) in reasons if reason}
    assert cited or business != "seats", "contacts are planned there, and each has reasons"
    assert [(word, text) for word in ABSENT[business] for text in cited if word in text] == []
    BUSINESS_CHECKS[business](query)


def words_of(project: Project) -> set[str]:
    """Return all texts of the tables that people read."""
    found: set[str] = set()
    for table in ("retention_actions", "policy_runs", "offer_effects"):
        columns = project.query(
            f"select column_name from duckdb_columns() where table_name = '{table}' and data_type = 'VARCHAR'",
            "acme",
        )
        for (column,) in columns:
            values = project.query(
                f"select distinct {column} from {table} where {column} is not null", "acme"
            )
            found |= {value for (value,) in values if column not in ("customer_id", "action_id", "run_id")}
    assert len(found) > 10
    return found


Query = Callable[[str], list[tuple[Any, ...]]]


def check_transactions(query: Query) -> None:
    suppressed = query("select distinct action, coalesce(suppression_reason, 'none') from retention_actions")
    assert (
        {("no_action", "no_consent")}
        <= set(suppressed)
        <= {("no_action", "no_consent"), ("no_action", "none")}
    )
    assert query("select count(*) from stg_customers where customer_id like '00%'")[0][0] > 600


def check_seats(query: Query) -> None:
    [(planned, spent)] = query(
        "select count(*), sum(expected_cost) from retention_actions where action <> 'no_action'"
    )
    assert planned > 0
    assert spent <= 500
    assert query("select distinct currency from retention_actions") == [("CHF",)]
    priors = query(
        "select signal, mean, sd from int_offer_effect_priors order by signal = 'intercept', signal"
    )
    assert priors[-1] == ("intercept", -0.4, 0.1)
    assert {row[1:] for row in priors[:-1]} == {(0.0, 0.25)}
    assert query(
        "select monthly_fee from customer_features where customer_id = '5' order by as_of_date desc limit 1"
    ) in ([(75.0,)], [])


def check_weekly_boxes(query: Query) -> None:
    assert query("select distinct action from retention_actions") == [("no_action",)]
    assert query("select distinct monthly_fee from stg_subscriptions where plan = 'box for 1'") == [(52,)]
    [(refused,)] = query(
        "select count(*) from retention_actions where suppression_reason = 'no_consent' and cast(customer_id as int) % 6 = 0"
    )
    assert refused > 0


BUSINESS_CHECKS: dict[str, Callable[[Query], None]] = {
    "transactions": check_transactions,
    "seats": check_seats,
    "weekly boxes": check_weekly_boxes,
}
