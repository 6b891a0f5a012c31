"""Hints of refused trainings, followed on the smallest case: the labels of one customer under another horizon."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest
from conftest import Project

from models_ml.errors import BayesPilotError
from models_ml.training.examples import DateCount, TimeSplit, check_classes

DAY = date(2026, 1, 1)
SPLIT = TimeSplit((DAY,), DAY, None)
# A customer whose subscription ends, or who comes back, on the fortieth day.
TABLES = """
    create table customer_features as select 'anna' as customer_id, date '2026-01-01' as as_of_date;
    create table int_run as select date '2026-12-31' as as_of_date;
    create table int_paid_stretches as
    select 'anna' as customer_id, date '2025-01-01' as started_on, date '2026-02-10' as ended_on;
    create table int_checked_activity as
    select 'anna' as customer_id, date '2026-02-10' as occurred_on, 'visit' as activity_type, null as quarantine_reason;
    create table int_activity_map as select 'visit' as activity_type, true as counts_as_event, 'engagement' as meaning;
"""


def has_churned(project: Path, definition: str, horizon_days: int) -> bool:
    [file] = (project / "target" / "compiled").glob("**/models/labels/churn_labels.sql")
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as demo; use demo")
        connection.execute(TABLES)
        connection.execute(
            f"create table int_policy_parameters as select '{definition}' as churn_definition,"
            f" {horizon_days} as horizon_days, 0 as resume_grace_days"
        )
        [(churned,)] = connection.execute(f"select has_churned from ({file.read_text()})").fetchall()
    return bool(churned)


@pytest.mark.parametrize(
    ("definition", "too_short", "too_long"),
    [("subscription_end", False, True), ("inactivity", True, False)],
)
def test_the_horizon_that_the_refusal_asks_for_gives_the_missing_class(
    built_project: Project, definition: str, too_short: bool, too_long: bool
) -> None:
    for horizon, churned in ((28, too_short), (56, too_long)):
        assert has_churned(built_project.folder, definition, horizon) == churned
        counts = [DateCount(DAY, 1, int(churned), 1)]
        with pytest.raises(BayesPilotError) as refused:
            check_classes(counts, SPLIT, definition)
        asked = "raise" if "next: raise horizon_days" in str(refused.value) else "lower"
        other = {("raise", 28): 56, ("lower", 28): 14, ("raise", 56): 112, ("lower", 56): 28}[asked, horizon]
        assert has_churned(built_project.folder, definition, other) != churned
