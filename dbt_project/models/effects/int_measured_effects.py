"""What randomised contacts say about each offer: posterior, prior, counts and covariances."""

import pyarrow as pa

from models_ml.effects.measured_effects import measured_effects


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    return measured_effects(
        session.cursor(),
        dbt.ref("int_effect_evidence").sql_query(),
        dbt.ref("int_offer_effect_priors").sql_query(),
        dbt.ref("int_policy_parameters").sql_query(),
    )
