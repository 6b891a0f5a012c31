"""What raises the risk of each customer at risk and is true of the customer, one row per customer and reason rank."""

import pyarrow as pa

from models_ml.scoring.reasons import reasons_reader
from models_ml.training.context import PurposeTables


def model(dbt, session) -> pa.RecordBatchReader:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # explain after a training has deployed
    tables = PurposeTables(
        int_run=dbt.ref("int_run").sql_query(),
        int_policy_parameters=dbt.ref("int_policy_parameters").sql_query(),
        int_feature_schema=dbt.ref("int_feature_schema").sql_query(),
    )
    customer_features = dbt.ref("customer_features").sql_query()
    population = dbt.ref("int_feature_population").sql_query()
    return reasons_reader(session.cursor(), tables, customer_features, population)
