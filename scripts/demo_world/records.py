"""The records that a business keeps: columns, conversion from arrays, and a few rows that are broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demo_world.economy import CodeArray, DayArray, IntArray

MONEY = pa.decimal128(10, 2)
DAY, TIME = pa.date32(), pa.timestamp("us")

SCHEMAS: Mapping[str, pa.Schema] = {
    "customers": pa.schema(
        {
            "customer_id": pa.int64(),
            "signed_up_on": DAY,
            "region": pa.string(),
            "acquisition_channel": pa.string(),
            "segment": pa.string(),
            "consents_to_email": pa.bool_(),
            "consents_to_phone": pa.bool_(),
            "consents_to_push": pa.bool_(),
        }
    ),
    "subscriptions": pa.schema(
        {
            "subscription_id": pa.int64(),
            "customer_id": pa.int64(),
            "plan": pa.string(),
            "billing_period": pa.string(),
            "monthly_fee": MONEY,
            "started_on": DAY,
            "ended_on": DAY,
            "commitment_ends_on": DAY,
        }
    ),
    "activity": pa.schema(
        {
            "customer_id": pa.int64(),
            "occurred_at": TIME,
            "activity_type": pa.string(),
            "quantity": pa.int32(),
            "amount": MONEY,
        }
    ),
    "payments": pa.schema(
        {
            "payment_id": pa.int64(),
            "customer_id": pa.int64(),
            "due_on": DAY,
            "paid_on": DAY,
            "amount": MONEY,
            "payment_method": pa.string(),
        }
    ),
    "support_tickets": pa.schema(
        {
            "ticket_id": pa.int64(),
            "customer_id": pa.int64(),
            "opened_at": TIME,
            "resolved_at": TIME,
            "topic": pa.string(),
            "satisfaction": pa.int8(),
        }
    ),
    "retention_contacts": pa.schema(
        {
            "contact_id": pa.int64(),
            "action_id": pa.string(),
            "customer_id": pa.int64(),
            "offer": pa.string(),
            "contacted_on": DAY,
            "accepted_on": DAY,
            "cost": MONEY,
            "is_randomized": pa.bool_(),
            "propensity": pa.float64(),
        }
    ),
}
# Ends of subscription periods: kept apart until written, because an end comes months after its start.
ENDINGS = pa.schema({"subscription_id": pa.int64(), "ended_on": DAY})

Events = Mapping[str, pa.Table]

UNKNOWN_CUSTOMER_ID = 999_000_001
UNKNOWN_EVENTS = 5
MISSING_QUANTITIES = 3


def subscription_ids(customer_id: IntArray, number: IntArray) -> IntArray:
    """Return the id of a customer's n-th subscription period (at most 99)."""
    return customer_id * 100 + number


def numbered_ids(customer_id: IntArray, number: IntArray) -> IntArray:
    """Return the id of a customer's n-th payment, ticket or contact (at most 999)."""
    return customer_id * 1000 + number


def money(cents: IntArray) -> pa.Array:
    """Return cents as decimals with two places."""
    whole = pa.array(cents).cast(pa.decimal128(19, 0))
    return pc.multiply(whole, pa.scalar(Decimal("0.01"), pa.decimal128(3, 2))).cast(MONEY)


def text(code: CodeArray, names: tuple[str, ...]) -> pa.Array:
    """Return the name of each code."""
    return pa.DictionaryArray.from_arrays(pa.array(code, pa.int8()), pa.array(names)).cast(pa.string())


def days(day: DayArray) -> pa.Array:
    """Return days, null where not a time."""
    return pa.array(day.astype("M8[D]"))


def times(time: DayArray) -> pa.Array:
    """Return times in microseconds, null where not a time."""
    return pa.array(time.astype("M8[us]"))


def table(name: str, **columns: pa.Array) -> pa.Table:
    """Return a table of the named record, its columns in the declared order and types."""
    schema = SCHEMAS[name]
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def concatenated(months: list[Events]) -> Events:
    """Return the records of several months as one."""
    return {name: pa.concat_tables([month[name] for month in months]) for name in months[0]}


def observed(events: Events, ends_on: np.datetime64) -> Events:
    """Return the raw tables as known at the end of a day: later facts are left out.

    Rows come in the order of their ids (activity: customer, time, type). An open ticket has no satisfaction.
    """
    next_day = pa.scalar((ends_on + 1).astype("M8[D]").astype(object), DAY)
    next_midnight = pa.scalar((ends_on + 1).astype("M8[us]").astype(object), TIME)

    def known(tables: pa.Table, column: str, by: pa.Scalar, also: str = "") -> pa.Table:
        is_known = pc.less(tables[column], by)
        for name in (column, also) if also else (column,):
            masked = pc.if_else(is_known, tables[name], pa.scalar(None, tables[name].type))
            tables = tables.set_column(tables.schema.get_field_index(name), tables.schema.field(name), masked)
        return tables

    contacts = known(events["retention_contacts"], "accepted_on", next_day)
    tickets = known(events["support_tickets"], "resolved_at", next_midnight, also="satisfaction")
    return {
        "customers": events["customers"].sort_by("customer_id"),
        "subscriptions": _one_id_while_uninterrupted(_with_endings(events).sort_by("subscription_id")),
        "activity": events["activity"].sort_by(
            [("customer_id", "ascending"), ("occurred_at", "ascending"), ("activity_type", "ascending")]
        ),
        "payments": known(events["payments"], "paid_on", next_day).sort_by("payment_id"),
        "support_tickets": tickets.sort_by("ticket_id"),
        "retention_contacts": contacts.sort_by("contact_id"),
    }


def _with_endings(events: Events) -> pa.Table:
    """Return the subscription periods with their ends filled in."""
    periods, endings = events["subscriptions"], events["subscription_endings"]
    found = pc.index_in(periods["subscription_id"], value_set=endings["subscription_id"].combine_chunks())
    position = periods.schema.get_field_index("ended_on")
    return periods.set_column(position, "ended_on", endings["ended_on"].combine_chunks().take(found))


def _one_id_while_uninterrupted(periods: pa.Table) -> pa.Table:
    """Return the periods in order, each with the id of the first one since the last interruption."""
    customer, started, ended = (
        periods[name].to_numpy() for name in ("customer_id", "started_on", "ended_on")
    )
    continues = np.r_[False, (customer[1:] == customer[:-1]) & (started[1:] == ended[:-1])]
    first = np.maximum.accumulate(np.where(continues, 0, np.arange(len(periods))))
    return periods.set_column(0, "subscription_id", periods["subscription_id"].take(pa.array(first)))


def with_bad_rows(raw: Events) -> Events:
    """Return the raw tables with a few bad rows, as real feeds have them, to be caught by the quarantine.

    One customer appears twice; five events belong to an unknown customer; three events have no quantity;
    one ticket is resolved before it was opened. They are always the same rows.
    """
    return {
        **raw,
        "customers": pa.concat_tables([raw["customers"], raw["customers"].slice(0, 1)]),
        "activity": _bad_activity(raw["activity"]),
        "support_tickets": _bad_tickets(raw["support_tickets"]),
    }


def _bad_activity(activity: pa.Table) -> pa.Table:
    quantity = activity["quantity"].to_numpy().astype(np.int64)
    without = np.linspace(0, len(quantity) - 1, MISSING_QUANTITIES + 2).astype(int)[1:-1]
    is_missing = np.isin(np.arange(len(quantity)), without)
    position = activity.schema.get_field_index("quantity")
    column = pa.array(quantity, pa.int32(), mask=is_missing)
    with_nulls = activity.set_column(position, activity.schema.field(position), column)
    unknown = activity.slice(0, UNKNOWN_EVENTS)
    unknown_id = pa.array([UNKNOWN_CUSTOMER_ID] * len(unknown), pa.int64())
    return pa.concat_tables([with_nulls, unknown.set_column(0, unknown.schema.field(0), unknown_id)])


def _bad_tickets(tickets: pa.Table) -> pa.Table:
    resolved = tickets["resolved_at"].to_numpy(zero_copy_only=False).copy()
    if not len(resolved):
        return tickets
    resolved[0] = tickets["opened_at"].to_numpy()[0] - np.timedelta64(1, "D")
    position = tickets.schema.get_field_index("resolved_at")
    return tickets.set_column(position, tickets.schema.field(position), times(resolved))
