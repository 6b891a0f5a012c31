"""Customers of the run in each frozen bin, one row per feature, slice and bin."""

import pyarrow as pa

from models_ml.monitoring.drift import MeasuredTables, measured_table


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # measure by the bins of what is deployed
    tables = MeasuredTables(
        int_run=dbt.ref("int_run").sql_query(),
        customer_features=dbt.ref("customer_features").sql_query(),
    )
    return measured_table(session.cursor(), tables)
