"""Training examples in any number, written by DuckDB itself; the same size, the same rows.

Nine in ten features are numbers, a tenth of their values missing; the others are categories. Churn depends on four
of them. Policy, offers and effects are those of the demo's seeds.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa

from benchmarks.measures import quiet_connection
from models_ml.decisions.economics import cost_columns
from models_ml.decisions.policy import DecisionInputs, Policy, read_decision_inputs
from models_ml.decisions.retention_curves import RetentionCurves
from models_ml.paths import project_root
from models_ml.training.schema import Feature, FeatureSchema

HORIZON_DAYS = 28
CATEGORIES = 12
CURVES = RetentionCurves(-3.0, 0.3, 0.0, 0.3, 0.5, -3.0, -4.0, 6.0, 12, 0.05, HORIZON_DAYS, {})
MONTH_ENDS = tuple(
    date(2026, month, day)
    for month, day in ((1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31), (9, 30))
)
FIT_DATES = len(MONTH_ENDS) - 2  # the last two calibrate and judge
TYPES = {"int": int, "float": float, "str": str}


def schema_of(features: int) -> FeatureSchema:
    """Return the features: number_00, …, and a tenth of categories."""
    categorical = features // 10
    numbers = [f"number_{i:02d}" for i in range(features - categorical)]
    categories = [f"category_{i:02d}" for i in range(categorical)]
    return FeatureSchema(
        tuple(Feature(name, "numeric", "DOUBLE", 0) for name in numbers)
        + tuple(Feature(name, "categorical", "VARCHAR", 0) for name in categories)
    )


def demo_inputs() -> DecisionInputs:
    """Return policy, offers and priors of the demo's seeds."""
    seeds = project_root() / "seeds" / "demo"
    values = pd.read_csv(seeds / "policy.csv", dtype=str, index_col="parameter")["value"]
    policy = {field.name: TYPES[str(field.type)](values[field.name]) for field in fields(Policy)}
    offers = pd.read_csv(
        seeds / "offers.csv", dtype={"contact_cost": str, "incentive_cost": str}
    ).sort_values("offer", ignore_index=True)
    offers["offer_position"] = offers.index
    channels = pd.read_csv(seeds / "channels.csv", index_col="channel")
    offers["channel_capacity"] = offers["channel"].map(channels["monthly_capacity"])
    effects = pd.read_csv(seeds / "offer_effect_priors.csv").rename(
        columns={"mean": "effect_mean", "sd": "effect_sd"}
    )
    effects["effect_source"] = "assumed"
    return read_decision_inputs(
        pa.Table.from_pylist([policy]),
        pa.Table.from_pandas(offers),
        pa.Table.from_pandas(effects),
        pa.Table.from_pylist([]),
        CURVES,
    )


def write_examples(warehouse: Path, fit_rows: int, features: int, memory_limit: str) -> None:
    """Write ``training_examples``: ``fit_rows`` over the dates to fit on, as many customers on two later ones."""
    customers = -(-fit_rows // FIT_DATES)
    schema, inputs = schema_of(features), demo_inputs()
    draws = [f"draw(key, {100 + position})" for position in range(features)]
    columns = [
        f"case when {draw} < 0.9 then round(ln({draw} / (0.9001 - least({draw}, 0.9))), 3) end as {name}"
        if position in schema.numeric
        else f"'level ' || cast(floor({CATEGORIES} * {draw}) as integer) as {name}"
        for position, (name, draw) in enumerate(zip(schema.names, draws, strict=True))
    ]
    signals = [
        f"2 * draw(key, {position}) as signal_{name}" for position, name in enumerate(inputs.effects.signals)
    ]
    costs = [
        f"cast({money} as double) as {name}"
        for names, money in zip(cost_columns(len(inputs.offers)), (0.5, 12.0), strict=True)
        for name in names
    ]
    dates = ", ".join(f"date '{day}'" for day in MONTH_ENDS)
    with quiet_connection(warehouse, memory_limit) as connection:
        connection.execute(
            "create macro draw(key, purpose) as (hash(hash(key, purpose)) >> 11)::double / 9007199254740992.0"
        )
        connection.execute(
            f"""
            create or replace table training_examples as
            with customer_dates as (
                select
                    printf('c%09d', number) as customer_id,
                    as_of_date,
                    hash(number, as_of_date) as key
                from range({customers}) as customers(number)
                cross join (select unnest([{dates}]) as as_of_date)
            )
            select
                customer_id,
                as_of_date,
                draw(key, 50) < 1 / (1 + exp(
                    3 - 2 * draw(key, 100) + draw(key, 101) - 3 * draw(key, 102) * draw(key, 103)
                )) as has_churned,
                draw(key, 51) < 0.05 as was_contacted,
                cast(1 as double) as example_weight,
                cast(null as integer) as days_to_unexplained_contact,
                cast(null as integer) as days_to_departure,
                cast({2 ** len(inputs.offers) - 1} as bigint) as offers_allowed,
                20 + 80 * draw(key, 52) as monthly_revenue,
                {", ".join(signals)},
                {", ".join(costs)},
                0 as renewal_interval_days,
                0 as days_to_renewal,
                {", ".join(columns)}
            from customer_dates
            order by as_of_date, customer_id
            """
        )
