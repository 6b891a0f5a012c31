"""Which contacted customers accept an offer: one row per offer and coefficient."""

import pyarrow as pa

from models_ml.effects.measured_effects import measured_acceptance


def model(dbt, session) -> pa.Table:
    dbt.config(materialized="table")
    return measured_acceptance(
        session.cursor(),
        dbt.ref("int_effect_evidence").sql_query(),
        dbt.ref("int_offers").sql_query(),
        dbt.ref("int_offer_effect_priors").sql_query(),
        dbt.ref("int_measured_effects").sql_query(),
    )
