"""Reading training rows: only untouched customers, in a stated order, at most as many as the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.errors import BayesPilotError
from models_ml.training.schema import FeatureSchema
from models_ml.training.splits import DateCount


@dataclass(frozen=True)
class Examples:
    """Rows of ``training_examples``, ordered by as_of_date and customer_id."""

    table: pa.Table
    schema: FeatureSchema
    signal_names: tuple[str, ...]

    @property
    def features(self) -> pa.Table:
        """The feature columns."""
        return self.table.select(list(self.schema.names))

    @cached_property
    def has_churned(self) -> np.ndarray:
        """Labels, bool, shape (n,)."""
        return self._column("has_churned").astype(bool)

    @cached_property
    def example_weight(self) -> np.ndarray:
        """1 / propensity of no action, shape (n,)."""
        return self._column("example_weight").astype(float)

    @cached_property
    def monthly_revenue(self) -> np.ndarray:
        """Money per 30 days, shape (n,); missing counts as none."""
        return np.nan_to_num(self._column("monthly_revenue").astype(float))

    @cached_property
    def signals(self) -> np.ndarray:
        """Reason signals in the order of ``signal_names``, shape (n, s)."""
        columns = [self._column(f"signal_{name}").astype(float) for name in self.signal_names]
        return np.column_stack(columns) if columns else np.empty((self.table.num_rows, 0))

    def offers_allowed(self, offers: int) -> np.ndarray:
        """Return which offers consent and eligibility admit, bool, shape (n, offers)."""
        bits = self._column("offers_allowed").astype(np.int64)
        return (bits[:, None] >> np.arange(offers)) & 1 == 1

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self.table[name].to_numpy())


@dataclass(frozen=True)
class ExampleReader:
    """Reads ``training_examples`` through a DuckDB cursor.

    Parameters
    ----------
    cursor : duckdb connection or cursor
    query : str
        A select that yields ``training_examples``.
    schema, signal_names
        Which features and signals to read.
    """

    cursor: Any
    query: str
    schema: FeatureSchema
    signal_names: tuple[str, ...]

    def date_counts(self) -> list[DateCount]:
        """Count rows and churners per matured date that has untouched customers, earliest first."""
        counted = self.cursor.execute(
            f"""
            select
                as_of_date,
                count(*) filter (where not was_contacted),
                count(*) filter (where has_churned and not was_contacted),
                count(*)
            from ({self.query})
            group by as_of_date
            order by as_of_date
            """
        ).fetchall()
        return [DateCount(*row) for row in counted if row[1] > 0]

    def read(self, dates: Sequence[date], at_most: int) -> Examples:
        """Read the untouched rows of these dates, a hash-drawn part if there are more than ``at_most`` (> 0).

        Raises
        ------
        BayesPilotError
            If a value is infinite, or a weight is not positive.
        """
        listed = ", ".join(f"date '{day.isoformat()}'" for day in dates)
        limit = f"order by md5(customer_id || as_of_date), customer_id limit {at_most}" if at_most else ""
        table = self.cursor.sql(
            f"""
            with drawn as (
                select {", ".join(self._columns())}
                from ({self.query})
                where not was_contacted and as_of_date in ({listed})
                {limit}
            )
            select * from drawn order by as_of_date, customer_id
            """
        ).to_arrow_table()
        examples = Examples(table, self.schema, self.signal_names)
        check_values(examples, "training_examples")
        return examples

    def _columns(self) -> list[str]:
        columns = [
            "customer_id",
            "as_of_date",
            "has_churned",
            "example_weight",
            "offers_allowed",
            "monthly_revenue",
            *(f"signal_{name}" for name in self.signal_names),
            *self.schema.names,
        ]
        return [f'"{name}"' for name in dict.fromkeys(columns)]


def check_values(examples: Examples, where: str) -> None:
    """Refuse infinite features and weights that are not positive.

    Raises
    ------
    BayesPilotError
        Naming the features, or the first weights.
    """
    infinite = [
        examples.schema.names[i]
        for i in examples.schema.numeric
        if pc.any(pc.is_inf(examples.table[examples.schema.names[i]].cast(pa.float64()))).as_py()
    ]
    if infinite:
        raise BayesPilotError(
            "a feature holds infinite values",
            where=where,
            values=infinite,
            next_step="guard the division in the model that makes it, then dbt build",
        )
    weight = examples.example_weight
    if not np.all(weight > 0):
        raise BayesPilotError(
            "example_weight is missing or not positive",
            where=where,
            values=weight[~(weight > 0)],
            next_step="check propensity in stg_retention_contacts: a weight is 1 / propensity of no action",
        )
