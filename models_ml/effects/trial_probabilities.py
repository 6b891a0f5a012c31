"""The table ``int_trial_probabilities``: what the deployed pipeline says of customers of past trials."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from models_ml.deployment.deployed import load_deployed
from models_ml.paths import artifacts_folder
from models_ml.scoring.probabilities import BATCH_ROWS, PROBABILITIES_SCHEMA, score_batches
from models_ml.training.context import PurposeTables, read_purpose, run_is_empty


def trial_probabilities_reader(
    cursor: Any,  # noqa: ANN401 - a DuckDB cursor
    tables: PurposeTables,
    customer_features: str,
    int_trial_assignments: str,
) -> pa.RecordBatchReader:
    """Score every customer-date on which a past trial was assigned, in order of date and customer.

    Empty where no trial has matured, or the run is empty; the deployed pipeline is then not even opened.

    Raises
    ------
    BayesPilotError
        If what is deployed is damaged or does not fit.
    """
    needed = f"select distinct customer_id, scored_on as as_of_date from ({int_trial_assignments})"
    if run_is_empty(cursor, tables.int_run) or not cursor.execute(f"{needed} limit 1").fetchall():
        return pa.RecordBatchReader.from_batches(PROBABILITIES_SCHEMA, [])
    purpose = read_purpose(cursor, tables)
    pipeline, record = load_deployed(artifacts_folder(purpose.source), purpose)
    columns = ", ".join(f'"{name}"' for name in ("customer_id", "as_of_date", *purpose.schema.names))
    ordered = (
        f"select {columns} from ({customer_features}) semi join ({needed}) using (customer_id, as_of_date)"
        " order by as_of_date, customer_id"
    )
    batches = cursor.sql(ordered).to_arrow_reader(BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(
        PROBABILITIES_SCHEMA, score_batches(batches, pipeline, record.pipeline_version)
    )
