"""Record of the deployed churn pipeline, one row; trains first where nothing fits."""

import pyarrow as pa

from models_ml.train_and_deploy import deployed_table
from models_ml.training.context import TrainingTables


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    dbt.ref("int_input_gate")  # comes first: nothing is trained on lost input
    tables = TrainingTables(
        int_run=dbt.ref("int_run").sql_query(),
        int_policy_parameters=dbt.ref("int_policy_parameters").sql_query(),
        int_feature_schema=dbt.ref("int_feature_schema").sql_query(),
        training_examples=dbt.ref("training_examples").sql_query(),
        customer_features=dbt.ref("customer_features").sql_query(),
        int_offers=dbt.ref("int_offers").sql_query(),
        int_earlier_effects=dbt.ref("int_earlier_effects").sql_query(),
        int_earlier_covariances=dbt.ref("int_earlier_covariances").sql_query(),
    )
    return deployed_table(session.cursor(), tables)
