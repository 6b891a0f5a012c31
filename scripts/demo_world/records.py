"""The records a business keeps: their columns, and how arrays become Arrow columns."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demo_world.economy import BoolArray, CodeArray, DayArray, IntArray

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
# Which subscription periods end when: kept apart until written, because the end comes months after the start.
ENDINGS = pa.schema({"subscription_id": pa.int64(), "ended_on": DAY})

Events = Mapping[str, pa.Table]


def subscription_ids(customer_id: IntArray, number: IntArray) -> IntArray:
    """Return the id of a customer's n-th subscription period (at most 99)."""
    return customer_id * 100 + number


def numbered_ids(customer_id: IntArray, number: IntArray) -> IntArray:
    """Return the id of a customer's n-th payment, ticket or contact (at most 999)."""
    return customer_id * 1000 + number


def money(cents: IntArray, is_missing: BoolArray | None = None) -> pa.Array:
    """Return cents as decimals with two places, null where missing."""
    whole = pa.array(cents, mask=is_missing).cast(pa.decimal128(19, 0))
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
    """Return the raw tables as known at the end of a day: what happens later is not there yet.

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
        "subscriptions": _with_endings(events).sort_by("subscription_id"),
        "activity": events["activity"].sort_by(
            [("customer_id", "ascending"), ("occurred_at", "ascending"), ("activity_type", "ascending")]
        ),
        "payments": known(events["payments"], "paid_on", next_day).sort_by("payment_id"),
        "support_tickets": tickets.sort_by("ticket_id"),
        "retention_contacts": contacts.sort_by("contact_id"),
    }


def _with_endings(events: Events) -> pa.Table:
    """Return the subscription periods with the ends that came since."""
    periods, endings = events["subscriptions"], events["subscription_endings"]
    found = pc.index_in(periods["subscription_id"], value_set=endings["subscription_id"].combine_chunks())
    position = periods.schema.get_field_index("ended_on")
    return periods.set_column(position, "ended_on", endings["ended_on"].combine_chunks().take(found))
