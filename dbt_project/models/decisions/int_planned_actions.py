"""What the policy decides for each customer at risk, one row per customer."""

import pyarrow as pa

from models_ml.decisions.planned_actions import PlanTables, planned_actions_reader


def model(dbt, session) -> pa.RecordBatchReader:
    dbt.config(materialized="table")
    tables = PlanTables(
        int_decision_candidates=dbt.ref("int_decision_candidates").sql_query(),
        int_policy_parameters=dbt.ref("int_policy_parameters").sql_query(),
        int_offers=dbt.ref("int_offers").sql_query(),
        offer_effects=dbt.ref("offer_effects").sql_query(),
        offer_effect_covariances=dbt.ref("offer_effect_covariances").sql_query(),
        int_measured_acceptance=dbt.ref("int_measured_acceptance").sql_query(),
        retention_curves=dbt.ref("retention_curves").sql_query(),
        int_month_limits=dbt.ref("int_month_limits").sql_query(),
    )
    return planned_actions_reader(session.cursor(), tables)
