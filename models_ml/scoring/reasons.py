"""The table ``int_churn_reasons``: the features that raise each customer's churn probability, strongest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.deployment.deployed import load_deployed
from models_ml.paths import artifacts_folder
from models_ml.scoring.probabilities import DIGITS, features_query
from models_ml.training.context import PurposeTables, read_purpose, read_run, run_is_empty
from models_ml.training.contributions import Explainer, make_explainer
from models_ml.training.pipeline import ChurnPipeline

REASONS = 3
BATCH_ROWS = 8_192  # explaining is slow per row: small batches cost nothing and keep memory low

REASONS_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("reason_rank", pa.int32()),
        ("feature", pa.string()),
        ("contribution", pa.float64()),
    ]
)


def strongest(contributions: np.ndarray, reasons: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pick the largest positive contributions of each row; ties go to the earlier feature.

    Returns
    -------
    row, rank (1 = strongest) and feature positions, each of shape (picked,), ordered by row and rank.

    Examples
    --------
    >>> row, rank, feature = strongest(np.array([[0.1, -0.5, 0.3], [-1.0, -2.0, 0.0]]), reasons=2)
    >>> row, rank, feature
    (array([0, 0]), array([1, 2]), array([2, 0]))
    """
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :reasons]
    positive = np.take_along_axis(contributions, order, axis=1) > 0
    row, place = np.nonzero(positive)
    return row, place + 1, order[row, place]


def explain_batch(batch: pa.RecordBatch, pipeline: ChurnPipeline, explainer: Explainer) -> pa.RecordBatch:
    """Return up to three reasons per row, in the unit of the raw score."""
    contributions = np.round(explainer.contributions(pipeline.encoder.encode(batch)), DIGITS)
    row, rank, feature = strongest(contributions, REASONS)
    rows = pa.array(row)
    return pa.record_batch(
        [
            batch.column("customer_id").cast(pa.string()).take(rows),
            batch.column("as_of_date").cast(pa.date32()).take(rows),
            pa.array(rank.astype(np.int32)),
            pa.array(pipeline.encoder.schema.names).take(pa.array(feature)),
            pa.array(contributions[row, feature]),
        ],
        schema=REASONS_SCHEMA,
    )


def explain_batches(batches: Iterable[pa.RecordBatch], pipeline: ChurnPipeline) -> Iterator[pa.RecordBatch]:
    """Explain batch by batch; the explainer is built with the first row."""
    explainer: Explainer | None = None
    for batch in batches:
        if batch.num_rows:
            explainer = explainer or make_explainer(pipeline)
            yield explain_batch(batch, pipeline, explainer)


def reasons_reader(
    cursor: Any,  # noqa: ANN401 - a DuckDB cursor
    tables: PurposeTables,
    customer_features: str,
) -> pa.RecordBatchReader:
    """Explain every customer at the run's date, in order of customer_id; empty where the run is empty.

    Raises
    ------
    BayesPilotError
        If the deployed pipeline is damaged or does not fit.
    """
    if run_is_empty(cursor, tables.int_run):
        return pa.RecordBatchReader.from_batches(REASONS_SCHEMA, [])
    purpose = read_purpose(cursor, tables)
    pipeline, _ = load_deployed(artifacts_folder(purpose.source), purpose)
    as_of_date = read_run(cursor, tables.int_run)["as_of_date"]
    batches = cursor.sql(features_query(customer_features, purpose.schema, as_of_date)).to_arrow_reader(
        BATCH_ROWS
    )
    return pa.RecordBatchReader.from_batches(REASONS_SCHEMA, explain_batches(batches, pipeline))
