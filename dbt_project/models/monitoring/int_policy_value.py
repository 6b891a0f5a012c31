"""What the programme has earned, as this run says it of months that have finished since the last."""

import pyarrow as pa

from models_ml.evaluation.policy_value_table import policy_value_table


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    return policy_value_table(
        session.cursor(),
        enrolled=dbt.ref("int_enrolled_months").sql_query(),
        episodes=dbt.ref("int_finished_episodes").sql_query(),
        earlier=dbt.ref("int_earlier_policy_value").sql_query(),
    )
