"""What contacts were expected to bring, and what the pick-holdouts say they brought, by offer."""

import pyarrow as pa

from models_ml.evaluation.planned_realised import planned_realised_table


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    return planned_realised_table(
        session.cursor(),
        episodes=dbt.ref("int_finished_episodes").sql_query(),
        earlier=dbt.ref("int_earlier_planned_realised").sql_query(),
    )
