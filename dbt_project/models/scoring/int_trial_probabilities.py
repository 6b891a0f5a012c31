"""Churn probability of each customer of a past trial at the month end before the assignment."""

import pyarrow as pa

from models_ml.scoring.probabilities import trial_probabilities_reader
from models_ml.training.context import PurposeTables


def model(dbt, session) -> pa.RecordBatchReader:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # score after a training has deployed
    tables = PurposeTables(
        int_run=dbt.ref("int_run").sql_query(),
        int_policy_parameters=dbt.ref("int_policy_parameters").sql_query(),
        int_feature_schema=dbt.ref("int_feature_schema").sql_query(),
    )
    return trial_probabilities_reader(
        session.cursor(),
        tables,
        dbt.ref("customer_features").sql_query(),
        dbt.ref("int_trial_assignments").sql_query(),
    )
