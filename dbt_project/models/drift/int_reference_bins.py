"""Bins frozen when the deployed pipeline was trained, one row per feature, slice and bin."""

import pyarrow as pa

from models_ml.monitoring.drift import reference_table


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # read the record after a training has deployed
    return reference_table(session.cursor(), dbt.ref("int_run").sql_query())
