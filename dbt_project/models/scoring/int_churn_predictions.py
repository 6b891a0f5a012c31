"""Churn probability of each customer at the run's date, one row per customer."""

import pyarrow as pa

from models_ml.scoring.probabilities import probabilities_reader
from models_ml.training.context import PurposeTables


def model(dbt, session) -> pa.RecordBatchReader:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # score after a training has deployed
    tables = PurposeTables(
        int_run=dbt.ref("int_run").sql_query(),
        int_policy_parameters=dbt.ref("int_policy_parameters").sql_query(),
        int_feature_schema=dbt.ref("int_feature_schema").sql_query(),
    )
    return probabilities_reader(session.cursor(), tables, dbt.ref("customer_features").sql_query())
