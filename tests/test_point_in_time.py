"""Features of a date know nothing of what happened later, whatever happens later."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from compiled_models import CompiledModels
from conftest import Project, copy_project, generate_world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.build

CUT = date(2026, 8, 31)
TABLES = (
    "int_run",
    "int_subscription_periods",
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
        "select * replace (case when ended_on > date '{cut}' then null else ended_on end as ended_on) from raw",
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
    "delete invoices": ("payments", "select * from raw where due_on <= date '{cut}'"),
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
    "accept later": (
        "retention_contacts",
        "select * replace (case when accepted_on is null or accepted_on > date '{cut}' then greatest({later}, contacted_on)"
        " else accepted_on end as accepted_on) from raw",
    ),
}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CompiledModels, Path, Path]]:
    """Feature models built once, their raw folder, and an untouched copy of it."""
    folder = tmp_path_factory.mktemp("point_in_time")
    original = generate_world(folder / "original", customers=150, seed=3)
    raw = Path(shutil.copytree(original, folder / "raw"))
    project: Project = copy_project(folder / "project", raw)
    project.dbt(
        "build",
        "-s",
        "+customer_features",
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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4, unique_by=lambda name: CHANGES[name][0]
    ),
    days=st.integers(1, (date(2026, 10, 31) - CUT) // timedelta(days=1)),
    pick=st.integers(0, 50),
)
def test_later_facts_never_change_earlier_features(
    features: tuple[CompiledModels, Path, Path], changes: list[str], days: int, pick: int
) -> None:
    models, raw, original = features
    restore(raw, original)
    models.rebuild()
    before = models.rows(EARLIER_FEATURES)
    assert before
    for change in changes:
        change_raw(raw, original, change, days, pick)
    models.rebuild()
    assert models.rows(EARLIER_FEATURES) == before


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_each_change_is_seen_by_the_later_date(
    features: tuple[CompiledModels, Path, Path], change: str
) -> None:
    """A change that no feature ever saw would prove nothing."""
    models, raw, original = features
    restore(raw, original)
    models.rebuild()
    after_cut = (
        f"select * from customer_features where as_of_date > date '{CUT}' order by customer_id, as_of_date"
    )
    before = models.rows(after_cut)
    change_raw(raw, original, change, days=2, pick=1)
    models.rebuild()
    changed = models.rows(after_cut)
    assert changed != before
