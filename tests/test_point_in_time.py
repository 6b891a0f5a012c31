"""Features and consents of a date know nothing of what was recorded later, whatever is recorded later."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import Project, copy_project, generate_world
from dbt_project_copy import CompiledModels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.build

CUT = date(2026, 8, 31)
TABLES = (
    "int_run",
    "int_feature_dates",
    "int_day_segments",
    "int_segment_windows",
    "int_activity_segments",
    "int_account_segments",
    "int_customer_as_of_dates",
    "customer_features",
)
EARLIER_FEATURES = (
    f"select * from customer_features where as_of_date <= date '{CUT}' order by customer_id, as_of_date"
)
# What decisions up to the cut read: the answer that is valid on each of these days.
EARLIER_CONSENTS = (
    f"select customer_id, channel, valid_from, least(valid_until, date '{CUT}' + 1) as valid_until, is_granted"
    f" from int_consents where valid_from <= date '{CUT}' order by all"
)

LATER = "(date '{cut}' + {days}::integer)"
# Each change happens after the cut: what it touches could not be known when the cut's day ended.
CHANGES = {
    "add an event": (
        "activity",
        "select * from raw union all select * replace ({later}::timestamp + interval 9 hour as occurred_at)"
        " from (select * from raw order by hash(occurred_at::varchar || {pick}) limit 20)",
    ),
    "delete events": (
        "activity",
        "select * from raw where occurred_at::date <= date '{cut}' or hash(occurred_at) % 3 <> 0",
    ),
    "change events": (
        "activity",
        "select * replace (case when occurred_at::date > date '{cut}' then quantity + {pick} else quantity end as quantity) from raw",
    ),
    "cancel": (
        "subscriptions",
        "select * replace (case when ended_on is null and hash(subscription_id) % 3 = {pick} % 3 then {later} else ended_on end"
        " as ended_on) from raw",
    ),
    "undo cancellations": (
        "subscriptions",
        "select * replace (case when ended_on > date '{cut}' and (end_announced_on is null or end_announced_on > date '{cut}')"
        " then null else ended_on end as ended_on) from raw",
    ),
    "a new period at another fee": (
        "subscriptions",
        "select * from raw union all select * replace (subscription_id + 900000000 as subscription_id, {later} as started_on,"
        " monthly_fee * 2 as monthly_fee, null as ended_on) from (select * from raw order by subscription_id limit 30)",
    ),
    "pay later than before": (
        "payments",
        "select * replace (case when paid_on > date '{cut}' then {later} else paid_on end as paid_on) from raw",
    ),
    "pay what was open": ("payments", "select * replace (coalesce(paid_on, {later}) as paid_on) from raw"),
    "never pay": (
        "payments",
        "select * replace (case when paid_on > date '{cut}' then null else paid_on end as paid_on) from raw",
    ),
    "pay ahead": (
        "payments",
        "select * replace (case when due_on > {later} and (paid_on is null or paid_on > date '{cut}') then {later} else paid_on end"
        " as paid_on) from raw",
    ),
    "delete invoices": ("payments", "select * from raw where least(due_on, paid_on) <= date '{cut}'"),
    "credit what was open": (
        "payments",
        "select * from raw union all select * replace ({later} as due_on, {later} as paid_on, -amount as amount)"
        " from (select * from raw where due_on <= date '{cut}' and (paid_on is null or paid_on > {later})"
        " order by payment_id limit 30)",
    ),
    "resolve tickets, angrily": (
        "support_tickets",
        "select * replace (case when resolved_at::date > date '{cut}' or resolved_at is null"
        " then greatest({later}::timestamp, opened_at) else resolved_at end as resolved_at,"
        " case when resolved_at::date > date '{cut}' then 1 else satisfaction end as satisfaction) from raw",
    ),
    "open tickets": (
        "support_tickets",
        "select * from raw union all select * replace (ticket_id + 900000000 as ticket_id, {later}::timestamp as opened_at,"
        " null as resolved_at, null as satisfaction) from (select * from raw order by ticket_id limit 25)",
    ),
    "contact customers": (
        "retention_contacts",
        "select * from raw union all select * replace (contact_id + 900000000 as contact_id, {later} as contacted_on,"
        " {later} as accepted_on) from (select * from raw order by contact_id limit 25)",
    ),
    "give notice": (
        "subscriptions",
        "select * replace (case when ended_on is null and hash(subscription_id) % 3 = {pick} % 3 then {later} else end_announced_on"
        " end as end_announced_on, case when ended_on is null and hash(subscription_id) % 3 = {pick} % 3 then {later} + 30 else ended_on"
        " end as ended_on) from raw",
    ),
    "withdraw notices": (
        "subscriptions",
        "select * replace (case when end_announced_on > date '{cut}' then null else ended_on end as ended_on,"
        " case when end_announced_on > date '{cut}' then null else end_announced_on end as end_announced_on) from raw",
    ),
    "give notice on the last day": (
        "subscriptions",
        "select * replace (case when end_announced_on > date '{cut}' then ended_on else end_announced_on end as end_announced_on)"
        " from raw",
    ),
    "keep customers who gave notice": (
        "subscriptions",
        "select * from raw union all select * replace ({later} as started_on, null as ended_on, null as end_announced_on)"
        " from (select * from raw where end_announced_on <= date '{cut}' and ended_on > {later} order by subscription_id limit 30)",
    ),
    "correct the terms from a later day on": (
        "subscriptions",
        "with corrected as (select * from raw where ended_on is null and started_on < {later} order by subscription_id limit 30)"
        " select * replace (case when subscription_id in (select subscription_id from corrected) and ended_on is null then {later}"
        " else ended_on end as ended_on) from raw union all select * replace ({later} as started_on, monthly_fee / 2 as monthly_fee,"
        " 'basic' as plan) from corrected",
    ),
    "refund": (
        "payments",
        "select * from raw union all select * replace ({later} as due_on, {later} as paid_on, -amount as amount)"
        " from (select * from raw where paid_on <= date '{cut}' order by payment_id desc limit 30)",
    ),
    "refund under the day of the invoice": (
        "payments",
        "select * from raw union all select * replace (payment_id + 900000000 as payment_id, {later} as paid_on, -amount as amount)"
        " from (select * from raw where paid_on <= date '{cut}' order by payment_id desc limit 30)",
    ),
    "correct ratings": (
        "support_tickets",
        "select * replace (case when resolved_at::date > date '{cut}' then 1 + {pick} % 5 else satisfaction end as satisfaction) from raw",
    ),
    "refuse": (
        "consents",
        "select * from raw union all select * replace ({later}::timestamp + interval 7 hour as recorded_at, false as is_granted)"
        " from (select * from raw where is_granted order by customer_id, channel, recorded_at limit 60)",
    ),
    "consent again": (
        "consents",
        "select * from raw union all select * replace ({later}::timestamp + interval 7 hour as recorded_at, true as is_granted)"
        " from (select * from raw where not is_granted order by customer_id, channel, recorded_at limit 60)",
    ),
    "forget later answers": ("consents", "select * from raw where recorded_at::date <= date '{cut}'"),
    "refuse by a broken row": (
        "consents",
        "select * from raw union all select * replace ({later}::timestamp as recorded_at, 'letter' as channel, false as is_granted)"
        " from (select * from raw where is_granted order by customer_id, channel, recorded_at limit 60)",
    ),
    "refuse after the end of the data": (
        "consents",
        "select * from raw union all select * replace (timestamp '2027-01-01' + interval ({pick}) day as recorded_at,"
        " false as is_granted) from (select * from raw where is_granted order by customer_id, channel, recorded_at limit 60)",
    ),
    "accept later": (
        "retention_contacts",
        "select * replace (case when accepted_on is null or accepted_on > date '{cut}' then greatest({later}, contacted_on)"
        " else accepted_on end as accepted_on) from raw",
    ),
}


# What the demo does not deliver: a history of consents, the days on which ends were announced, and invoices paid before
# they fall due.
CONSENTS = """
    select customer_id, channel, is_granted, signed_up_on::timestamp + interval 9 hour as recorded_at
    from (unpivot (select customer_id, signed_up_on, consents_to_email as email, consents_to_phone as phone,
        consents_to_push as push from '{folder}/customers.parquet') on email, phone, push into name channel value is_granted)
    union all
    select customer_id, 'email', hash(customer_id) % 2 = 0,
        timestamp '2026-06-01' + interval (hash(customer_id, 1) % 150) day + interval 8 hour
    from '{folder}/customers.parquet'
"""
ANNOUNCED = """
    select *, (case when ended_on is not null and hash(subscription_id) % 2 = 0 then greatest(ended_on - 25, started_on) end)::date as end_announced_on
    from '{folder}/subscriptions.parquet'
"""

PAID_AHEAD = """
    select * replace (case when paid_on is not null and hash(payment_id) % 3 = 0 then least(paid_on, due_on - 5) else paid_on end as paid_on)
    from '{folder}/payments.parquet'
"""


def add_histories(folder: Path) -> None:
    """Write the raw tables that the source of the test has beyond the demo's, or with other rows."""
    selects = {"consents": CONSENTS, "subscriptions": ANNOUNCED, "payments": PAID_AHEAD}
    with duckdb.connect() as connection:
        for table, select in selects.items():
            connection.execute(
                f"copy ({select.format(folder=folder)}) to '{folder / 'aside'}' (format parquet)"
            )
            (folder / "aside").replace(folder / f"{table}.parquet")


def read_histories(project: Project) -> None:
    """Let the staging selects of a project read these tables."""
    source = project.folder / "dbt_project" / "sources" / "demo"
    subscriptions = (source / "stg_subscriptions.sql").read_text()
    without = "cast(null as date) as end_announced_on"
    assert without in subscriptions
    (source / "stg_subscriptions.sql").write_text(
        subscriptions.replace(without, "cast(end_announced_on as date) as end_announced_on")
    )
    (source / "stg_consents.sql").write_text(
        "select cast(customer_id as varchar) as customer_id, cast(channel as varchar) as channel,"
        " cast(is_granted as boolean) as is_granted, cast(recorded_at as timestamp) as recorded_at"
        " from {{ source('demo', 'consents') }}"
    )
    declared = (source / "sources.yml").read_text()
    (source / "sources.yml").write_text(
        declared.replace("    tables:\n", "    tables:\n      - name: consents\n", 1)
    )


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CompiledModels, Path, Path]]:
    """Feature models built once, their raw folder, and an untouched copy of it."""
    folder = tmp_path_factory.mktemp("point_in_time")
    original = generate_world(folder / "original", customers=150, seed=3)
    add_histories(original)
    raw = Path(shutil.copytree(original, folder / "raw"))
    project: Project = copy_project(folder / "project", raw)
    read_histories(project)
    project.dbt(
        "build",
        "-s",
        "+customer_features",
        "+int_consents",
        "--vars",
        "{training_dates: 3}",
        "--exclude-resource-type",
        "test",
    )
    models = CompiledModels(project.folder, project.warehouse(), TABLES)
    yield models, raw, original
    models.close()


def change_raw(raw: Path, original: Path, change: str, days: int, pick: int) -> None:
    """Write a raw table as the change leaves it."""
    table, statement = CHANGES[change]
    target = raw / f"{table}.parquet"
    later = LATER.format(cut=CUT, days=days)
    with duckdb.connect() as connection:
        connection.execute(f"create view raw as from '{original / target.name}'")
        aside = raw / "aside.parquet"
        connection.execute(
            f"copy ({statement.format(cut=CUT, later=later, pick=pick)}) to '{aside}' (format parquet)"
        )
    aside.replace(target)


def restore(raw: Path, original: Path) -> None:
    """Put every raw table back."""
    for file in original.glob("*.parquet"):
        shutil.copy2(file, raw / file.name)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4, unique_by=lambda name: CHANGES[name][0]
    ),
    days=st.integers(1, (date(2026, 10, 31) - CUT) // timedelta(days=1)),
    pick=st.integers(0, 50),
)
def test_later_records_never_change_earlier_features_or_consents(
    features: tuple[CompiledModels, Path, Path], changes: list[str], days: int, pick: int
) -> None:
    models, raw, original = features
    restore(raw, original)
    models.rebuild()
    before = models.rows(EARLIER_FEATURES), models.rows(EARLIER_CONSENTS)
    assert all(before)
    for change in changes:
        change_raw(raw, original, change, days, pick)
    models.rebuild()
    assert (models.rows(EARLIER_FEATURES), models.rows(EARLIER_CONSENTS)) == before


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_each_change_is_seen_by_the_later_date(
    features: tuple[CompiledModels, Path, Path], change: str
) -> None:
    """A change that no feature ever saw would prove nothing."""
    models, raw, original = features
    restore(raw, original)
    models.rebuild()
    after_cut = (
        "select * from int_consents order by all"
        if CHANGES[change][0] == "consents"
        else f"select * from customer_features where as_of_date > date '{CUT}' order by customer_id, as_of_date"
    )
    before = models.rows(after_cut)
    change_raw(raw, original, change, days=2, pick=1)
    models.rebuild()
    changed = models.rows(after_cut)
    assert changed != before
