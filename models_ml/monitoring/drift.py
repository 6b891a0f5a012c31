"""The tables that drift is measured by: limits, bins set at training, and the customers of a run per bin.

``int_reference_bins`` holds the bins of the deployed pipeline's record, ``int_measured_bins`` how many customers of
the run's date fall into each; SQL compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import chi2

from models_ml.deployment.deployed import read_record
from models_ml.deployment.record import DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.monitoring.settings import load_monitoring_settings
from models_ml.paths import artifacts_folder
from models_ml.training.context import read_run, run_is_empty
from models_ml.training.population import SCORE, FeatureBins, numbers, read_bins, sizes

ALL_CUSTOMERS = "all"
SHOWN_VALUES = 5

REFERENCE_SCHEMA = pa.schema(
    [
        ("feature", pa.string()),
        ("slice", pa.string()),
        ("bin_position", pa.int32()),
        ("role", pa.string()),
        ("bin_kind", pa.string()),
        ("bin_label", pa.string()),
        ("upper_edge", pa.float64()),
        ("expected_share", pa.float64()),
        ("reference_rows", pa.float64()),
        ("chance_quantile", pa.float64()),
        ("median_size", pa.float64()),
        ("lower_size", pa.float64()),
        ("upper_size", pa.float64()),
        ("sized_rows", pa.int64()),
        ("pipeline_version", pa.string()),
    ]
)
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
    """Selects that `measured_table` reads; each field holds SQL yielding the table of its name."""

    int_run: str
    customer_features: str


def reference_table(cursor: Any, int_run: str) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Return the bins of the deployed pipeline, rows of `REFERENCE_SCHEMA`; empty where the run is empty."""
    if run_is_empty(cursor, int_run):
        return REFERENCE_SCHEMA.empty_table()
    record = deployed_record(artifacts_folder(read_run(cursor, int_run)["source"]))
    chance = load_monitoring_settings().limits.chance
    rows = reference_rows(read_bins(record.feature_bins), chance)
    return pa.Table.from_pylist(
        [row | {"pipeline_version": record.pipeline_version} for row in rows], schema=REFERENCE_SCHEMA
    )


def reference_rows(frozen: Iterable[FeatureBins], chance: float) -> list[dict[str, Any]]:
    """Return one row per feature, slice and bin.

    ``chance_quantile`` times (1 / reference rows + 1 / rows now) is the population stability index that
    independent draws from one population exceed with probability ``chance`` (0 to 1): the index is, to second
    order, a chi-squared statistic over the rows (Yurdakul & Naranjo 2020, Journal of Risk Model Validation).
    """
    rows = []
    for one in frozen:
        whole = [(ALL_CUSTOMERS, one.shares, one.rows)]
        parts = [(slice_name(part.feature, part.category), part.shares, part.rows) for part in one.slices]
        shared = {
            "feature": one.feature,
            "role": one.role,
            "chance_quantile": float(chi2.isf(chance, one.bin_count - 1)),
            "median_size": one.median_size,
            "lower_size": one.lower_size,
            "upper_size": one.upper_size,
            "sized_rows": one.sized_rows,
        }
        edges = [*one.cuts, None, None] if one.kind == "quantiles" else [None] * one.bin_count
        open_bin = "known" if one.kind == "quantiles" else "other"
        kinds = [*("known" for _ in one.cuts), open_bin, "missing"]
        for name, shares, count in whole + parts:
            rows += [
                shared
                | {
                    "slice": name,
                    "bin_position": position,
                    "bin_kind": kinds[position],
                    "bin_label": label,
                    "upper_edge": edges[position],
                    "expected_share": shares[position],
                    "reference_rows": count,
                }
                for position, label in enumerate(one.labels)
            ]
    return rows


def slice_name(feature: str, category: str) -> str:
    """Return the name of a slice, the customers of one category.

    Examples
    --------
    >>> slice_name("region", "north")
    'region = north'
    """
    return f"{feature} = {category}"


def deployed_record(folder: Path) -> DeploymentRecord:
    """Return the record of the deployed pipeline.

    Raises
    ------
    BayesPilotError
        If there is none.
    """
    record = read_record(folder)
    if record is None:
        raise BayesPilotError("nothing is deployed yet", where=str(folder), next_step="dbt build")
    return record


def measured_table(cursor: Any, tables: MeasuredTables) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Count the run's customers per frozen bin, rows of `MEASURED_SCHEMA`; empty where the run is empty."""
    if run_is_empty(cursor, tables.int_run):
        return MEASURED_SCHEMA.empty_table()
    run = read_run(cursor, tables.int_run)
    record = deployed_record(artifacts_folder(run["source"]))
    frozen = [one for one in read_bins(record.feature_bins) if one.feature != SCORE]
    if not frozen:
        return MEASURED_SCHEMA.empty_table()
    at_most = load_monitoring_settings().comparison.rows_at_most
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
        members = [(ALL_CUSTOMERS, np.ones(table.num_rows, dtype=bool))] + [
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
