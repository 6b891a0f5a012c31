"""Raw files of three small businesses: a shop with transactions only, seats with add-ons and notices, weekly boxes.

Each is drawn from a hash of keys, so that the same rows come out everywhere. Activity fades before customers leave.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

LAST_DAY = "2026-09-30"
SETUP = """
    create macro draw(key, purpose) as (hash(key || '/' || purpose) >> 11)::double / 9007199254740992.0;
    create table customer as
        select
            number,
            date '2024-10-01' + cast(floor(720 * draw(number, 'start')) as integer) as started_on,
            0.5 + draw(number, 'zeal') as zeal,
            cast(floor(-300 * ln(1 - 0.98 * draw(number, 'life'))) as integer) + 20 as life
        from (select cast(number as integer) as number from range(1, {customers} + 1) as counted (number)) as numbers;
    create table stay as
        select
            *,
            -- an end within three weeks after the last day is known by then, where notice is given
            case when started_on + life <= date '2026-10-21' then started_on + life end as ends_on,
            case when started_on + life <= date '2026-09-30' then started_on + life end as left_on
        from customer;
    create table weeks as
        select
            stay.*,
            week,
            cast(stay.started_on + 7 * week as date) as day,
            case when left_on is not null and left_on - (started_on + 7 * week) < 42 then 0.35 else 1 end * zeal as pace
        from stay
        cross join (select cast(number as integer) as week from range(0, 104) as numbers (number)) as numbered_weeks
        where started_on + 7 * week <= least(coalesce(left_on - 1, date '2026-09-30'), date '2026-09-30');
"""


def write_transactions(folder: Path, customers: int = 700) -> Path:
    """Write ``transactions.csv`` of a shop: card number, time and total of each purchase; UTF-8 with a mark."""
    connection = _world(folder, customers)
    text = connection.sql(
        """
        select
            '00' || number as "Card No",
            day + interval (cast(floor(600 * draw(number + 1000 * week, 'minute')) as integer)) minute as "bought at",
            round(8 + 40 * draw(number + 1000 * week, 'total'), 2) as total
        from weeks
        where draw(number + 1000 * week, 'buys') < 0.45 * pace
        order by 2, 1
        """
    )
    text.write_csv(str(folder / "body.csv"))
    body = folder / "body.csv"
    (folder / "transactions.csv").write_bytes(b"\xef\xbb\xbf" + body.read_bytes())
    body.unlink()
    return folder


def write_seats(folder: Path, customers: int = 700) -> Path:
    """Write Parquet files with the names of the contract: seats and add-ons side by side, notice 21 days before an end."""
    connection = _world(folder, customers)
    tables = {
        "customers": """
            select number as customer_id, started_on as signed_up_on, 'r' || number % 3 as region,
                'partner' as acquisition_channel, case when number % 4 = 0 then 'large' else 'small' end as segment
            from stay
        """,
        "consents": """
            select number as customer_id, 'email' as channel, number % 10 < 8 as is_granted,
                started_on::timestamp as recorded_at
            from stay
            union all
            select number, 'email', false, started_on + interval 60 day from stay where number % 50 = 1 and started_on < date '2026-07-01'
        """,
        "subscriptions": """
            select 's' || number as subscription_id, number as customer_id, 'seat' as plan,
                'monthly' as billing_period, 30.00 + 10 * (number % 3) as monthly_fee, started_on,
                ends_on as ended_on, cast(ends_on - 21 as date) as end_announced_on, cast(null as date) as commitment_ends_on
            from stay
            union all
            select 's' || number || '-second', number, 'seat', 'monthly', 25.00, started_on + 40, ends_on, ends_on - 21, null
            from stay where number % 5 = 0 and life > 60 and started_on < date '2026-08-01'
            union all
            select 'a' || number, number, 'storage add-on', 'monthly', 5.00, started_on + 30, ends_on, ends_on - 21, null
            from stay where number % 4 = 1 and life > 60 and started_on < date '2026-08-01'
        """,
        "activity": """
            select number as customer_id, day + interval 9 hour as occurred_at, 'document_opened' as activity_type,
                1 + cast(floor(9 * pace * draw(number + 1000 * week, 'n')) as integer) as quantity,
                cast(null as decimal(18, 2)) as amount
            from weeks where draw(number + 1000 * week, 'opens') < 0.8 * pace
        """,
    }
    for name, select in tables.items():
        connection.execute(f"copy ({select} order by all) to '{folder / name}.parquet' (format parquet)")
    return folder


def write_weekly_boxes(folder: Path, customers: int = 700) -> Path:
    """Write CSV files of a delivery of weekly boxes: a flag of consent, a fee a week, the boxes that were delivered."""
    connection = _world(folder, customers)
    tables = {
        "customers": """
            select number as customer_id, started_on as signed_up_on, 'z' || number % 4 as zone,
                case when number % 6 = 0 then 'no' else 'yes' end as newsletter
            from stay
        """,
        "subscriptions": """
            select number as subscription_id, number as customer_id, 'box for ' || 1 + number % 4 as plan,
                'weekly' as billing_period, 12.00 + 6 * (number % 4) as weekly_fee, started_on, left_on as ended_on
            from stay
        """,
        "deliveries": """
            select number as customer_id, day as delivered_on, 1 as boxes,
                draw(number + 1000 * week, 'skips') > 0.9 * pace as skipped
            from weeks
        """,
    }
    for name, select in tables.items():
        connection.sql(f"{select} order by all").write_csv(str(folder / f"{name}.csv"))
    return folder


def _world(folder: Path, customers: int) -> duckdb.DuckDBPyConnection:
    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute(SETUP.format(customers=customers))
    return connection
