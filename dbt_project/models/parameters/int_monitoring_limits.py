"""The limits of monitoring, one row."""

import pyarrow as pa

from models_ml.monitoring.settings import limits_table


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    return limits_table()
