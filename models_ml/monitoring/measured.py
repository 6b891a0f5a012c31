"""How many customers of a run fall into each frozen bin, and what else drift reports need of its features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.monitoring.bins import sizes
from models_ml.monitoring.feature_bins import SCORE, FeatureBins, numbers, read_bins
from models_ml.monitoring.reference import EVERYBODY, deployed_record, slice_name
from models_ml.monitoring.settings import load_monitoring_settings
from models_ml.paths import artifacts_folder
from models_ml.training.context import read_run, run_is_empty

SHOWN_VALUES = 5

MEASURED_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("feature", pa.string()),
        ("slice", pa.string()),
        ("bin_position", pa.int32()),
        ("customers", pa.int64()),
        ("median_size", pa.float64()),
        ("sized_customers", pa.int64()),
        ("new_values", pa.string()),
    ]
)


@dataclass(frozen=True)
class MeasuredTables:
    """Selects that the measurement reads; each field holds SQL yielding the table of its name."""

    int_run: str
    customer_features: str


def measured_table(cursor: Any, tables: MeasuredTables) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Count the run's customers per frozen bin, rows of `MEASURED_SCHEMA`; empty where the run is empty."""
    if run_is_empty(cursor, tables.int_run):
        return MEASURED_SCHEMA.empty_table()
    run = read_run(cursor, tables.int_run)
    record = deployed_record(artifacts_folder(run["source"]))
    frozen = [one for one in read_bins(record.feature_bins) if one.feature != SCORE]
    if not frozen:
        return MEASURED_SCHEMA.empty_table()
    at_most = load_monitoring_settings().bins.rows_at_most
    names = ", ".join(f'"{one.feature}"' for one in frozen)
    drawn = f"""
        select {names}
        from ({tables.customer_features}) as features
        where as_of_date = date '{run["as_of_date"]}' and customer_id in (
            select customer_id from ({tables.customer_features}) as at_risk
            where as_of_date = date '{run["as_of_date"]}'
            order by md5(customer_id), customer_id
            limit {at_most}
        )
        """
    rows = measured_rows(cursor.sql(drawn).to_arrow_table(), frozen)
    return pa.Table.from_pylist(
        [row | {"as_of_date": run["as_of_date"]} for row in rows], schema=MEASURED_SCHEMA
    )


def measured_rows(table: pa.Table, frozen: Sequence[FeatureBins]) -> list[dict[str, Any]]:
    """Return customers per feature, slice and bin.

    Parameters
    ----------
    table : pa.Table
        One row per customer, with every column that ``frozen`` names.
    frozen : sequence of FeatureBins
    """
    rows = []
    for one in frozen:
        column = table[one.feature]
        position = one.assign(column)
        members = [(EVERYBODY, np.ones(table.num_rows, dtype=bool))] + [
            (slice_name(part.feature, part.category), _is(table[part.feature], part.category))
            for part in one.slices
        ]
        known: dict[str, Any] = {"median_size": None, "sized_customers": 0, "new_values": None}
        if one.kind == "categories":
            known["new_values"] = _new_values(column, position == one.bin_count - 2)
        else:
            values = numbers(column)
            known["median_size"] = sizes(values, np.ones(len(values)))[0]
            known["sized_customers"] = int((np.abs(values) > 0).sum())
        for name, member in members:
            counted = np.bincount(position[member], minlength=one.bin_count)
            rows += [
                known
                | {"feature": one.feature, "slice": name, "bin_position": place, "customers": int(count)}
                for place, count in enumerate(counted)
            ]
    return rows


def _is(column: pa.ChunkedArray, category: str) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.equal(column, category), False).to_numpy(zero_copy_only=False))


def _new_values(column: pa.ChunkedArray, is_new: np.ndarray) -> str | None:
    counted = Counter(column.filter(pa.array(is_new)).to_pylist())
    named = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_VALUES]
    return ", ".join(f"{value} ({count})" for value, count in named) or None
