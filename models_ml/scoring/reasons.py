"""The table ``int_churn_reasons``: what raises each customer's churn probability and is true of the customer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.errors import BayesPilotError
from models_ml.scoring.probabilities import features_query, read_scorer
from models_ml.training.context import PurposeTables
from models_ml.training.contributions import Explainer, make_explainer
from models_ml.training.pipeline import DIGITS, ChurnPipeline

BATCH_ROWS = 8_192  # columns of a batch stay in the processor's cache while trees are walked

REASONS_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("reason_rank", pa.int32()),
        ("family", pa.string()),
        ("feature", pa.string()),
        ("direction", pa.string()),
        ("feature_value", pa.float64()),
        ("category", pa.string()),
        ("contribution", pa.float64()),
        ("family_contribution", pa.float64()),
    ]
)


@dataclass(frozen=True)
class PopulationSides:
    """Where a value of each feature may be cited; arrays of shape (features,), in the order of the pipeline.

    A value above ``upper_edge`` has ``upper_direction``, one below ``lower_edge`` has ``lower_direction``; an edge
    of NaN has nothing on its side. ``family`` is the position in ``families``.
    """

    families: tuple[str, ...]
    family: np.ndarray
    upper_edge: np.ndarray
    upper_direction: tuple[str, ...]
    lower_edge: np.ndarray
    lower_direction: tuple[str, ...]


@dataclass(frozen=True)
class Citations:
    """Reasons of a batch, arrays of shape (cited,), ordered by row and rank.

    ``row`` and ``feature`` are positions, ``rank`` is 1 for the strongest, ``is_high`` tells which side the value lies
    on, ``strength`` is the contribution of the feature's family, or of the feature where it is cited for itself.
    """

    row: np.ndarray
    rank: np.ndarray
    feature: np.ndarray
    is_high: np.ndarray
    strength: np.ndarray


def read_sides(rows: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> PopulationSides:
    """Build the sides from rows of ``int_feature_population``, one for each of the features ``names``.

    Raises
    ------
    BayesPilotError
        If a feature has no row.
    """
    found = {row["feature"]: row for row in rows}
    missing = [name for name in names if name not in found]
    if missing:
        raise BayesPilotError(
            "the population of a feature is not known",
            where="int_feature_population",
            values=missing,
            next_step="dbt build -s int_feature_population+",
        )
    ordered = [found[name] for name in names]
    families = tuple(dict.fromkeys(row["family"] for row in ordered))
    return PopulationSides(
        families,
        np.array([families.index(row["family"]) for row in ordered], dtype=int),
        np.array([_edge(row["upper_direction"], row["upper_edge"], -np.inf) for row in ordered]),
        tuple(row["upper_direction"] or "" for row in ordered),
        np.array([_edge(row["lower_direction"], row["lower_edge"], np.inf) for row in ordered]),
        tuple(row["lower_direction"] or "" for row in ordered),
    )


def _edge(direction: str | None, edge: float | None, every_value: float) -> float:
    if direction is None:
        return np.nan
    return every_value if edge is None else edge


def cite(values: np.ndarray, contributions: np.ndarray, sides: PopulationSides) -> Citations:
    """Choose the reasons of each customer: of every family that raises the risk its strongest feature that fits.

    A feature fits where it raises the risk and its value lies on a side of the population on which it may be cited.
    Families are ordered by the sum of their contributions; ties go to the earlier feature. Where no family raises the
    risk as a whole, the strongest feature that fits is the only reason.

    Parameters
    ----------
    values : ndarray of shape (n, features)
        The customers' own values; NaN where unknown, any number for a known category.
    contributions : ndarray of shape (n, features)
        In the unit of the raw score; above 0 raises the risk.

    Examples
    --------
    >>> none, lower = np.full(3, np.nan), np.array([4.0, 9.0, np.nan])
    >>> families = ("use", "silence")
    >>> sides = PopulationSides(families, np.array([0, 0, 1]), none, ("",) * 3, lower, ("low",) * 3)
    >>> found = cite(np.array([[5.0, 2.0, 70.0]]), np.array([[0.5, 0.1, 0.9]]), sides)
    >>> found.feature, found.strength  # the first feature is not low, the third may not be cited
    (array([1]), array([0.6]))
    """
    is_high = values > sides.upper_edge
    fits = (contributions > 0) & (is_high | (values < sides.lower_edge))
    by_family = np.argsort(sides.family, kind="stable")
    first = np.searchsorted(sides.family[by_family], np.arange(len(sides.families)))
    total = _sums(contributions, sides.family, len(sides.families))
    fitting = np.where(fits, contributions, 0.0)[:, by_family]
    best = np.maximum.reduceat(fitting, first, axis=1)
    is_best = fitting == best[:, sides.family[by_family]]
    chosen = np.minimum.reduceat(np.where(is_best, by_family, len(by_family)), first, axis=1)
    strength = np.where(best > 0, np.round(total, DIGITS), 0.0)
    alone = np.flatnonzero(~(strength > 0).any(axis=1))
    strongest = best[alone].argmax(axis=1)
    strength[alone, strongest] = best[alone, strongest]
    order = np.argsort(-strength, axis=1, kind="stable")
    row, place = np.nonzero(np.take_along_axis(strength, order, axis=1) > 0)
    families = order[row, place]
    features = chosen[row, families]
    return Citations(row, place + 1, features, is_high[row, features], strength[row, families])


def _sums(parts: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return row sums of each group of columns, shape (n, groups), added in the order of the columns."""
    cells = np.arange(len(parts))[:, None] * groups + group
    return np.bincount(cells.ravel(), parts.ravel(), minlength=len(parts) * groups).reshape(-1, groups)


def explain_batch(
    batch: pa.RecordBatch, pipeline: ChurnPipeline, explainer: Explainer, sides: PopulationSides
) -> pa.RecordBatch:
    """Return the reasons of each row, contributions in the unit of the raw score."""
    schema = pipeline.encoder.schema
    values = pipeline.encoder.encode(batch)
    contributions = np.round(explainer.contributions(values), DIGITS)
    cited = cite(values, contributions, sides)
    rows, features = pa.array(cited.row), pa.array(cited.feature)
    is_category = np.isin(cited.feature, schema.categorical)
    directions = pa.array((*sides.upper_direction, *sides.lower_direction))
    return pa.record_batch(
        [
            batch.column("customer_id").cast(pa.string()).take(rows),
            batch.column("as_of_date").cast(pa.date32()).take(rows),
            pa.array(cited.rank.astype(np.int32)),
            pa.array(sides.families).take(pa.array(sides.family[cited.feature])),
            pa.array(schema.names).take(features),
            directions.take(pa.array(cited.feature + np.where(cited.is_high, 0, len(schema.names)))),
            pa.array(values[cited.row, cited.feature], mask=is_category),
            _categories(batch, cited, schema.categorical, schema.names),
            pa.array(contributions[cited.row, cited.feature]),
            pa.array(cited.strength),
        ],
        schema=REASONS_SCHEMA,
    )


def _categories(
    batch: pa.RecordBatch, cited: Citations, categorical: tuple[int, ...], names: tuple[str, ...]
) -> pa.Array:
    """Return the category of each cited categorical feature, null for numbers."""
    found = np.full(len(cited.row), None, dtype=object)
    for position in categorical:
        here = np.flatnonzero(cited.feature == position)
        if len(here):
            found[here] = batch.column(names[position]).take(pa.array(cited.row[here])).to_pylist()
    return pa.array(found, pa.string())


def explain_batches(
    batches: Iterable[pa.RecordBatch], pipeline: ChurnPipeline, sides: PopulationSides
) -> Iterator[pa.RecordBatch]:
    """Explain batch by batch; the explainer is built with the first row."""
    explainer: Explainer | None = None
    for batch in batches:
        if batch.num_rows:
            explainer = explainer or make_explainer(pipeline)
            yield explain_batch(batch, pipeline, explainer, sides)


@dataclass(frozen=True)
class Explanation:
    """Explains batches by the deployed pipeline; it may be sent to another process.

    ``columns`` are those that a batch must hold, ``as_of_date`` is the day of the run.
    """

    pipeline: ChurnPipeline
    sides: PopulationSides
    columns: tuple[str, ...]
    as_of_date: date

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Explain batch by batch."""
        return explain_batches(batches, self.pipeline, self.sides)


def read_explanation(
    cursor: Any,  # noqa: ANN401 - a DuckDB cursor
    tables: PurposeTables,
    int_feature_population: str,
) -> Explanation | None:
    """Return what explains the customers of the run; nothing where the run is empty.

    Raises
    ------
    BayesPilotError
        If the deployed pipeline is damaged or does not fit, or the population of a feature is not known.
    """
    scorer = read_scorer(cursor, tables)
    if scorer is None:
        return None
    names = scorer.pipeline.encoder.schema.names
    sides = read_sides(cursor.sql(int_feature_population).to_arrow_table().to_pylist(), names)
    return Explanation(scorer.pipeline, sides, scorer.columns, scorer.as_of_date)


def reasons_reader(
    cursor: Any,  # noqa: ANN401 - a DuckDB cursor
    tables: PurposeTables,
    customer_features: str,
    int_feature_population: str,
) -> pa.RecordBatchReader:
    """Explain every customer at the run's date, in the order in which they are stored; empty where the run is empty.

    Raises
    ------
    BayesPilotError
        If the deployed pipeline is damaged or does not fit, or the population of a feature is not known.
    """
    explanation = read_explanation(cursor, tables, int_feature_population)
    if explanation is None:
        return pa.RecordBatchReader.from_batches(REASONS_SCHEMA, [])
    stored = features_query(customer_features, explanation.columns, explanation.as_of_date)
    batches = cursor.sql(stored).to_arrow_reader(BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(REASONS_SCHEMA, explanation(batches))
