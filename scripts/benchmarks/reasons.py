"""Explaining customers batch by batch, by each candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from dbt_project_copy import Usage

from benchmarks.examples import HORIZON_DAYS, demo_inputs, schema_of, write_examples
from benchmarks.measures import clocked, in_fresh_process, quiet_connection
from models_ml.decisions.economics import needed_columns
from models_ml.errors import BayesPilotError
from models_ml.scoring.reasons import BATCH_ROWS, PopulationSides, explain_batches
from models_ml.training.candidates import CANDIDATES
from models_ml.training.examples import ExampleReader, judged_split
from models_ml.training.pipeline import fit_pipeline
from models_ml.training.settings import load_settings


def measure_reasons(
    folder: Path, *, rows: int, features: int, memory_limit: str, notify: Callable[[str], None]
) -> Mapping[str, Usage]:
    """Fit each candidate on about ``rows`` rows per date, then explain ``rows`` customers."""
    notify("writing examples")
    warehouse = folder / "reasons.duckdb"
    in_fresh_process(write_examples, warehouse, 7 * (rows + rows // 10), features, memory_limit)
    measured = {}
    for candidate in CANDIDATES:
        notify(f"{candidate}: fitting, then explaining {rows:,} customers")
        measured[candidate] = in_fresh_process(explain, warehouse, rows, features, candidate)
    return measured


def explain(warehouse: Path, rows: int, features: int, candidate: str) -> Usage:
    """Explain ``rows`` customers of the last date; fitting is not measured, building the explainer is.

    Raises
    ------
    BayesPilotError
        If there are fewer customers to explain than requested.
    """
    settings, schema = load_settings(), schema_of(features)
    with quiet_connection(warehouse) as connection:
        reader = ExampleReader(
            connection, "select * from training_examples", schema, needed_columns(demo_inputs())
        )
        split = judged_split([count.as_of_date for count in reader.date_counts()], HORIZON_DAYS)
        pipeline = fit_pipeline(
            candidate, reader.read(split.fit_on, 0), reader.read([split.calibrated_on], 0), schema, settings
        )
        customers = connection.sql(
            f"select customer_id, as_of_date, {', '.join(schema.names)} from training_examples"
            f" where as_of_date = date '{split.judged_on}' order by customer_id limit {rows}"
        ).to_arrow_table()
    if customers.num_rows < rows:
        raise BayesPilotError(
            f"{customers.num_rows} customers where {rows} are to be explained",
            where=str(warehouse),
            next_step="run again in another folder",
        )
    batches = customers.to_batches(max_chunksize=BATCH_ROWS)
    sides = either_side_of_zero(schema.names)
    return clocked(lambda: list(explain_batches(batches, pipeline, sides)))[1]


def either_side_of_zero(names: tuple[str, ...]) -> PopulationSides:
    """Return sides that admit every value but 0, four features to a family."""
    count = len(names)
    families = tuple(f"family_{position:02d}" for position in range(-(-count // 4)))
    edge = np.zeros(count)
    return PopulationSides(families, np.arange(count) // 4, edge, ("high",) * count, edge, ("low",) * count)
