"""Value of the policy against contacting no customer, one row per period and method."""

import pyarrow as pa

from models_ml.evaluation.policy_value_table import policy_value_table


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    return policy_value_table(
        session.cursor(),
        action_outcomes=dbt.ref("action_outcomes").sql_query(),
        totals=dbt.ref("int_policy_value_totals").sql_query(),
    )
