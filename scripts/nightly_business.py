"""A business that delivers its raw data every night, and whose team executes actions: what was known on which night.

The files of a generated business hold all its months. A night gets what was known by then: later rows are left out,
ends, payments and answers that lie ahead are unknown, and some events of the day arrive only with the next delivery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

# What a night knows of each file: a select on ``raw``, for the night's date ``{day}``.
KNOWN: Mapping[str, str] = {
    "customers": "select * from raw where signed_up_on <= {day}",
    "subscriptions": (
        "select * replace (case when ended_on <= {day} then ended_on end as ended_on) from raw"
        " where started_on <= {day}"
    ),
    "activity": "select * from raw where cast(occurred_at as date) <= {day}",
    "payments": (
        "select * replace (case when paid_on <= {day} then paid_on end as paid_on) from raw where due_on <= {day}"
    ),
    "support_tickets": (
        "select * replace (case when cast(resolved_at as date) <= {day} then resolved_at end as resolved_at,"
        " case when cast(resolved_at as date) <= {day} then satisfaction end as satisfaction) from raw"
        " where cast(opened_at as date) <= {day}"
    ),
    "retention_contacts": "select * from raw where contacted_on <= {day}",
}
STILL_MISSING = " and not (cast(occurred_at as date) = {day} and customer_id % 5 = 0)"
LATE_DAYS = 3  # between a contact and its report, where it is reported late


@dataclass(frozen=True)
class Contact:
    """An executed action, and the night that hears of it; ``number`` identifies the report."""

    number: int
    action_id: str
    customer_id: str
    offer: str
    contacted_on: date
    reported_on: date
    cost: float


def deliver(files: Path, to: Path, day: date, contacts: list[Contact], *, late_rows: bool) -> None:
    """Write what a night knows into the folder ``to``, with the contacts that are reported by then.

    ``late_rows`` says whether events of the day itself are all there, as in a delivery that comes later.
    """
    to.mkdir(parents=True, exist_ok=True)
    for name, select in KNOWN.items():
        known_day = f"date '{day}'"
        missing = "" if late_rows or name != "activity" else STILL_MISSING
        with duckdb.connect() as connection:
            connection.execute(f"create view raw as from '{files / name}.parquet'")
            connection.execute(f"create table known as {(select + missing).format(day=known_day)}")
            if name == "retention_contacts":
                for contact in contacts:
                    if contact.reported_on <= day:
                        _report(connection, contact)
            connection.execute(f"copy known to '{to / name}.parquet' (format parquet)")


def _report(connection: duckdb.DuckDBPyConnection, contact: Contact) -> None:
    connection.execute(
        "insert into known by name select ? as contact_id, ? as action_id, ?::bigint as customer_id, ? as offer,"
        " ?::date as contacted_on, ? as cost, false as is_randomized",
        [
            contact.number,
            contact.action_id,
            contact.customer_id,
            contact.offer,
            contact.contacted_on,
            contact.cost,
        ],
    )


def execute(deliverable: list[dict[str, Any]], day: date, done: list[Contact]) -> list[Contact]:
    """Return the reports of the contacts that the team makes on the day after a night.

    Of ten actions it makes four, reports one of ten contacts late, and one twice. What it has done is not done again.
    """
    known = {contact.action_id for contact in done}
    reports: list[Contact] = []
    for row in deliverable:
        draw = int(hashlib.sha256(str(row["action_id"]).encode()).hexdigest(), 16)
        if row["action_id"] in known or draw % 10 >= 4:
            continue
        kind = draw // 10 % 10
        on = day + timedelta(days=1)
        for _ in range(2 if kind == 1 else 1):
            number = 800_000_000 + len(done) + len(reports)
            reported = on + timedelta(days=LATE_DAYS if kind == 0 else 0)
            cost = float(row["expected_cost"])
            reports.append(
                Contact(number, row["action_id"], row["customer_id"], row["action"], on, reported, cost)
            )
    return reports
