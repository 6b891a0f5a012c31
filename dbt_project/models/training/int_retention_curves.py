"""How long customers stay, as learned with the deployed pipeline: parameters and hazards."""

import pyarrow as pa

from models_ml.train_and_deploy import retention_curves_of


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # read the record after a training has deployed
    return retention_curves_of(session.cursor(), dbt.ref("int_run").sql_query())
