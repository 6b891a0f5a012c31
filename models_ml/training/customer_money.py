"""Judging candidates by the value and cost of each customer, where there is no policy with offers and limits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers
from models_ml.training.examples import Examples
from models_ml.training.frames import Frame, as_table

VALUE = "value_if_kept"  # columns that value and cost are read into
COST = "cost_of_contact"


def with_customer_money(
    frame: Frame, value: str | ArrayLike, cost: str | ArrayLike, kept_share: float
) -> pa.Table:
    """Return the frame as a table with the columns ``VALUE`` and ``COST``.

    Parameters
    ----------
    frame : pandas, polars or pyarrow frame
    value, cost : column name, number, or array-like of shape (rows,), money
    kept_share : float, above 0, at most 1

    Raises
    ------
    BayesPilotError
        If a column is missing, a length differs, money is negative or missing, or the share is out of its bounds.
    """
    if not 0 < float(as_numbers("kept_share", kept_share, ())) <= 1:
        raise BayesPilotError(
            "kept_share lies outside (0, 1]", values=[kept_share], next_step="give a share such as 0.3"
        )
    table = as_table(frame)
    money = {VALUE: _money(table, "value", value), COST: _money(table, "cost", cost)}
    kept = [position for position, known in enumerate(table.column_names) if known not in money]
    table = table.select(kept)
    for column, amounts in money.items():
        table = table.append_column(column, pa.array(amounts))
    return table


def contact_profits(churn_probability: np.ndarray, examples: Examples, kept_share: float) -> np.ndarray:
    """Return what the contacts of a candidate were worth, money by row; 0 for customers it would not contact.

    It contacts customers with churn probability · ``kept_share`` · value above cost.
    """
    value, cost = (examples.table[name].to_numpy() for name in (VALUE, COST))
    kept = kept_share * value
    profit = examples.example_weight * (examples.has_churned * kept - cost)
    return np.where(churn_probability * kept > cost, profit, 0.0)


def _money(table: pa.Table, name: str, given: str | ArrayLike) -> np.ndarray:
    values = given
    if isinstance(given, str):
        if given not in table.column_names:
            raise BayesPilotError(
                f"the frame has no column for {name}",
                values=[given],
                next_step=f"name one of its columns, or give an array of {table.num_rows} numbers",
            )
        values = table[given].to_numpy()
    money = as_numbers(name, values, (table.num_rows,) if np.ndim(values) else ())
    if (money < 0).any():
        raise BayesPilotError(
            f"{name} is below 0", values=money[money < 0].tolist(), next_step="give money as positive numbers"
        )
    return np.broadcast_to(money, (table.num_rows,))
