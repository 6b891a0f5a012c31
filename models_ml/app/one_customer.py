"""One customer: tonight's decision, every offer compared, earlier decisions and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.decisions.decide import value_batch
from models_ml.decisions.limits import CENTS, PlanPrices, read_prices
from models_ml.decisions.policy import DecisionInputs
from models_ml.reports.figures import share
from models_ml.reports.page import Table

NONE = "–"
EXAMPLES = 8
HISTORY_ROWS = 24
Row = Mapping[str, Any]

HISTORY = f"""
    select
        history.as_of_date, history.churn_probability, history.risk_tier, history.action, history.planned_action,
        history.arm, history.suppression_reason, sync.status, sync.status_reason,
        outcomes.has_churned, outcomes.has_accepted, outcomes.is_contacted
    from retention_actions_history as history
    left join retention_actions_sync as sync on history.action_id = sync.action_id
    left join action_outcomes as outcomes on history.action_id = outcomes.action_id
    where history.customer_id = $customer
    order by history.as_of_date desc
    limit {HISTORY_ROWS}
"""


@dataclass(frozen=True)
class Customer:
    """What the published copy holds of one customer.

    ``action`` is the row of retention_actions, ``offers`` and ``history`` are tables to show.
    """

    action: Row
    offers: Table
    history: Table


def example_customers(connection: Any) -> list[str]:  # noqa: ANN401 - a DuckDB connection
    """Return customers to begin with: the first by priority, then those with the highest expected loss."""
    rows = connection.execute(
        "select customer_id from retention_actions"
        " order by priority nulls last, churn_probability * customer_value desc, customer_id limit ?",
        [EXAMPLES],
    ).fetchall()
    return [customer for (customer,) in rows]


def read_customer(connection: Any, customer: str, inputs: DecisionInputs) -> Customer | None:  # noqa: ANN401
    """Read one customer; None where no customer of this id is at risk tonight."""
    found = _rows(connection, "from retention_actions where customer_id = $customer", customer)
    if not found.num_rows:
        return None
    action = found.to_pylist()[0]
    (limit_prices,) = connection.execute(
        "select limit_prices from policy_runs where as_of_date = ?", [action["as_of_date"]]
    ).fetchall()[0]
    (candidate,) = _rows(
        connection, "from int_decision_candidates where customer_id = $customer", customer
    ).to_batches()
    history = _rows(connection, HISTORY, customer).to_pylist()
    prices = read_prices(limit_prices, inputs.offers, inputs.policy.touch_price)
    return Customer(action, offers_table(candidate, inputs, action, prices), _history(history))


def _rows(connection: Any, query: str, customer: str) -> pa.Table:  # noqa: ANN401 - a DuckDB connection
    table: pa.Table = connection.sql(query, params={"customer": customer}).to_arrow_table()
    return table


def offers_table(batch: pa.RecordBatch, inputs: DecisionInputs, action: Row, prices: PlanPrices) -> Table:
    """Compare all offers for one customer, in the order of their expected value; the planned one is marked.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        The customer's row of int_decision_candidates.
    inputs : DecisionInputs
        What the plan was decided with.
    action : mapping
        The customer's row of retention_actions.
    prices : PlanPrices
        Of the plan's limits.
    """
    valued = value_batch(batch, inputs)
    surplus_cents = prices.surplus(valued.value_cents, valued.cost_cents)
    value, cost, surplus = (
        amounts[0] / CENTS for amounts in (valued.value_cents, valued.cost_cents, surplus_cents)
    )
    allowed, risk = valued.allowed[0], valued.relative_risk[0]
    order = sorted(range(len(inputs.offers)), key=lambda place: (not allowed[place], -value[place], place))
    rows, planned = [], None
    for number, place in enumerate(order):
        offer = inputs.offers[place]
        if offer.offer == action["planned_action"]:
            planned = number
        if not allowed[place]:
            rows.append((offer.action_label, offer.channel, *[NONE] * 4, "not available"))
            continue
        rows.append(
            (
                offer.action_label,
                offer.channel,
                share(float(valued.churn_probability[0] * risk[place])),
                f"{cost[place]:,.2f}",
                f"{value[place]:,.2f}",
                f"{surplus[place]:,.2f}",
                "planned" if number == planned else "",
            )
        )
    rows.append(("No contact", NONE, share(float(valued.churn_probability[0])), "0.00", "0.00", "0.00", ""))
    columns = (
        "offer",
        "channel",
        "risk of leaving",
        f"expected cost, {action['currency']}",
        f"expected value, {action['currency']}",
        "value after prices",
        "",
    )
    caption = (
        "Expected value is net of cost, against no contact. After prices: less what the same money, capacity and"
        " attention would return with other customers; the plan takes the largest above 0."
    )
    return Table(columns, rows, caption, highlight=planned)


def _history(rows: list[dict[str, Any]]) -> Table:
    cells = [
        (
            f"{row['as_of_date']}",
            share(row["churn_probability"]),
            row["risk_tier"],
            _decided(row),
            _status(row),
            _outcome(row),
        )
        for row in rows
    ]
    columns = ("decided for", "risk of leaving", "tier", "decision", "status", "outcome")
    return Table(columns, cells, f"The latest decisions, up to {HISTORY_ROWS}")


def _decided(row: Row) -> str:
    if row["action"] != "no_action":
        return str(row["action"])
    if row["planned_action"] != "no_action":
        return f"{row['planned_action']}, withheld"
    return str(row["suppression_reason"] or row["arm"]).replace("_", " ")


def _status(row: Row) -> str:
    reason = f" ({row['status_reason']})" if row["status_reason"] else ""
    return f"{row['status']}{reason}".replace("_", " ") if row["status"] else NONE


def _outcome(row: Row) -> str:
    if row["has_churned"] is None:
        return NONE
    contacted = ("contacted, accepted" if row["has_accepted"] else "contacted") if row["is_contacted"] else ""
    return ", ".join(part for part in (contacted, "left" if row["has_churned"] else "stayed") if part)


def decision_facts(action: Row) -> list[tuple[str, str]]:
    """Return what is known of tonight's decision, as pairs of label and text."""
    money = action["currency"]
    probability = float(np.clip(action["churn_probability"], 0, 1))
    facts = [
        ("Risk of leaving", share(probability)),
        ("Tier", str(action["risk_tier"])),
        ("Customer value", f"{action['customer_value']:,.2f} {money}"),
    ]
    if action["action"] != "no_action":
        facts += [
            ("Expected cost", f"{action['expected_cost']:,.2f} {money}"),
            ("Expected value", f"{action['incremental_expected_value']:,.2f} {money}"),
        ]
    return facts
