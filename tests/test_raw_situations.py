"""Raw data as businesses have it: parallel subscriptions, pauses, notices, refunds, stray dates, copies of a customer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import DECISIONS, ROOT, UNTESTED, Project, copy_project

pytestmark = pytest.mark.build

DAY = "2026-09-25"
NEXT_DAYS = "date '2026-09-25'"

SITUATIONS = """
    -- an add-on beside the main plan; a second, more expensive seat; two seats of which one is free
    insert into subscriptions values
        (1, 100000012, 'storage_addon', 'monthly', 5.00, date '2026-08-01', null, null),
        (2, 100000330, 'premium', 'monthly', 85.50, date '2026-08-10', null, null),
        (3, 100000014, 'standard', 'monthly', 40.00, date '2026-09-01', null, null),
        (4, 100000014, 'guest', 'monthly', 0.00, date '2026-09-02', null, null),
        (5, 100000029, 'premium', 'annual', 60.00, date '2026-07-01', date '2026-09-20', null);
    -- the same subscription: a higher fee, an annual plan turned monthly, a return after a gap, a row left open
    insert into customers
        select number, date '2025-01-01', 'north', 'organic', 'team', true, true, true
        from (values (7001), (7002), (7003), (7004), (7005), (7006), (7007), (7008)) as added (number);
    insert into subscriptions values
        (11, 7001, 'basic', 'monthly', 10.00, date '2025-01-01', date '2026-08-01', null),
        (11, 7001, 'basic', 'monthly', 12.00, date '2026-08-01', null, null),
        (12, 7002, 'basic', 'annual', 8.00, date '2025-08-01', date '2026-08-01', null),
        (12, 7002, 'basic', 'monthly', 12.00, date '2026-08-01', null, null),
        (13, 7003, 'basic', 'monthly', 10.00, date '2025-01-01', date '2026-06-01', null),
        (13, 7003, 'basic', 'monthly', 12.00, date '2026-08-01', null, null),
        (14, 7004, 'basic', 'monthly', 10.00, date '2025-01-01', null, null),
        (14, 7004, 'basic', 'monthly', 11.00, date '2026-08-01', null, null),
        -- a trial that became paid, a plan that is free
        (15, 7005, 'basic', 'monthly', 0.00, date '2026-08-01', date '2026-09-01', null),
        (15, 7005, 'basic', 'monthly', 12.00, date '2026-09-01', null, null),
        (16, 7006, 'free', 'monthly', 0.00, date '2025-01-01', null, null),
        -- a sound row after a broken copy of it
        (17, 7007, 'basic', 'monthly', -1.00, date '2025-01-01', null, null),
        (17, 7007, 'basic', 'monthly', 20.00, date '2025-01-01', null, null),
        -- two subscriptions, one after the other, at a higher fee: different ids are not compared
        (18, 7008, 'basic', 'monthly', 10.00, date '2025-01-01', date '2026-08-01', null),
        (19, 7008, 'basic', 'monthly', 15.00, date '2026-08-01', null, null);
    -- a refund; one without a paid day; a chargeback under the id of its invoice
    insert into payments values
        (9001, 100000571, date '2026-09-01', date '2026-09-01', -120.00, 'card'),
        (9002, 100000033, date '2026-09-02', null, -30.00, 'card');
    insert into payments
        select payment_id, customer_id, due_on + 3, due_on + 3, -amount, payment_method
        from payments where customer_id = 100000048 and due_on between date '2026-08-01' and date '2026-08-31';
    -- one odd date each: year 1, Unix time 0, a stray day years before the rest
    insert into activity select * replace (timestamp '0001-01-01' as occurred_at) from activity limit 1;
    insert into activity select * replace (timestamp '1970-01-01' as occurred_at) from activity limit 1;
    insert into activity select * replace (timestamp '1999-05-05' as occurred_at) from activity limit 1;
"""


def altered_raw(folder: Path, statements: str, original: Path = ROOT / "seeds" / "raw" / "demo") -> Path:
    """Copy the raw tables and run statements that change them."""
    shutil.copytree(original, folder)
    with duckdb.connect() as connection:
        tables = [file.stem for file in folder.glob("*.parquet")]
        for table in tables:
            connection.execute(f"create table {table} as from '{folder / table}.parquet'")
        connection.execute(statements)
        for table in tables:
            connection.execute(f"copy {table} to '{folder / table}.parquet' (format parquet)")
    return folder


def features_of(folder: Path, raw: Path, **variables: Any) -> Project:
    """Build the features and labels of a day on raw tables."""
    project = copy_project(folder, raw)
    given = ", ".join(f"{name}: {value}" for name, value in {"as_of_date": f"'{DAY}'", **variables}.items())
    select = ("--select", "+customer_features", "+churn_labels", "+int_consents")
    project.dbt("build", *select, *UNTESTED, "--vars", f"{{{given}}}")
    return project


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("plain")
    return features_of(folder / "project", altered_raw(folder / "raw", "select 1"))


@pytest.fixture(scope="module")
def situations(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("situations")
    return features_of(folder / "project", altered_raw(folder / "raw", SITUATIONS))


def feature(project: Project, customer: int, *names: str) -> tuple[Any, ...]:
    rows = project.query(
        f"select {', '.join(names)} from customer_features"
        f" where customer_id = '{customer}' and as_of_date = date '{DAY}'"
    )
    assert len(rows) == 1, f"{customer} is not at risk"
    return rows[0]


def test_an_add_on_adds_its_fee_and_changes_nothing_else(plain: Project, situations: Project) -> None:
    fee, plan = feature(situations, 100000012, "monthly_fee", "plan")
    assert (fee, plan) == (83.50, "premium")
    same = (
        "price_increases_last_90_days",
        "plan_changes_last_365_days",
        "days_to_commitment_end",
        "billing_period",
    )
    assert feature(situations, 100000012, *same) == feature(plain, 100000012, *same)


def test_a_second_more_expensive_seat_is_no_price_increase(situations: Project) -> None:
    assert feature(situations, 100000330, "monthly_fee", "price_increases_last_90_days") == (161.00, 0)


def test_a_free_seat_adds_nothing_and_the_most_expensive_names_the_plan(situations: Project) -> None:
    assert feature(situations, 100000014, "monthly_fee", "plan") == (58.50, "standard")


def test_a_seat_that_ended_no_longer_counts(situations: Project) -> None:
    assert feature(situations, 100000029, "monthly_fee", "billing_period") == (17.50, "monthly")


CHANGES = {
    "a higher fee": (7001, 12.0, 1, 2.0),
    "annual turned monthly": (7002, 12.0, 0, 0.0),
    "a return after a gap": (7003, 12.0, 0, 0.0),
    "a row left open": (7004, 11.0, 1, 1.0),
    "a trial that became paid": (7005, 12.0, 0, 0.0),
    "another subscription": (7008, 15.0, 0, 0.0),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_price_increase_compares_neighbours_of_one_subscription_and_billing_period(
    situations: Project, change: str
) -> None:
    customer, fee, increases, amount = CHANGES[change]
    names = ("monthly_fee", "price_increases_last_90_days", "price_increase_amount_last_90_days")
    assert feature(situations, customer, *names) == (fee, increases, amount)


def test_a_free_plan_is_no_paid_subscription(situations: Project) -> None:
    assert situations.query("select * from customer_features where customer_id = '7006'") == []


def test_a_broken_copy_never_displaces_a_sound_row(situations: Project) -> None:
    assert feature(situations, 7007, "monthly_fee") == (20.0,)
    reasons = situations.query(
        "select quarantine_reason from int_checked_subscriptions where customer_id = '7007' order by 1 nulls first"
    )
    assert reasons == [(None,), ("negative_monthly_fee",)]


def test_refunds_net_out_and_are_no_invoices(plain: Project, situations: Project) -> None:
    paid = ("amount_paid_last_30_days", "amount_paid_last_365_days")
    assert feature(situations, 100000571, *paid) == (-45.5, 774.0)
    situations.dbt("test", "--select", "customer_features", "--vars", f"{{as_of_date: '{DAY}'}}")
    for customer, paid_back in ((100000571, 120.0), (100000033, 30.0), (100000048, 35.5)):
        [before], [after] = (feature(of, customer, "amount_paid_last_365_days") for of in (plain, situations))
        assert after == pytest.approx(before - paid_back, abs=0.005 if customer != 100000048 else 10)
        same = ("invoices_due_last_365_days", "late_payments_last_365_days", "overdue_invoices")
        assert feature(situations, customer, *same) == feature(plain, customer, *same)
    assert (
        situations.query(
            "select * from int_checked_payments where amount < 0 and quarantine_reason is not null"
        )
        == []
    )


def test_one_odd_date_moves_nothing(plain: Project, situations: Project) -> None:
    start = "select data_starts_on from int_run"
    assert situations.query(start) == plain.query(start)
    set_aside = "select quarantine_reason from int_checked_activity where occurred_at < timestamp '1971-01-01' order by 1"
    assert situations.query(set_aside) == [("placeholder_date",)] * 2
    dates = "select distinct as_of_date from customer_features order by 1"
    assert situations.query(dates) == plain.query(dates)


PAUSES = """
    update subscriptions set ended_on = date '2026-08-10'
        where customer_id in (100000033, 100000048, 100000054) and ended_on is null;
    insert into subscriptions values
        (21, 100000033, 'standard', 'monthly', 37.00, date '2026-09-09', null, null),  -- 30 days
        (22, 100000048, 'standard', 'monthly', 41.50, date '2026-09-10', null, null),  -- 31 days
        (23, 100000054, 'standard', 'monthly', 39.00, date '2026-09-11', null, null);  -- 32 days
"""


@pytest.mark.parametrize(("grace", "stayed"), [(31, {"100000033", "100000048"}), (0, set())])
def test_a_pause_within_the_grace_is_no_churn(tmp_path: Path, grace: int, stayed: set[str]) -> None:
    raw = altered_raw(tmp_path / "raw", PAUSES)
    project = features_of(tmp_path / "project", raw, resume_grace_days=grace, as_of_date="'2026-09-30'")
    paused = "('100000033', '100000048', '100000054')"
    labels = project.query(
        f"select customer_id, has_churned from churn_labels where customer_id in {paused}"
        " and as_of_date = date '2026-07-31'"
    )
    assert {customer for customer, churned in labels if not churned} == stayed
    assert len(labels) == 3
    [(waiting,)] = project.query(
        "select max(as_of_date) < date '2026-09-30' - 28 - " + str(grace) + " + 1 from churn_labels"
    )
    assert waiting
    gaps = project.query(
        f"select count(*) from customer_features where customer_id in {paused} and as_of_date = date '2026-08-31'"
    )
    assert gaps == [(0,)], "nobody is at risk inside an open gap"


def compiled(project: Project, model: str, **tables: str) -> str:
    """Return the compiled SQL of a model with some of its tables replaced by selects."""
    [file] = (project.folder / "target" / "compiled").rglob(f"{model}.sql")
    sql = file.read_text(encoding="utf-8")
    for name, select in tables.items():
        sql = sql.replace(f'"demo"."main"."{name}"', f"({select})")
    return sql


@pytest.mark.parametrize(
    ("announced_on", "ended_on", "share", "days"),
    [
        ("2026-09-20", "2026-10-15", 1.0, 20),
        ("2026-09-25", "2026-09-26", 1.0, 1),
        ("2026-09-26", "2026-10-15", 0.0, None),
        (None, "2026-10-15", 0.0, None),
    ],
)
def test_notice_counts_from_the_day_of_the_notice(
    plain: Project, announced_on: str | None, ended_on: str, share: float, days: int | None
) -> None:
    announced = f"date '{announced_on}'" if announced_on else "null::date"
    row = (
        "select 's' as subscription_id, 'c' as customer_id, 'basic' as plan, 'monthly' as billing_period,"
        " 10::decimal(18, 2) as monthly_fee, date '2026-01-01' as started_on,"
        f" date '{ended_on}' as ended_on, {announced} as end_announced_on, date '{ended_on}' as announced_end_on,"
        " null::date as commitment_ends_on"
    )
    states = compiled(
        plain,
        "int_subscription_states",
        int_subscription_periods=row,
        int_feature_dates=f"select {NEXT_DAYS} as as_of_date",
    )
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select announced_fee_share, days_to_announced_end from ({states})"
        ).fetchall()
    assert found == [(share, days)]


def answers(*rows: tuple[str, str | None, bool | None, str | None, str | None]) -> str:
    """Return rows of int_checked_consents: customer, channel, answer, time, quarantine reason."""
    selects = [
        f"select {_text(customer)} as customer_id, {_text(channel)} as channel, {str(granted).lower() if granted is not None else 'null'}::boolean"
        f" as is_granted, {_text(time)}::timestamp as recorded_at, cast({_text(time)}::timestamp as date) as recorded_on,"
        f" {_text(reason)}::varchar as quarantine_reason"
        for customer, channel, granted, time, reason in rows
    ]
    return " union all ".join(selects)


def _text(value: str | None) -> str:
    return "null" if value is None else f"'{value}'"


Answer = tuple[str, str | None, bool | None, str | None, str | None]

CONSENTS: dict[str, tuple[Sequence[Answer], list[str]]] = {
    "no row is no consent": ([("other", "email", True, None, None)], []),
    "a flag holds for every date": ([("c", "email", True, None, None)], ["email"]),
    "two copies of a customer, one refuses": (
        [("c", "email", True, None, None), ("c", "email", False, None, None)],
        [],
    ),
    "the latest answer counts": (
        [("c", "email", False, "2026-01-01", None), ("c", "email", True, "2026-03-01", None)],
        ["email"],
    ),
    "a later refusal": (
        [("c", "email", True, "2026-01-01", None), ("c", "email", False, "2026-03-01 12:00", None)],
        [],
    ),
    "a tie refuses": (
        [("c", "email", True, "2026-03-01 08:00", None), ("c", "email", False, "2026-03-01 08:00", None)],
        [],
    ),
    "renewed on the same day": (
        [("c", "email", False, "2026-03-01 08:00", None), ("c", "email", True, "2026-03-01 09:00", None)],
        ["email"],
    ),
    "a flag that refuses outlives a dated consent": (
        [("c", "email", False, None, None), ("c", "email", True, "2026-03-01", None)],
        [],
    ),
    "a refusal without a known channel refuses all": (
        [
            ("c", "email", True, None, None),
            ("c", "phone", True, "2026-01-01", None),
            ("c", "letter", False, "2026-02-01", "unknown_channel"),
        ],
        [],
    ),
    "a grant without a known channel grants nothing": ([("c", None, True, None, "unknown_channel")], []),
    "a refusal dated after the data counts now": (
        [("c", "email", True, "2026-01-01", None), ("c", "email", False, "2027-01-01", "after_data_end")],
        [],
    ),
    "a grant dated after the data does not": (
        [("c", "email", False, "2026-01-01", None), ("c", "email", True, "2027-01-01", "after_data_end")],
        [],
    ),
    "a missing answer is a refusal": (
        [("c", "email", True, None, None), ("c", "email", None, None, "missing_is_granted")],
        [],
    ),
}


@pytest.mark.parametrize("case", sorted(CONSENTS))
def test_consent_by_its_latest_answer(plain: Project, case: str) -> None:
    rows, allowed = CONSENTS[case]
    assert consent_on(plain, rows, DAY) == allowed


def test_decisions_read_consent_as_known_at_their_date(plain: Project) -> None:
    rows: list[Answer] = [
        ("c", "email", True, "2026-03-01 10:00", None),
        ("c", "email", False, "2026-05-01 23:59", None),
    ]
    known = {
        day: consent_on(plain, rows, day) for day in ("2026-02-28", "2026-03-01", "2026-04-30", "2026-05-01")
    }
    assert known == {"2026-02-28": [], "2026-03-01": ["email"], "2026-04-30": ["email"], "2026-05-01": []}


def consent_on(project: Project, rows: Sequence[Answer], day: str) -> list[str]:
    consents = compiled(
        project,
        "int_consents",
        int_checked_consents=answers(*rows),
        int_channels="select unnest(['email', 'phone', 'push']) as channel",
        int_run=f"select date '{DAY}' as data_ends_on",
    )
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select channel from ({consents}) where customer_id = 'c' and is_granted and valid_from <= date '{day}'"
            f" and (valid_until is null or valid_until > date '{day}') order by channel"
        ).fetchall()
    return [channel for (channel,) in found]


def test_a_copy_that_refuses_withdraws_what_is_open(
    fresh_copy: Project, small_world: Path, tmp_path: Path
) -> None:
    [(first,)] = fresh_copy.query("select min(as_of_date) from retention_actions")
    open_emails = fresh_copy.query(
        "select customer_id from retention_actions_deliverable where channel = 'email' order by 1 limit 3"
    )
    refused = ", ".join(customer for (customer,) in open_emails)
    fresh_copy.raw_data = altered_raw(
        tmp_path / "raw",
        "insert into customers select * replace (signed_up_on + 1 as signed_up_on, false as consents_to_email,"
        f" false as consents_to_phone, false as consents_to_push) from customers where customer_id in ({refused})",
        small_world,
    )
    fresh_copy.dbt(
        "build", *DECISIONS, "retention_actions_deliverable", "--vars", f"{{as_of_date: '{first}'}}"
    )
    again = fresh_copy.query(
        f"select distinct suppression_reason, action from retention_actions where customer_id in ({refused})"
    )
    assert again == [("no_consent", "no_action")]
    assert (
        fresh_copy.query(f"select * from retention_actions_deliverable where customer_id in ({refused})")
        == []
    )
