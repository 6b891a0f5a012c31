"""Log of judged candidates, one row per training run and candidate."""

import pyarrow as pa

from models_ml.deployment.logs import logged_candidates


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    dbt.ref("int_deployed_pipeline")  # read the log after a training has appended to it
    return logged_candidates(session.cursor(), dbt.ref("int_run").sql_query())
