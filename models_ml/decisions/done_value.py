"""The table ``int_done_value``: what the contacts that are to be made are worth, with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.decisions.plan_value import Contacts, PlanValue, plan_value_interval
from models_ml.decisions.planned_actions import PlanTables, read_inputs
from models_ml.decisions.policy import DecisionInputs
from models_ml.decisions.settings import load_settings

SHARE = 0.8  # of the posterior that the interval holds
CENTS = 2
DONE_VALUE_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("done_value", pa.float64()),
        ("done_value_low", pa.float64()),
        ("done_value_high", pa.float64()),
    ]
)


def done_value_table(cursor: Any, tables: PlanTables, int_planned_actions: str) -> pa.Table:  # noqa: ANN401
    """Return one row for the run; none where it has no customers.

    Parameters
    ----------
    cursor : duckdb cursor
    tables : PlanTables
    int_planned_actions : str
        A select that yields the table of that name.
    """
    (as_of_date,) = cursor.execute(f"select max(as_of_date) from ({int_planned_actions})").fetchall()[0]
    if as_of_date is None:
        return DONE_VALUE_SCHEMA.empty_table()
    inputs = read_inputs(cursor, tables)
    signals = "".join(f", candidates.signal_{name}" for name in inputs.effects.signals)
    done = cursor.sql(
        f"""
        select
            planned.action, planned.churn_probability, planned.customer_value, planned.planned_cost {signals}
        from ({int_planned_actions}) as planned
        inner join ({tables.int_decision_candidates}) as candidates
            on planned.customer_id = candidates.customer_id
        where planned.action <> 'no_action'
        order by planned.customer_id
        """
    ).to_arrow_table()
    worth = value_of_done(done, inputs)
    row = {
        "as_of_date": as_of_date,
        "done_value": round(worth.expected, CENTS),
        "done_value_low": round(worth.low, CENTS),
        "done_value_high": round(worth.high, CENTS),
    }
    return pa.Table.from_pylist([row], schema=DONE_VALUE_SCHEMA)


def value_of_done(done: pa.Table, inputs: DecisionInputs) -> PlanValue:
    """Return mean and interval of what contacts are worth.

    ``done`` holds action, churn_probability, customer_value, planned_cost and the signals of each contact.
    """
    names = [offer.offer for offer in inputs.offers]
    signals = [done[f"signal_{name}"].to_numpy() for name in inputs.effects.signals]
    settings = load_settings().plan_value
    contacts = Contacts(
        offer=np.array([names.index(action) for action in done["action"].to_pylist()], dtype=np.int64),
        churn_probability=done["churn_probability"].to_numpy(),
        customer_value=done["customer_value"].to_numpy(),
        expected_cost=done["planned_cost"].to_numpy(),
        signals=np.column_stack(signals) if signals else np.empty((done.num_rows, 0)),
    )
    return plan_value_interval(
        contacts, inputs.effects, share=SHARE, shift_sd=settings.churn_shift_sd, settings=settings
    )
