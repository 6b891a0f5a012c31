"""Write a new source: its staging selects, sources.yml and seeds, each line saying what is to be filled in.

Columns and their meaning come from the contract in dbt_project/models/staging/staging.yml, neutral values from
seeds/template, columns of the raw tables from the files or tables themselves.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import yaml

from models_ml.errors import SHOWN_VALUES, BayesPilotError
from models_ml.files import write_text
from models_ml.paths import SOURCE_NAME, project_root, warehouse_path
from models_ml.raw_tables import (
    WHOLE_NUMBERS,
    RawColumn,
    RawTable,
    copied_rows,
    distinct_texts,
    newest_day,
    read_files,
    read_tables,
    slow_files,
    unread,
    unreadable_values,
)

CHURN_DEFINITIONS = ("subscription_end", "inactivity")
# Starting horizons: a subscription ends from one month to the next, the absence of an order shows after a quarter.
HORIZON_DAYS = {"subscription_end": "28", "inactivity": "90"}
LAST_DAY = "current_date - 1"
GROWING_DAYS = 31  # data without a row for longer has ended on its newest day
TAKEN_NAMES = (
    "main",
    "memory",
    "raw",
    "system",
    "temp",
    "template",
)  # of DuckDB databases, of folders beside seeds
FLOATING = ("DOUBLE", "FLOAT")  # types of DuckDB with NaN and infinities
LOWER_CASE = ("billing_period", "offer", "channel")  # words that models and seeds compare
LISTED_TYPES = 50  # a column with more values than this is no type of event
INDENT = " " * 8
Row = dict[str, str]


@dataclass(frozen=True)
class ContractColumn:
    """A column that staging owes: name, type, and what it means."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class ContractTable:
    """A table that staging owes, without its prefix ``stg_``."""

    name: str
    description: str
    columns: tuple[ContractColumn, ...]


@dataclass(frozen=True)
class RawData:
    """The raw tables of a source and what holds them: a folder (as Jinja), or a schema in a warehouse file."""

    tables: tuple[RawTable, ...]
    folder: str
    database_schema: tuple[str, str] | None
    warehouse: Path | None

    def table(self, name: str) -> RawTable | None:
        """Return the table of this name."""
        return next((table for table in self.tables if table.name == name), None)


@dataclass(frozen=True)
class NewSource:
    """What was written: the files, the contract columns that still wait for a value, and the newest day found.

    ``to_check`` says what of the raw data is guessed, or cannot be read as it is, and where the data ends.
    """

    name: str
    files: tuple[Path, ...]
    to_fill_in: Mapping[str, tuple[str, ...]]
    without_table: tuple[str, ...]
    churn: str
    newest_day: str
    to_check: tuple[str, ...]

    def next_steps(self) -> list[str]:
        """Return the lines that say what to do next."""
        staging, seeds = f"dbt_project/sources/{self.name}", f"seeds/{self.name}"
        lines = [f"wrote {len(self.files)} files to {staging} and {seeds}"]
        lines += [
            f"  fill in stg_{table}.sql: {', '.join(columns)}" for table, columns in self.to_fill_in.items()
        ]
        lines += [f"  check {line}" for line in self.to_check]
        if self.without_table:
            lines.append(
                f"  empty until you fill them in: {', '.join(f'stg_{name}' for name in self.without_table)}"
            )
        return [
            *lines,
            "next:",
            f"  1. complete the staging selects; grep -rn 'fill in' {staging} {seeds} lists what is open",
            f"  2. complete {seeds}/policy.csv (churn is {self.churn}), channels.csv, offers.csv and activity_map.csv",
            f"  3. bayespilot run --source {self.name}; read quarantine first, then retention_actions",
            f"No effect of an offer is assumed: nobody is contacted before {seeds}/offer_effect_priors.csv states one,"
            " or policy.csv a learning_share, and policy.csv a monthly_budget.",
        ]


def write_new_source(
    name: str, *, folder: Path | None, tables: str, data_ends_on: str, churn: str
) -> NewSource:
    """Write staging selects, sources.yml and seeds of a new source; existing files stay as they are.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and underscores; names the folders, the warehouse and the reports.
    folder : Path or None
        Folder of CSV and Parquet files.
    tables : str
        Schema of existing tables in the warehouse file, as DATABASE.SCHEMA; empty for none.
    data_ends_on : str
        SQL of the last day of the data; empty for yesterday.
    churn : str
        ``subscription_end`` or ``inactivity``; empty for the former where there is a table of subscriptions.

    Raises
    ------
    BayesPilotError
        If the name is not usable or taken, an argument is not understood, or the raw data cannot be read.
    """
    root = project_root()
    staging, seeds = _free_folders(root, name)
    contract = read_contract(root)
    raw = _raw_data(root, name, folder, tables)
    chosen = churn or ("subscription_end" if raw.table("subscriptions") else "inactivity")
    if chosen not in CHURN_DEFINITIONS:
        raise BayesPilotError(f"churn must be one of {', '.join(CHURN_DEFINITIONS)}", values=[churn])
    newest, newest_column = newest_day(raw.warehouse, raw.tables)
    ends_on = data_ends_on or _last_day(newest)
    texts = {staging / "sources.yml": sources_yml(name, raw, ends_on)}
    unreadable: dict[str, dict[str, str]] = {}
    for table in contract:
        unreadable[table.name] = _unreadable(table, raw)
        texts[staging / f"stg_{table.name}.sql"] = staging_select(name, table, raw, unreadable[table.name])
    texts |= {seeds / file: text for file, text in _seeds(root, name, chosen, raw).items()}
    _write(texts, (staging, seeds))
    mapped = [(table, raw_table) for table in contract if (raw_table := raw.table(table.name))]
    return NewSource(
        name,
        tuple(texts),
        {table.name: missing for table, found in mapped if (missing := _missing(table, found))},
        tuple(table.name for table in contract if raw.table(table.name) is None),
        chosen,
        newest,
        (
            *_words_on_folder(folder),
            *(f"sources.yml: {table.name}: {table.doubt}" for table in raw.tables if table.doubt),
            *(
                f"stg_{table}.sql: {column}: {words}"
                for table, found in unreadable.items()
                for column, words in found.items()
            ),
            *_words_on_copies(raw),
            *_words_on_days(raw, newest, newest_column, ends_on),
        ),
    )


def _words_on_folder(folder: Path | None) -> list[str]:
    """Return what a folder holds beside the files that were read, and which of these are slow."""
    if folder is None:
        return []
    words = {
        "not read": unread(folder),
        "slow, because each step of a build that uses a CSV reads all of it; the README shows how to write Parquet": (
            slow_files(folder)
        ),
    }
    return [f"the data: {what}: {_first(found)}" for what, found in words.items() if found]


def _first(names: Sequence[str]) -> str:
    more = f" (and {len(names) - SHOWN_VALUES} more)" if len(names) > SHOWN_VALUES else ""
    return f"{', '.join(names[:SHOWN_VALUES])}{more}"


def _words_on_copies(raw: RawData) -> list[str]:
    """Return what is to be checked about events, whose copies no key reveals."""
    activity = raw.table("activity")
    copies = copied_rows(raw.warehouse, activity) if activity else 0
    words = "of the rows are copies of others, which count too; select distinct if they are one event"
    return [f"stg_activity.sql: {copies:,} {words}"] if copies else []


def _last_day(newest: str) -> str:
    """Return the SQL of the last day of the data, as far as its newest day shows it."""
    has_ended = newest and (datetime.now(UTC).date() - date.fromisoformat(newest)).days > GROWING_DAYS
    return f"date '{newest}'" if has_ended else LAST_DAY


def _words_on_days(raw: RawData, newest: str, column: str, ends_on: str) -> list[str]:
    """Return what is to be checked about the days of the data."""
    if newest:
        return [
            f"sources.yml: data_ends_on: {ends_on}, where the newest day in the data is {newest} ({column})"
        ]
    if not raw.tables:
        return []
    return [
        "the data: no column is read as a day or time, and features are made of rows with days; cast days written as"
        " text or number in the staging selects. A randomised trial, one row per customer, needs no source:"
        " bayespilot uplift --help"
    ]


def _unreadable(table: ContractTable, raw: RawData) -> dict[str, str]:
    """Return in words, by contract column, which raw values its type cannot take."""
    found = raw.table(table.name)
    if found is None:
        return {}
    wanted = [
        (match, column.type)
        for column in table.columns
        if (match := found.column(column.name)) and match.has_values
    ]
    words = unreadable_values(raw.warehouse, found, wanted)
    return {name.lower(): text for name, text in words.items()}


def _free_folders(root: Path, name: str) -> tuple[Path, Path]:
    if not SOURCE_NAME.fullmatch(name) or name in TAKEN_NAMES:
        raise BayesPilotError(
            "the name of a source starts with a lower-case letter and holds up to 40 lower-case letters, digits and"
            f" underscores; {', '.join(TAKEN_NAMES)} are taken",
            values=[repr(name)],
            next_step="choose another name",
        )
    folders = root / "dbt_project" / "sources" / name, root / "seeds" / name
    if existing := [folder for folder in folders if folder.exists()]:
        raise BayesPilotError(
            f"the source {name} exists; nothing has been changed",
            where=", ".join(str(folder) for folder in existing),
            next_step="choose another name, or remove its folders",
        )
    return folders


def _raw_data(root: Path, name: str, folder: Path | None, tables: str) -> RawData:
    if folder is not None and tables:
        raise BayesPilotError("--data and --tables exclude each other", next_step="give one of them")
    if folder is not None:
        found = read_files(folder)
        return RawData(tuple(found), _folder_in_jinja(folder.resolve(), root), None, None)
    if not tables:
        return RawData((), "", None, None)
    database, dot, schema = tables.partition(".")
    if not (database and dot and schema):
        raise BayesPilotError("--tables must be DATABASE.SCHEMA", values=[tables])
    warehouse = warehouse_path(name)
    return RawData(tuple(read_tables(warehouse, database, schema)), "", (database, schema), warehouse)


def _folder_in_jinja(folder: Path, root: Path) -> str:
    """Return the folder as sources.yml writes it: from the project folder on, where it lies in it."""
    if folder.is_relative_to(root):
        return f"env_var('DBT_PROFILES_DIR', '.') ~ '/{folder.relative_to(root).as_posix()}'"
    return f"'{folder.as_posix()}'"


def read_contract(root: Path) -> list[ContractTable]:
    """Return the tables that staging owes, in the order of staging.yml; documented columns in full words."""
    models = root / "dbt_project" / "models"
    documents = dict(
        re.findall(r"{% docs (\w+) %}(.*?){% enddocs %}", (models / "_docs.md").read_text("utf-8"), re.DOTALL)
    )

    def words(text: str) -> str:
        return " ".join(re.sub(r'{{ *doc\("(\w+)"\) *}}', lambda found: documents[found[1]], text).split())

    declared = yaml.safe_load((models / "staging" / "staging.yml").read_text("utf-8"))["models"]
    return [
        ContractTable(
            model["name"].removeprefix("stg_"),
            words(model["description"]),
            tuple(
                ContractColumn(column["name"], column["data_type"], words(column["description"]).rstrip("."))
                for column in model["columns"]
            ),
        )
        for model in declared
    ]


def staging_select(
    source: str, table: ContractTable, raw: RawData, unreadable: Mapping[str, str] | None = None
) -> str:
    """Return the text of ``stg_<table>.sql``: columns of the raw table where they match, else nulls to fill in.

    Columns with values that their type cannot take are to be filled in too.
    """
    found = raw.table(table.name)
    columns = [(column, found.column(column.name) if found else None) for column in table.columns]
    open_points = {column.name: column.meaning for column, match in columns if match is None}
    open_points |= {name: _comment(words) for name, words in (unreadable or {}).items()}
    lines = [
        f"{INDENT}{_typed(column, match)} as {column.name}"
        f"{',' if column is not table.columns[-1] else ''}"
        f"{f' -- fill in: {open_points[column.name]}' if column.name in open_points else ''}"
        for column, match in columns
    ]
    heading = [f"-- {table.description}", *(f"-- {line}" for line in _hints(table, found, raw))]
    body = [*lines, f"    from {found.name}" if found else "    where false"]
    name = table.name if found else f"no_{table.name}"
    if found:
        steps = [
            f"with {found.name} as (",
            "",
            f"    select * from {{{{ source('{source}', '{found.name}') }}}}",
        ]
        steps += [
            "",
            "),",
            "",
            "renamed as (",
            "",
            "    select",
            *body,
            "",
            ")",
            "",
            "select * from renamed",
            "",
        ]
    else:
        steps = [f"with {name} as (", "", "    select", *body, "", ")", "", f"select * from {name}", ""]
    return "\n".join([*heading, *steps])


def _typed(column: ContractColumn, match: RawColumn | None) -> str:
    """Return the contract column as SQL.

    What may hold NaN, infinities or fractions of a whole number goes through the macro countable, a time in words,
    whose zone a cast would drop, through utc_time; words that seeds name are written in lower case.
    """
    if match is not None:
        name, kind = match.sql.replace("'", "\\'"), match.type.upper()
        is_whole = column.type not in WHOLE_NUMBERS or kind.endswith(("INT", "INTEGER"))
        if (kind in FLOATING and column.type != "double") or not is_whole:
            return f"{{{{ countable('{name}', '{column.type}') }}}}"
        if kind == "VARCHAR" and column.type == "timestamp":
            return f"{{{{ utc_time('{name}') }}}}"
    text = f"cast({'null' if match is None else match.sql} as {column.type})"
    if match is not None and column.name == "activity_type":
        return f"trim({text})"
    return f"lower(trim({text}))" if match is not None and column.name in LOWER_CASE else text


def _hints(table: ContractTable, found: RawTable | None, raw: RawData) -> list[str]:
    """Return comments that name the raw columns which no contract column takes."""
    if found is not None:
        taken = {column.name for column in table.columns}
        spare = [column for column in found.columns if column.name.lower() not in taken]
        return [f"Raw columns that are not used: {_listed(spare)}."] if spare else []
    hints = [
        "Empty: no raw table has this name. Leave it so, or fill in columns and a from clause with source()."
    ]
    if table.name == "customers":
        hints.append(
            "Without customers every other row is set aside; they may be derived from activity, one row each."
        )
    if table.name == "consents":
        hints.append(
            "Without consents nobody is contacted; flags of a table of customers become one row per channel."
        )
    contract_tables = [raw_table for raw_table in raw.tables if raw_table.name != table.name]
    return [
        *hints,
        *(f"Raw table {raw_table.name}: {_listed(raw_table.columns)}." for raw_table in contract_tables),
    ]


def _listed(columns: Sequence[RawColumn]) -> str:
    return _comment(", ".join(f"{column.name} ({column.type})" for column in columns))


def _comment(text: str) -> str:
    """Return a text for a comment: a brace would start an expression of dbt's templates, a line break end it."""
    return " ".join(text.translate({123: "(", 125: ")"}).split())


def _missing(table: ContractTable, found: RawTable) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if found.column(column.name) is None)


def sources_yml(name: str, raw: RawData, data_ends_on: str) -> str:
    """Return the text of sources.yml: the raw tables, their columns and types, and the last day of the data."""
    folder = f"{{{{ env_var('RETENTION_DATA', {raw.folder}) }}}}"
    lines = [
        *(["# `RETENTION_DATA` names another folder of the same files."] if raw.folder else []),
        "# Staging must be point in time: use no column that is overwritten later, such as a status of today.",
        "sources:",
        f"  - name: {name}",
        '    description: "fill in: what business this is, and what the tables cover"',
    ]
    if raw.database_schema:
        lines += [
            f"    {key}: {json.dumps(value)}"
            for key, value in zip(("database", "schema"), raw.database_schema, strict=True)
        ]
    lines += [
        "    config:",
        "      meta:",
        "        # fill in: SQL of the last day that the data covers completely, such as date '2026-10-31'",
        f"        data_ends_on: {json.dumps(data_ends_on, ensure_ascii=False)}",
        f"    tables:{'' if raw.tables else ' # fill in: your raw tables, as in dbt_project/sources/demo/sources.yml'}",
    ]
    if not raw.tables:
        lines.append("      - name: example_table")
    for table in raw.tables:
        lines += [
            f"      - name: {json.dumps(table.name)}",
            '        description: "fill in: one row per ..."',
        ]
        if table.location:
            place = table.location.replace("{folder}", folder)
            if table.doubt:
                lines.append(
                    f"        # fill in: {_comment(table.doubt)}; correct the format where that is wrong"
                )
            lines += [
                "        config:",
                "          meta:",
                f"            external_location: {_yaml_text(place)}",
            ]
        lines.append("        columns:")
        for column in table.columns:
            lines.append(f"          - name: {json.dumps(column.name, ensure_ascii=False)}")
            if column.has_values:
                lines.append(f"            data_type: {json.dumps(column.type.lower())}")
    return "\n".join([*lines, ""])


def _yaml_text(text: str) -> str:
    """Return a text in single quotes, in which YAML reads nothing but doubled quotes."""
    return "'" + text.replace("'", "''") + "'"


def _seeds(root: Path, name: str, churn: str, raw: RawData) -> dict[str, str]:
    """Return the seeds by file name: neutral values, and the event types that the raw activity holds."""
    template = root / "seeds" / "template"
    found = {file.name: _read_csv(file) for file in sorted(template.glob("*.csv"))}
    chosen = {
        "churn_definition": churn,
        "horizon_days": HORIZON_DAYS[churn],
        "randomisation_salt": f"{name}-1",
    }
    changed: Callable[[Row], Row] = lambda row: {**row, "value": chosen.get(row["parameter"], row["value"])}  # noqa: E731
    found["policy.csv"] = [changed(row) for row in found["policy.csv"]]
    activity = raw.table("activity")
    kind = activity.column("activity_type") if activity else None
    if activity and kind and (types := distinct_texts(raw.warehouse, activity, kind, LISTED_TYPES)):
        [example] = found["activity_map.csv"]
        found["activity_map.csv"] = [{**example, "activity_type": value} for value in types]
    declared = yaml.safe_load((root / "dbt_project.yml").read_text("utf-8"))["seeds"]["bayespilot"]
    header = ",".join(declared["reason_texts"]["+column_types"]) + "\n"
    return {**{file: _csv_text(rows) for file, rows in found.items()}, "reason_texts.csv": header}


def _read_csv(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _csv_text(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(texts: Mapping[Path, str], folders: Sequence[Path]) -> None:
    """Write all files, or leave none of their folders behind."""
    try:
        for path, text in texts.items():
            write_text(path, text)
    except OSError as error:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise BayesPilotError(
            "the files cannot be written", where=str(error.filename), values=[error]
        ) from error
