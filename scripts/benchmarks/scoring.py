"""Scoring from the warehouse batch by batch, compared with predict_proba alone on a matrix in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
from dbt_project_copy import Usage
from threadpoolctl import threadpool_limits

from benchmarks.measures import BenchmarkProject, best, clocked, in_fresh_process, quiet_connection
from benchmarks.raw_tables import ENDS_ON, DataSize, write_raw_tables
from models_ml.deployment.deployed import FORMAT, load_deployed, write_deployment
from models_ml.deployment.record import DeploymentRecord, library_versions, serialise
from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder
from models_ml.scoring.probabilities import BATCH_ROWS, columns_needed, features_query, probabilities_reader
from models_ml.training.context import Purpose, PurposeTables, read_purpose
from models_ml.training.examples import Examples
from models_ml.training.pipeline import ChurnPipeline, fit_pipeline
from models_ml.training.settings import load_settings

TABLES = PurposeTables(**{name: f"select * from {name}" for name in PurposeTables.__dataclass_fields__})
FEATURES = "select * from customer_features"
TRAINING_ROWS = 40_000  # enough for trees and coefficients of the usual size
# Log-odds of churn in an invented rule: the raw tables hold no relation between features and churn.
LOG_ODDS = """
    -3.2 + 0.8 * late_payments_last_90_days + 0.5 * price_increases_last_90_days + tickets_opened_last_30_days
    + leaving_signal_events_last_30_days + 0.02 * coalesce(days_since_last_engagement, 100)
    - 0.001 * tenure_days"""


@dataclass(frozen=True)
class ScoringMeasures:
    """Usage of scoring; ``one_call`` is predict_proba on all rows at once, where requested."""

    batches: Usage
    streaming: Usage
    one_call: Usage | None


def measure_scoring(
    project: BenchmarkProject,
    *,
    rows: int,
    candidate: str,
    training_data: DataSize,
    with_one_call: bool,
    repeats: int,
    notify: Callable[[str], None],
) -> ScoringMeasures:
    """Train a candidate on features (of an earlier benchmark, if there was one), then score in several ways.

    Raises
    ------
    BayesPilotError
        If dbt fails, or not every customer gets a probability.
    """
    if not project.has("features", "int_feature_schema"):
        notify("building features to train on")
        write_raw_tables(project.raw, training_data)
        project.copy_project()
        project.build_features("features", {"training_dates": training_data.dates - 1})
    notify(f"training {candidate}, and multiplying the customers to {rows:,}")
    in_fresh_process(prepare, project, rows, candidate)
    streaming, batches, one_call = [], [], []
    for turn in range(1, repeats + 1):
        of = f" ({turn} of {repeats})" if repeats > 1 else ""
        notify(f"streaming scores{of}")
        streaming.append(in_fresh_process(stream_scores, project, rows))
        notify(f"predict_proba alone, in batches{of}")
        batches.append(in_fresh_process(predict_alone, project, BATCH_ROWS))
        if with_one_call:
            notify(f"predict_proba alone, in one call{of}")
            one_call.append(in_fresh_process(predict_alone, project, rows))
    return ScoringMeasures(best(batches), best(streaming), best(one_call) if one_call else None)


def stream_scores(project: BenchmarkProject, rows: int) -> Usage:
    """Score as int_churn_predictions does: read, score and write batch by batch.

    The pipeline is loaded once before, as for `predict_alone`: importing its libraries is not measured.
    """
    project.use_artifacts()
    with _warehouse(project) as connection:
        _load(connection)

        def work() -> None:
            reader = probabilities_reader(connection.cursor(), TABLES, FEATURES)
            connection.register("scores", reader)
            connection.execute("create or replace table int_churn_predictions as from scores")

        _, measure = clocked(work)
        scored = connection.execute("select count(churn_probability) from int_churn_predictions").fetchall()[
            0
        ][0]
    if scored != rows:
        raise BayesPilotError(
            f"{scored} of {rows} customers got a probability",
            where="int_churn_predictions",
            next_step="run again with --folder, and look into scoring.duckdb",
        )
    return measure


def predict_alone(project: BenchmarkProject, batch_rows: int) -> Usage:
    """Call predict_proba on a matrix that is already in memory; reading and encoding are not measured."""
    project.use_artifacts()
    with _warehouse(project) as connection:
        pipeline, purpose = _load(connection)
        batches = connection.sql(
            features_query(FEATURES, columns_needed(purpose.schema), ENDS_ON)
        ).to_arrow_reader(BATCH_ROWS)
        matrix = np.concatenate([pipeline.encoder.encode(batch) for batch in batches if batch.num_rows])
    with threadpool_limits(limits=1):  # as ChurnPipeline.score does
        _, measure = clocked(
            lambda: [
                pipeline.estimator.predict_proba(matrix[start : start + batch_rows])
                for start in range(0, len(matrix), batch_rows)
            ]
        )
    return measure


def _load(connection: duckdb.DuckDBPyConnection) -> tuple[ChurnPipeline, Purpose]:
    purpose = read_purpose(connection, TABLES)
    pipeline, _ = load_deployed(artifacts_folder(purpose.source), purpose)
    return pipeline, purpose


def _warehouse(project: BenchmarkProject) -> duckdb.DuckDBPyConnection:
    return quiet_connection(project.warehouse("scoring"), project.memory_limit)


def prepare(project: BenchmarkProject, rows: int, candidate: str) -> None:
    """Write a warehouse with ``rows`` customers at one date, and deploy a candidate that is trained on others."""
    project.use_artifacts()
    with quiet_connection(project.warehouse("scoring")) as connection:
        connection.execute(f"attach '{project.warehouse('features')}' as built (read_only)")
        for table in PurposeTables.__dataclass_fields__:
            connection.execute(f"create or replace table {table} as from built.main.{table}")
        connection.execute(
            f"""
            create or replace table customer_features as
            select
                lower(hex(hash(customer_id || '/' || as_of_date || '/' || copy))) as customer_id,
                date '{ENDS_ON}' as as_of_date,
                built_features.* exclude (customer_id, as_of_date, copy)
            from (
                select *, row_number() over (partition by customer_id, as_of_date) as copy
                from built.main.customer_features
                cross join range((select 1 + {rows} // count(*) from built.main.customer_features))
            ) as built_features
            order by customer_id
            limit {rows}
            """
        )
        purpose = read_purpose(connection, TABLES)
        _deploy(trained_pipeline(connection, purpose, candidate), purpose)


def trained_pipeline(
    connection: duckdb.DuckDBPyConnection, purpose: Purpose, candidate: str
) -> ChurnPipeline:
    """Fit on half of the built customers and calibrate on the other half."""
    table = connection.sql(
        f"""
        select
            *,
            cast(1 as double) as example_weight,
            hash(hash(customer_id, as_of_date)) % 10000 / 10000.0 < 1 / (1 + exp(-({LOG_ODDS})))
                as has_churned
        from built.main.customer_features
        order by hash(customer_id || as_of_date), customer_id
        limit {TRAINING_ROWS}
        """
    ).to_arrow_table()
    half = table.num_rows // 2
    fit, calibrate = (Examples(part, purpose.schema) for part in (table.slice(0, half), table.slice(half)))
    return fit_pipeline(candidate, fit, calibrate, purpose.schema, load_settings())


def _deploy(pipeline: ChurnPipeline, purpose: Purpose) -> None:
    content = serialise(pipeline)
    record = DeploymentRecord(
        format=FORMAT,
        pipeline_version=f"{pipeline.candidate}-benchmark",
        candidate=pipeline.candidate,
        recipe={},
        selection_reason="benchmark",
        source=purpose.source,
        churn_definition=purpose.churn_definition,
        horizon_days=purpose.horizon_days,
        activity_map_hash=purpose.activity_map_hash,
        features=purpose.schema.to_rows(),
        libraries=library_versions(),
        sha256=hashlib.sha256(content).hexdigest(),
        calibration_method=pipeline.calibrator.method,
        judged={},
        refitted={},
        score_bin_edges=[],
        settings_fingerprint=load_settings().fingerprint(),
        data_fingerprint="",
        trained_at="",
        mlflow_run_id="",
        feature_bins=[],
        retention_curves=[],
    )
    write_deployment(artifacts_folder(purpose.source), content, record)
