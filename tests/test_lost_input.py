"""A run that lost its input stops before training and scoring, says what is lost, and changes nothing that is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bad_input_cases import LATELY, LOST_INPUT, Case
from check_input_nights import InputNights, Problem, open_nights, run_nights
from conftest import UNTESTED, Project

pytestmark = pytest.mark.build

FIRST = date(2026, 9, 20)
NIGHT = date(2026, 9, 25)
CHANGES = {case.given: case.change for case in LOST_INPUT}
GATE = ("--select", "+int_input_gate", *UNTESTED)


def rewrite(folder: Path, changes: dict[str, str]) -> None:
    """Replace raw files by selects on themselves; ``raw`` is the table, ``{folder}`` the folder of all files."""
    for table, select in changes.items():
        file = folder / f"{table}.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"create view raw as from '{file}'")
            connection.execute(f"copy ({select.format(folder=folder)}) to '{file}.aside' (format parquet)")
        Path(f"{file}.aside").replace(file)


class Nightly:
    """The checks on raw files that a test may change, after a first night that passed."""

    def __init__(self, nights: InputNights, raw: Path, original: Path) -> None:
        self.nights, self.raw, self.original = nights, raw, original
        self.kept = ("rpt_run_volume", "rpt_feed_freshness")
        self.restore()
        assert nights.check(FIRST) == []
        nights.keep()
        for table in self.kept:
            nights.connection.execute(f"create table kept_{table} as from {table}")

    def after(self, changes: dict[str, str], night: date = NIGHT) -> list[Problem]:
        """Return the problems of a night whose raw files are changed, after a first one on the original files."""
        self.restore()
        for table in self.kept:
            self.nights.connection.execute(f"insert into {table} by name from kept_{table}")
        rewrite(self.raw, changes)
        return self.nights.check(night)

    def on_first_build(self, changes: dict[str, str]) -> list[Problem]:
        """Return the problems of a first build on changed raw files."""
        self.restore()
        rewrite(self.raw, changes)
        return self.nights.check(NIGHT)

    def restore(self) -> None:
        for file in self.original.glob("*.parquet"):
            shutil.copy2(file, self.raw / file.name)
        for table in self.kept:
            self.nights.connection.execute(f"delete from {table}")


@pytest.fixture(scope="module")
def nightly(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> Iterator[Nightly]:
    folder = tmp_path_factory.mktemp("nights")
    raw = Path(shutil.copytree(small_world, folder / "raw"))
    nights = open_nights(folder / "project", raw, FIRST, copied=Project)
    yield Nightly(nights, raw, small_world)
    nights.close()


def found(problems: list[Problem]) -> set[tuple[str, str]]:
    return {(one.subject, one.problem) for one in problems if one.status == "stop"}


def named(problems: list[Problem], subject: str) -> str:
    return next(one.description for one in problems if one.subject == subject)


@pytest.mark.parametrize("case", LOST_INPUT, ids=lambda case: case.given)
def test_lost_input_is_found(nightly: Nightly, case: Case) -> None:
    problems = nightly.after(case.change)
    assert set(case.gets.split("; ")) <= {": ".join(one) for one in found(problems)}, problems
    assert all(one.description for one in problems)


def test_an_unchanged_business_is_silent_night_after_night(nightly: Nightly) -> None:
    nightly.restore()
    for day, problems in run_nights(nightly.nights, FIRST, 6):
        assert problems == [], day


def test_a_restored_delivery_passes(nightly: Nightly) -> None:
    assert nightly.after(CHANGES["half of the customers file"])
    assert nightly.after({}) == []


HARMLESS = {
    "fifteen tickets without a time": {
        "support_tickets": "select * replace (case when ticket_id in (select ticket_id from raw order by opened_at desc limit 15)"
        " then null else opened_at end as opened_at) from raw"
    },
    "a tenth of the activity of a year ago": {
        "activity": "select * from raw where hash(customer_id) % 10 > 0 or occurred_at >= timestamp '2025-09-25'"
    },
    "one customer leaves the raw data, the activity stays": {
        "customers": "select * from raw where customer_id <> (select max(customer_id) from raw where signed_up_on < date '2026-01-01')"
    },
    "no ticket for a week": {
        "support_tickets": "select * from raw where opened_at < timestamp '2026-09-19'"
    },
    "no sign-up for ten days": {"customers": f"select * from raw where signed_up_on < {LATELY}"},
}  # fmt: skip


@pytest.mark.parametrize("change", sorted(HARMLESS))
def test_what_a_small_business_may_do_stops_nothing(nightly: Nightly, change: str) -> None:
    assert found(nightly.after(HARMLESS[change])) == set()


SPELLINGS = {
    "whole numbers and 123.0": ("customer_id::double", '"100000001.0"'),
    "a leading blank": ("' ' || customer_id", '" 100000001"'),
    "a letter in front": ("'C' || customer_id", '"C100000001"'),
}


@pytest.mark.parametrize("spelling", sorted(SPELLINGS))
def test_ids_that_match_nothing_show_both_spellings(nightly: Nightly, spelling: str) -> None:
    expression, shown = SPELLINGS[spelling]
    problems = nightly.on_first_build(
        {"activity": f"select * replace ({expression} as customer_id) from raw"}
    )
    said = named(problems, "activity")
    assert ("activity", "set_aside") in found(problems)
    assert "100.0 %" in said
    assert "unknown_customer" in said
    assert shown in said.split("where the first of")[0]
    assert '"100000001", ' in said.split("where the first of")[1]


def test_the_words_of_a_loss_hold_its_numbers(nightly: Nightly) -> None:
    problems = nightly.after({"subscriptions": CHANGES["all fees are missing"]["subscriptions"]})
    [(rows,)] = nightly.nights.rows(
        "select count(*) from stg_subscriptions where started_on <= date '2026-09-25'"
    )
    [(ids,)] = nightly.nights.rows(
        "select string_agg('\"' || id || '\"', ', ' order by id) from (select distinct subscription_id as id"
        " from stg_subscriptions order by id limit 5)"
    )
    said = named(problems, "subscriptions")
    assert said.startswith(
        f"stg_subscriptions: {rows} of {rows} rows (100.0 %) are set aside; at the run of 2026-09-20 it was 0.0 %"
    )
    assert said.endswith(f" as missing_monthly_fee, first values: {ids}")


def test_a_reason_that_has_grown_is_named_before_an_old_one(nightly: Nightly) -> None:
    old = "select * from raw union all select * replace (customer_id + 5000000000 as customer_id) from raw where payment_id % 3 = 0"
    nightly.restore()
    rewrite(
        nightly.raw,
        {"payments": f"select row_number() over () as payment_id, * exclude (payment_id) from ({old})"},
    )
    assert nightly.nights.check(FIRST) == []
    nightly.nights.keep()
    rewrite(
        nightly.raw,
        {
            "payments": "select * replace (case when payment_id % 6 = 0 then null else amount end as amount) from raw"
        },
    )
    problems = nightly.nights.check(NIGHT)
    assert ("payments due", "more_set_aside") in found(problems)
    assert "as missing_amount" in named(problems, "payments due")


# ------------------------------------------------- subscriptions that are written in another way


LAST_DAY = "select * replace (case when ended_on is not null then ended_on - 1 end as ended_on) from raw"
# A commitment of a year that a renewal of the same row has moved on.
OVERWRITTEN = (
    "select * replace (case when ended_on is null and commitment_ends_on is not null and started_on < date '2026-01-01'"
    " then commitment_ends_on + interval 1 year else commitment_ends_on end::date as commitment_ends_on) from raw"
)


def test_an_ended_on_that_is_the_last_day_is_reported(nightly: Nightly) -> None:
    problems = nightly.after({"subscriptions": LAST_DAY})
    assert [(one.problem, one.status) for one in problems] == [("last_day_in_ended_on", "warn")]
    [(pairs,)] = nightly.nights.rows(
        "select count(*) from (select lag(ended_on) over (partition by subscription_id order by started_on) as earlier,"
        f" started_on from stg_subscriptions) where started_on - earlier = 1 and started_on <= date '{NIGHT}'"
    )
    said = problems[0].description
    assert f"in {pairs} of " in said
    assert "write ended_on + 1" in said


def test_a_commitment_that_a_renewal_moved_is_reported(nightly: Nightly) -> None:
    problems = nightly.after({"subscriptions": OVERWRITTEN})
    assert [(one.problem, one.status) for one in problems] == [("overwritten_commitment", "warn")]
    [(rows,)] = nightly.nights.rows(
        f"select count(*) from stg_subscriptions where commitment_ends_on - started_on > 400 and started_on <= date '{NIGHT}'"
    )
    assert rows > 0
    assert f"in {rows} of " in problems[0].description
    assert "as a new row of the same subscription_id" in problems[0].description


def test_a_few_days_between_rows_are_no_sign(nightly: Nightly) -> None:
    few = (
        "select * replace (case when subscription_id in (select subscription_id from raw where ended_on is not null order by 1"
        " limit 9) then ended_on - 1 else ended_on end as ended_on) from raw"
    )
    assert nightly.after({"subscriptions": few}) == []


# ------------------------------------------------- whole builds


@pytest.fixture
def night(built_project: Project, small_world: Path, tmp_path: Path) -> Project:
    """A project with decisions, on raw files of its own."""
    project = built_project.copy(tmp_path / "project")
    project.raw_data = Path(shutil.copytree(small_world, tmp_path / "raw"))
    return project


READ = (
    "retention_actions", "retention_actions_history", "policy_runs", "action_outcomes", "offer_effects",
    "policy_value_history", "deployed_pipeline", "churn_scores", "rpt_run_volume",
)  # fmt: skip


def contents(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    return {table: project.query(f"select * from {table} order by all") for table in READ}


def change(project: Project, changes: dict[str, str]) -> None:
    assert project.raw_data is not None
    rewrite(project.raw_data, changes)


def test_a_first_build_whose_activity_matches_nobody_trains_nothing(
    new_project: Callable[..., Project], small_world: Path, tmp_path: Path
) -> None:
    raw = Path(shutil.copytree(small_world, tmp_path / "raw"))
    rewrite(raw, {"activity": "select * replace (customer_id::double as customer_id) from raw"})
    project = new_project(raw)
    said = project.dbt("build", succeeds=False)
    for words in (
        "stg_activity: ",
        "(100.0 %) are set aside",
        "unknown_customer",
        '"100000001.0"',
        '"100000001"',
        "run dbt build again",
        "--vars '{allow_lost_input: [\"activity\"]}'",
        "dbt_project/sources/demo/sources.yml",
    ):
        assert words in said
    assert said.count("is lost,") == 1, "one node says it"
    assert not list(project.folder.rglob("deployed_pipeline.pkl"))
    tables = project.query(
        "select table_name from information_schema.tables where table_name = 'retention_actions'"
    )
    assert tables == []


def test_a_night_without_fees_leaves_what_is_read_as_it_was(night: Project) -> None:
    before = contents(night)
    change(night, {"subscriptions": CHANGES["all fees are missing"]["subscriptions"]})
    said = night.dbt("build", succeeds=False)
    assert "100.0 %) are set aside" in said
    assert "customers at risk: none on 2026-10-31, where the run of 2026-10-31 counted" in said
    assert contents(night) == before
    # Features of the date are gone, not left over from the first build, and scoring alone stops as well.
    left = night.query("select count(*) from customer_features where as_of_date = date '2026-10-31'")
    assert left == [(0,)]
    said = night.dbt("build", "--selector", "scoring", succeeds=False)
    assert "is lost," in said
    assert contents(night) == before
    assert night.query("select count(*) from int_dates_of_lost_input") == [(1,)]


def execute(project: Project, *statements: str) -> None:
    with duckdb.connect(str(project.warehouse())) as connection:
        for statement in statements:
            connection.execute(statement)


def test_features_of_lost_input_are_built_again_and_a_loss_may_pass(
    night: Project, small_world: Path
) -> None:
    features = "select * from customer_features order by customer_id, as_of_date"
    sound = night.query(features)
    # The stopped build computes a training date for the first time: it must not keep what it made of half the file.
    [(matured,)] = night.query("select max(as_of_date) from training_examples")
    execute(night, f"delete from customer_features where as_of_date = date '{matured}'")
    change(night, CHANGES["half of the subscriptions file"])
    build = ("build", *GATE, "--select", "+int_input_gate", "int_dates_of_lost_input")
    said = night.dbt(*build, succeeds=False)
    assert "stg_subscriptions: of days up to 2026-10-31 it holds" in said
    assert night.query(features) != sound
    assert set(night.query("from int_dates_of_lost_input")) == {(matured,), (date(2026, 10, 31),)}

    broken, night.raw_data = night.raw_data, small_world
    night.dbt(*build)
    assert night.query(features) == sound
    assert night.query("from int_dates_of_lost_input") == []

    night.raw_data = broken
    said = night.dbt(*build, "--vars", "{allow_lost_input: [subscriptions, customers at risk]}")
    assert "Input let pass by allow_lost_input: stg_subscriptions: of days up to" in said
    assert night.query("select distinct status from rpt_input_problems") == [("allowed",)]
    night.dbt(*build, succeeds=False)  # what may pass once stops the next run again


def test_an_empty_build_finds_nothing_lost_and_unknown_names_are_refused(night: Project) -> None:
    change(night, CHANGES["no subscriptions at all"])
    night.dbt("run", "--empty", "--select", "+int_input_gate")
    said = night.dbt(
        "run",
        "--select",
        "rpt_input_problems",
        "--vars",
        "{allow_lost_input: [subscription]}",
        succeeds=False,
    )
    assert "allow_lost_input holds 'subscription', which is no input" in said
    assert "subscriptions, payments due" in said


def test_a_source_may_declare_that_a_loss_only_warns(night: Project) -> None:
    sources = night.folder / "dbt_project" / "sources" / "demo" / "sources.yml"
    declared = "data_ends_on: \"date '2026-10-31'\""
    text = sources.read_text()
    assert declared in text
    feeds = "feeds: {support tickets: {lost: warn}, payments due: {lost: ignore}, 'activity: feature_use': {stopped: warn}}"
    sources.write_text(text.replace(declared, f"{declared}\n        {feeds}"))
    change(
        night,
        {
            "support_tickets": CHANGES["no ticket has a time"]["support_tickets"],
            "payments": CHANGES["invoices name nobody"]["payments"],
            "activity": "select * from raw where occurred_at < date '2026-10-15' or activity_type <> 'feature_use'",
        },
    )
    night.dbt("run", "--select", "+rpt_input_problems", succeeds=True)
    problems = night.query("select subject, problem, status from rpt_input_problems order by problem_number")
    assert ("support tickets", "set_aside", "warn") in problems
    subjects = {subject for subject, _, _ in problems}
    assert "payments due" not in subjects
    assert "activity: feature_use" not in subjects
    freshness = "select status from rpt_feed_freshness where feed = 'activity: feature_use'"
    assert night.query(freshness) == [("quiet",)]


# ------------------------------------------------- contacts that are reported badly

FLAWS = {
    "no cost": "null::decimal(10, 2) as cost",
    "a cost below 0": "-1::decimal(10, 2) as cost",
    "accepted before contacted": "contacted_on - 1 as accepted_on",
    "no offer": "null::varchar as offer",
    "no contact id": "null::bigint as contact_id",
    "after the end of the data": "date '2026-11-02' as contacted_on",
    "no customer": "null::bigint as customer_id",
    "no day": "null::date as contacted_on",
}


def test_contacts_that_are_reported_badly_still_exclude(night: Project) -> None:
    taken = night.query(
        "select action_id, customer_id, action from retention_actions_deliverable where channel = 'email'"
        f" order by action_id limit {len(FLAWS)}"
    )
    assert len(taken) == len(FLAWS)
    rows = [
        f"select * replace ({flaw}) from (select {900_000_000 + number} as contact_id, '{action_id}' as action_id,"
        f" {customer} as customer_id, '{offer}' as offer, date '2026-10-31' as contacted_on, null::date as accepted_on,"
        " 0.25::decimal(10, 2) as cost, false as is_randomized, null::double as propensity)"
        for number, ((action_id, customer, offer), flaw) in enumerate(zip(taken, FLAWS.values(), strict=True))
    ]
    change(
        night,
        {"retention_contacts": "select * from raw " + " ".join(f"union all by name {row}" for row in rows)},
    )
    rejected = "select count(*) from quarantine where staging_model = 'stg_retention_contacts'"
    [(before,)] = night.query(rejected)
    night.dbt("run", "--select", "+int_suppressions", "retention_actions_deliverable", "quarantine")
    listed = ", ".join(f"'{action_id}'" for action_id, _, _ in taken)
    delivered = f"select action_id from retention_actions_deliverable where action_id in ({listed})"
    assert night.query(delivered) == []
    assert night.query(rejected) == [(before + len(FLAWS),)]
    customers = ", ".join(f"'{customer}'" for _, customer, _ in taken)
    suppressed = night.query(
        f"select count(distinct customer_id) from int_suppressions where suppression_reason = 'cool_down' and customer_id in ({customers})"
    )
    assert suppressed == [(len(FLAWS) - 1,)], "all but the one that names no customer"
