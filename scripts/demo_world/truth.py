"""The hidden truth: the effect of each offer on each customer, which no business ever sees."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from demo_world import economy, probabilities, records
from demo_world.state import State

SCHEMA = pa.schema(
    {
        "customer_id": pa.int64(),
        "as_of_date": records.DAY,
        "offer": pa.string(),
        "is_admitted": pa.bool_(),
        "churn_probability": pa.float64(),
        "acceptance_probability": pa.float64(),
        "contact_cost": records.MONEY,
        "incentive_cost": records.MONEY,
        "monthly_margin": records.MONEY,
    }
)
DIGITS = 6


def truth(state: State) -> pa.Table:
    """Return one row per subscriber and offer (``no_action`` included) for a decision on the last day of the month.

    ``churn_probability`` is that of leaving within 28 days when the customer is contacted the next day;
    ``incentive_cost`` falls due on acceptance only; money per month is the margin of the fee and of the add-ons that a
    customer buys on average.
    """
    add_ons = economy.ADD_ONS_A_MONTH * economy.ADD_ON_CENTS.mean()
    at = np.flatnonzero(state.account.is_subscribed)
    admitted = probabilities.admitted_offers(state)
    names = (*economy.OFFERS, "no_action")
    tables = []
    for code, name in [*enumerate(economy.OFFERS), (economy.NO_ACTION, "no_action")]:
        offer = np.full(state.customers, code, dtype=np.int8)
        incentive = economy.incentive_cents(offer, state.account.plan, state.account.fee_cents)
        contact_cost = economy.CONTACT_COST_CENTS[code] if code >= 0 else 0
        columns = {
            "customer_id": pa.array(state.traits.customer_id[at]),
            "as_of_date": records.days(np.full(len(at), state.starts_on - 1)),
            "offer": records.text(np.full(len(at), names.index(name), dtype=np.int8), names),
            "is_admitted": pa.array(admitted[at, code] if code >= 0 else np.ones(len(at), dtype=bool)),
            "churn_probability": pa.array(probabilities.churn_probability(state, offer)[at].round(DIGITS)),
            "acceptance_probability": pa.array(
                probabilities.acceptance_probability(state, offer)[at].round(DIGITS)
            ),
            "contact_cost": records.money(np.full(len(at), contact_cost, dtype=np.int64)),
            "incentive_cost": records.money(incentive[at]),
            "monthly_margin": records.money(
                np.round((state.account.fee_cents[at] + add_ons) * economy.MARGIN_SHARE).astype(np.int64)
            ),
        }
        tables.append(pa.Table.from_arrays([columns[field.name] for field in SCHEMA], schema=SCHEMA))
    return pa.concat_tables(tables).sort_by([("customer_id", "ascending"), ("offer", "ascending")])
