"""Churn probabilities of the deployed pipeline, batch by batch.

``int_churn_predictions`` holds those of the run's date, ``int_trial_probabilities`` those of the customers and dates
of past trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from models_ml.deployment.deployed import load_deployed
from models_ml.paths import artifacts_folder
from models_ml.training.context import PurposeTables, read_purpose, read_run, run_is_empty
from models_ml.training.pipeline import DIGITS, ChurnPipeline
from models_ml.training.schema import FeatureSchema

BATCH_ROWS = 16_384  # trees read the matrix of a batch once a tree: it should stay in the processor's cache

PROBABILITIES_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("churn_probability", pa.float64()),
        ("raw_score", pa.float64()),
        ("pipeline_version", pa.string()),
    ]
)


def score_batch(batch: pa.RecordBatch, pipeline: ChurnPipeline, pipeline_version: str) -> pa.RecordBatch:
    """Return churn probability (0 to 1) and raw score of each row, in the order given."""
    churn_probability, raw = pipeline.score(batch)
    return pa.record_batch(
        [
            batch.column("customer_id").cast(pa.string()),
            batch.column("as_of_date").cast(pa.date32()),
            pa.array(np.round(churn_probability, DIGITS)),
            pa.array(np.round(raw, DIGITS)),
            pa.array([pipeline_version]).take(pa.array(np.zeros(batch.num_rows, dtype=np.int8))),
        ],
        schema=PROBABILITIES_SCHEMA,
    )


def score_batches(
    batches: Iterable[pa.RecordBatch], pipeline: ChurnPipeline, pipeline_version: str
) -> Iterator[pa.RecordBatch]:
    """Score batch by batch; memory does not grow with the number of customers."""
    return (score_batch(batch, pipeline, pipeline_version) for batch in batches if batch.num_rows)


@dataclass(frozen=True)
class Scorer:
    """Scores batches by the deployed pipeline; it may be sent to another process.

    ``columns`` are those that a batch must hold, ``as_of_date`` is the day of the run.
    """

    pipeline: ChurnPipeline
    pipeline_version: str
    columns: tuple[str, ...]
    as_of_date: date

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score batch by batch."""
        return score_batches(batches, self.pipeline, self.pipeline_version)


def read_scorer(cursor: Any, tables: PurposeTables) -> Scorer | None:  # noqa: ANN401 - a DuckDB cursor
    """Return what scores the customers of the run; nothing where the run is empty.

    Raises
    ------
    BayesPilotError
        If the deployed pipeline is damaged or does not fit; scoring never trains.
    """
    if run_is_empty(cursor, tables.int_run):
        return None
    purpose = read_purpose(cursor, tables)
    pipeline, record = load_deployed(artifacts_folder(purpose.source), purpose)
    return Scorer(
        pipeline,
        record.pipeline_version,
        columns_needed(purpose.schema),
        read_run(cursor, tables.int_run)["as_of_date"],
    )


def probabilities_reader(cursor: Any, tables: PurposeTables, customer_features: str) -> pa.RecordBatchReader:  # noqa: ANN401 - a DuckDB cursor
    """Score every customer at the run's date, in the order in which they are stored; empty where the run is empty.

    They are not sorted first: that would hold the features of all customers in memory.

    Raises
    ------
    BayesPilotError
        If the deployed pipeline is damaged or does not fit; scoring never trains.
    """
    scorer = read_scorer(cursor, tables)
    if scorer is None:
        return pa.RecordBatchReader.from_batches(PROBABILITIES_SCHEMA, [])
    stored = features_query(customer_features, scorer.columns, scorer.as_of_date)
    batches = cursor.sql(stored).to_arrow_reader(BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(PROBABILITIES_SCHEMA, scorer(batches))


def columns_needed(schema: FeatureSchema) -> tuple[str, ...]:
    """Return the columns of ``customer_features`` that scoring reads: its key and the features."""
    return ("customer_id", "as_of_date", *schema.names)


def features_query(customer_features: str, columns: Iterable[str], as_of_date: date) -> str:
    """Return the select of one date's keys and features."""
    named = ", ".join(f'"{name}"' for name in columns)
    return f"select {named} from ({customer_features}) where as_of_date = date '{as_of_date}'"


def trial_probabilities_reader(
    cursor: Any,  # noqa: ANN401 - a DuckDB cursor
    tables: PurposeTables,
    customer_features: str,
    int_trial_assignments: str,
) -> pa.RecordBatchReader:
    """Score every customer-date on which a past trial was assigned, in the order in which they are stored.

    Empty where no trial has matured, or the run is empty; the deployed pipeline is then not opened.

    Raises
    ------
    BayesPilotError
        If the deployed pipeline is damaged or does not fit.
    """
    needed = f"select distinct customer_id, scored_on as as_of_date from ({int_trial_assignments})"
    is_needed = bool(cursor.execute(f"{needed} limit 1").fetchall())
    scorer = read_scorer(cursor, tables) if is_needed else None
    if scorer is None:
        return pa.RecordBatchReader.from_batches(PROBABILITIES_SCHEMA, [])
    columns = ", ".join(f'"{name}"' for name in scorer.columns)
    stored = (
        f"select {columns} from ({customer_features}) semi join ({needed}) using (customer_id, as_of_date)"
    )
    batches = cursor.sql(stored).to_arrow_reader(BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(PROBABILITIES_SCHEMA, scorer(batches))
