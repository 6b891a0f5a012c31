"""A small synthetic business for the tests of training and scoring: known truth, every kind of column."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from models_ml.decisions.retention_curves import RetentionCurves

# Four in a hundred customers leave in each later period, whatever their risk.
CURVES = RetentionCurves(-3.0, 0.0, 0.0, 0.0, 0.5, 0.0, -9.0, 9.0, 3, 0.05, 28, {})
MONTH_ENDS = (
    date(2025, 1, 31),
    date(2025, 2, 28),
    date(2025, 3, 31),
    date(2025, 4, 30),
    date(2025, 5, 31),
    date(2025, 6, 30),
)
RUN_DATE = date(2025, 7, 31)
HORIZON_DAYS = 28
SIGNALS = ("declining_engagement", "dormant")
COSTS = {"contact_cost_0": 6.0, "incentive_cost_0": 0.0, "contact_cost_1": 0.1, "incentive_cost_1": 10.0}
FEATURES = (
    ("days_since_last_activity", "numeric", "INTEGER", 1),
    ("orders_last_90_days", "numeric", "BIGINT", -1),
    ("monthly_revenue", "numeric", "DOUBLE", 0),
    ("average_satisfaction", "numeric", "DOUBLE", 0),
    ("never_filled", "numeric", "DOUBLE", 0),
    ("plan", "categorical", "VARCHAR", 0),
    ("region", "categorical", "VARCHAR", 0),
    ("never_named", "categorical", "VARCHAR", 0),
)


def feature_rows(customers: int, day: date, seed: int = 0) -> dict[str, object]:
    """Features of one date, and the true churn probability under ``truth``."""
    random = np.random.default_rng([seed, day.toordinal()])
    silent = random.integers(0, 120, customers)
    orders = random.poisson(4, customers)
    plan = random.choice(["basic", "pro", "team"], customers)
    satisfaction = random.uniform(1, 5, customers)
    log_odds = -2.2 + 0.02 * silent - 0.25 * orders + 0.9 * (plan == "basic") + 0.3 * (satisfaction < 2)
    return {
        "customer_id": [f"c{i:06d}" for i in range(customers)],
        "as_of_date": [day] * customers,
        "days_since_last_activity": pa.array(silent, pa.int32()),
        "orders_last_90_days": pa.array(orders, pa.int64()),
        "monthly_revenue": random.gamma(2, 25, customers),
        "average_satisfaction": pa.array(satisfaction, mask=random.random(customers) < 0.3),
        "never_filled": pa.nulls(customers, pa.float64()),
        "plan": pa.array(plan, mask=random.random(customers) < 0.05),
        "region": random.choice(["north", "south", "east", "west"], customers),
        "never_named": pa.nulls(customers, pa.string()),
        "truth": 1 / (1 + np.exp(-log_odds)),
    }


def example_rows(customers: int, day: date, seed: int = 0) -> dict[str, object]:
    rows = feature_rows(customers, day, seed)
    random = np.random.default_rng([seed, day.toordinal(), 1])
    silent = rows["days_since_last_activity"].to_numpy()
    return rows | {
        "has_churned": random.random(customers) < rows["truth"],
        "was_contacted": random.random(customers) < 0.1,
        "days_to_unexplained_contact": pa.nulls(customers, pa.int32()),
        "days_to_departure": pa.nulls(customers, pa.int32()),
        "example_weight": np.where(random.random(customers) < 0.2, 1.25, 1.0),
        "offers_allowed": pa.array(
            random.choice([0, 1, 2, 3], customers, p=[0.1, 0.1, 0.1, 0.7]), pa.int64()
        ),
        "signal_dormant": silent / 60,
        "renewal_interval_days": np.zeros(customers, dtype=np.int64),
        "days_to_renewal": np.zeros(customers, dtype=np.int64),
        **{name: np.full(customers, cost) for name, cost in COSTS.items()},
        "signal_declining_engagement": random.uniform(0, 2, customers),
    }


def schema_table() -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "feature": name,
                "feature_position": position,
                "role": role,
                "data_type": data_type,
                "expected_effect": effect,
                "ages": False,
                "description": "",
            }
            for position, (name, role, data_type, effect) in enumerate(FEATURES)
        ]
    )


def population_table() -> pa.Table:
    """Each feature in a family of its own; numbers are reasons on either side of 1, categories wherever known."""
    numeric = {"upper_direction": "high", "upper_edge": 1.0, "lower_direction": "low", "lower_edge": 1.0}
    category = {"upper_direction": "present", "upper_edge": None, "lower_direction": None, "lower_edge": None}
    return pa.Table.from_pylist(
        [
            {"feature": name, "family": name} | (numeric if role == "numeric" else category)
            for name, role, _, _ in FEATURES
        ]
    )


def run_table(**changes: object) -> pa.Table:
    run = {
        "source": "demo",
        "as_of_date": RUN_DATE,
        "activity_map_hash": "abc",
        "retrain": False,
        "allow_miscalibrated": False,
    }
    return pa.Table.from_pylist([run | changes])


def policy_table(**changes: object) -> pa.Table:
    policy = {
        "churn_definition": "subscription_end",
        "horizon_days": HORIZON_DAYS,
        "at_risk_days": 365,
        "training_dates": 12,
        "training_step_days": 29,
        "minimum_history_days": 90,
        "payment_grace_days": 14,
        "resume_grace_days": 0,
        "trusted_features": "none",
        "currency": "EUR",
        "margin_rate": 0.6,
        "value_horizon_days": 365,
        "annual_discount_rate": 0.1,
        "monthly_budget": 900.0,
        "pacing": "none",
        "touch_price": 0.0,
        "cool_down_days": 30,
        "action_valid_days": 7,
        "sync_days": 56,
        "minimum_customer_value": 0.0,
        "universal_holdout_share": 0.05,
        "pick_holdout_share": 0.1,
        "learning_share": 0.0,
        "offer_effect_correlation": 0.5,
        "randomisation_salt": "salt",
        "review_from": 0.2,
        "escalate_from": 0.5,
        "headline_figure": "doubly_robust",
    }
    return pa.Table.from_pylist([policy | changes])


def offers_table() -> pa.Table:
    shared = {"lock_out_days": 90, "eligible_when": "true"}
    return pa.Table.from_pylist(
        [
            shared
            | {
                "offer": "call",
                "offer_position": 0,
                "action_label": "Call",
                "channel": "phone",
                "contact_cost": "6",
                "incentive_cost": "0",
                "acceptance_rate": 0.5,
                "monthly_capacity": 60,
                "channel_capacity": 60,
            },
            shared
            | {
                "offer": "discount",
                "offer_position": 1,
                "action_label": "Discount",
                "channel": "email",
                "contact_cost": "0.1",
                "incentive_cost": "10",
                "acceptance_rate": 0.3,
                "monthly_capacity": 300,
                "channel_capacity": 400,
            },
        ]
    )


def effects_table() -> pa.Table:
    rows = [
        ("call", "intercept", -0.4),
        ("call", "dormant", -0.2),
        ("call", "declining_engagement", 0.0),
        ("discount", "intercept", -0.3),
        ("discount", "dormant", 0.1),
        ("discount", "declining_engagement", -0.2),
    ]
    return pa.Table.from_pylist(
        [
            {"offer": o, "signal": s, "effect_mean": b, "effect_sd": 0.0, "effect_source": "assumed"}
            for o, s, b in rows
        ]
    )


def covariances_table() -> pa.Table:
    """No covariance is known: effects have that of the prior."""
    names = ("offer", "signal", "other_offer", "other_signal")
    return pa.schema([*((name, pa.string()) for name in names), ("covariance", pa.float64())]).empty_table()


def examples_table(customers: int = 800, seed: int = 0) -> pa.Table:
    return pa.concat_tables([pa.table(example_rows(customers, day, seed)) for day in MONTH_ENDS])


def warehouse(
    path: str = ":memory:", *, customers: int = 800, **replaced: pa.Table
) -> duckdb.DuckDBPyConnection:
    """Return a database with every table that training and scoring read; ``replaced`` overrides some."""
    tables = {
        "int_run": run_table(),
        "int_policy_parameters": policy_table(),
        "int_feature_schema": schema_table(),
        "int_feature_population": population_table(),
        "int_offers": offers_table(),
        "offer_effects": effects_table(),
        "int_earlier_effects": effects_table(),
        "int_earlier_covariances": covariances_table(),
        "training_examples": examples_table(customers),
        "customer_features": pa.table(feature_rows(customers, RUN_DATE)).drop_columns(["truth"]),
    }
    connection = duckdb.connect(path)
    for name, table in (tables | replaced).items():
        connection.register("incoming", table)
        connection.execute(f"create table {name} as select * from incoming")
        connection.unregister("incoming")
    return connection
