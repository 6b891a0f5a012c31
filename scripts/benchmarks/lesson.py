"""A fitted candidate, deployed, and a warehouse of many customers for it to score."""

from __future__ import annotations

import hashlib
from typing import Any

from benchmarks.dbt_runs import Workplace
from benchmarks.measuring import quiet_connection
from benchmarks.world import ENDS_ON
from models_ml.deployment.deployed import (
    FORMAT,
    DeploymentRecord,
    library_versions,
    serialise,
    write_deployment,
)
from models_ml.paths import artifacts_folder
from models_ml.training.context import Purpose, PurposeTables, read_purpose
from models_ml.training.examples import Examples
from models_ml.training.pipeline import ChurnPipeline, fit_pipeline
from models_ml.training.settings import load_settings

TABLES = PurposeTables(**{name: f"select * from {name}" for name in PurposeTables.__dataclass_fields__})
LESSON_ROWS = 40_000  # enough to grow trees and coefficients of the usual size
# Who leaves: a made-up rule, so that there is something to learn.
LOG_ODDS = """
    -3.2 + 0.8 * late_payments_last_90_days + 0.5 * price_increases_last_90_days + tickets_opened_last_30_days
    + leaving_signal_events_last_30_days + 0.02 * coalesce(days_since_last_engagement, 100)
    - 0.001 * tenure_days"""


def prepare(workplace: Workplace, rows: int, candidate: str) -> None:
    """Write a warehouse with ``rows`` customers at one date, and deploy a fitted candidate beside it."""
    workplace.enter()
    with quiet_connection(workplace.warehouse("scoring")) as connection:
        connection.execute(f"attach '{workplace.warehouse('features')}' as built (read_only)")
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
        _deploy(fitted(connection, purpose, candidate), purpose)


def fitted(connection: Any, purpose: Purpose, candidate: str) -> ChurnPipeline:  # noqa: ANN401 - DuckDB
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
        limit {LESSON_ROWS}
        """
    ).to_arrow_table()
    half = table.num_rows // 2
    fit, calibrate = (
        Examples(part, purpose.schema, ()) for part in (table.slice(0, half), table.slice(half))
    )
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
    )
    write_deployment(artifacts_folder(purpose.source), content, record)
