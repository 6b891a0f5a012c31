"""A handful of broken rows, as real feeds have them, so that the quarantine has something to show."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from demo_world import records

UNKNOWN_CUSTOMER_ID = 999_000_001
UNKNOWN_EVENTS = 5
MISSING_QUANTITIES = 3


def with_dirty_rows(raw: records.Events) -> records.Events:
    """Return the raw tables with these faults added, always the same rows.

    One customer appears twice; five events belong to a customer nobody knows; three events have no quantity;
    one ticket is resolved before it was opened.
    """
    return {
        **raw,
        "customers": pa.concat_tables([raw["customers"], raw["customers"].slice(0, 1)]),
        "activity": _dirty_activity(raw["activity"]),
        "support_tickets": _dirty_tickets(raw["support_tickets"]),
    }


def _dirty_activity(activity: pa.Table) -> pa.Table:
    quantity = activity["quantity"].to_numpy().astype(np.int64)
    without = np.linspace(0, len(quantity) - 1, MISSING_QUANTITIES + 2).astype(int)[1:-1]
    is_missing = np.isin(np.arange(len(quantity)), without)
    position = activity.schema.get_field_index("quantity")
    column = pa.array(quantity, pa.int32(), mask=is_missing)
    faulty = activity.set_column(position, activity.schema.field(position), column)
    unknown = activity.slice(0, UNKNOWN_EVENTS)
    stray = pa.array([UNKNOWN_CUSTOMER_ID] * len(unknown), pa.int64())
    return pa.concat_tables([faulty, unknown.set_column(0, unknown.schema.field(0), stray)])


def _dirty_tickets(tickets: pa.Table) -> pa.Table:
    resolved = tickets["resolved_at"].to_numpy(zero_copy_only=False).copy()
    if not len(resolved):
        return tickets
    resolved[0] = tickets["opened_at"].to_numpy()[0] - np.timedelta64(1, "D")
    position = tickets.schema.get_field_index("resolved_at")
    return tickets.set_column(position, tickets.schema.field(position), records.times(resolved))
