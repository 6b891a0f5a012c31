"""MetricFlow answers the metrics of the semantic layer as SQL does."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from conftest import Project

pytest.importorskip("dbt_metricflow", reason="MetricFlow is not installed: pip install -e '.[metrics]'")
pytestmark = pytest.mark.build

# Two nights of October and one of November; four customers, then three.
TABLES = """
    create table int_calendar_days as
        select cast(unnest(generate_series(date '2026-10-01', date '2026-12-31', interval 1 day)) as date) as calendar_day;
    create table retention_actions_history as
        select
            customer || '/' || night as action_id, customer as customer_id, night::date as as_of_date, action, channel,
            arm, 'review' as risk_tier, null as suppression_reason, 'assumed' as effect_source, 'p1' as policy_version,
            probability as churn_probability, value as incremental_expected_value, cost as expected_cost
        from (values
            ('a', '2026-10-10', 'letter', 'email', 'policy', 0.5, 9.0, 1.0),
            ('b', '2026-10-10', 'no_action', null, 'universal_holdout', 0.2, null, null),
            ('c', '2026-10-10', 'no_action', null, 'pick_holdout', 0.4, null, null),
            ('d', '2026-10-10', 'no_action', null, 'not_chosen', 0.1, null, null),
            ('a', '2026-10-20', 'no_action', null, 'suppressed', 0.6, null, null),
            ('b', '2026-10-20', 'no_action', null, 'universal_holdout', 0.2, null, null),
            ('c', '2026-10-20', 'no_action', null, 'suppressed', 0.3, null, null),
            ('d', '2026-10-20', 'call', 'phone', 'trial', 0.1, -2.0, 3.0),
            ('a', '2026-11-10', 'call', 'phone', 'policy', 0.5, 4.0, 2.0),
            ('b', '2026-11-10', 'no_action', null, 'universal_holdout', 0.1, null, null),
            ('d', '2026-11-10', 'no_action', null, 'not_chosen', 0.3, null, null)
        ) as rows (customer, night, action, channel, arm, probability, value, cost);
    create table policy_runs as
        select night::date as as_of_date, value as planned_value, spend as planned_spend
        from (values ('2026-10-10', 15.0, 2.0), ('2026-10-20', -2.0, 3.0), ('2026-11-10', 4.0, 2.0))
            as rows (night, value, spend);
    create table rpt_contacts as
        select month::date as month, status as contact_status, contacts, cost as realised_cost
        from (values
            ('2026-10-01', 'executed', 1, 1.5), ('2026-10-01', 'executed_unplanned', 2, 7.0),
            ('2026-10-01', 'not_executed', 5, 0.0), ('2026-11-01', 'executed', 3, 6.0)
        ) as rows (month, status, contacts, cost);
    create table action_outcomes as
        select id || '/' || night as action_id, id as customer_id, night::date as as_of_date, 'letter' as contacted_offer,
            'executed' as contact_status, contacted as is_contacted, accepted as has_accepted,
            night::date + 28 as horizon_ends_on, contact_day::date as contacted_on
        from (values
            ('a', '2026-10-10', true, true, '2026-10-11'), ('c', '2026-10-10', true, false, '2026-11-07'),
            ('d', '2026-10-20', true, false, '2026-10-21'), ('b', '2026-10-10', false, false, null),
            ('late', '2026-10-10', false, false, '2026-11-08'),
            -- one contact: the second decision only saw it
            ('e', '2026-10-30', true, false, '2026-11-03'), ('e', '2026-11-01', true, false, null)
        ) as rows (id, night, contacted, accepted, contact_day);
    create table churn_labels as
        select id as customer_id, night::date as as_of_date, 'subscription_end' as churn_definition,
            churned as has_churned
        from (values
            ('a', '2026-10-10', true), ('b', '2026-10-10', false), ('c', '2026-10-10', false),
            ('a', '2026-11-10', true), ('b', '2026-11-10', false)
        ) as rows (id, night, churned);
    create table rpt_policy_value as
        select period, last_month::date as last_month, method, latest as is_latest, headline as is_headline, value
        from (values
            ('2026-10', '2026-10-01', 'doubly_robust', false, true, 100.0),
            ('2026-10', '2026-10-01', 'doubly_robust', true, true, 120.0),
            ('2026-10', '2026-10-01', 'pick_holdout', true, false, 90.0),
            ('2026-11', '2026-11-01', 'doubly_robust', true, true, null),
            ('all', '2026-10-01', 'doubly_robust', true, true, 120.0)
        ) as rows (period, last_month, method, latest, headline, value);
"""
OF_OCTOBER = {
    "customers_at_risk": 4, "expected_leavers": 1.2, "expected_churn_rate": 0.3, "holdout_share": 0.25,
    "actions_decided": 2, "actions_withheld": 1, "pick_holdout_share": 1 / 3, "expected_value": 7, "expected_cost": 4,
    "planned_value": 13, "planned_spend": 5, "contacts": 3, "spend": 8.5, "acceptance_rate": 0.25,
    "churn_rate": 1 / 3, "programme_value": 120,
}  # fmt: skip
OF_NOVEMBER = {
    "customers_at_risk": 3, "expected_leavers": 0.9, "expected_churn_rate": 0.3, "holdout_share": 1 / 3,
    "actions_decided": 1, "actions_withheld": 0, "pick_holdout_share": 0, "expected_value": 4, "expected_cost": 2,
    "planned_value": 4, "planned_spend": 2, "contacts": 3, "spend": 6, "acceptance_rate": None, "churn_rate": 0.5,
    "programme_value": None,
}  # fmt: skip


def query(project: Project, folder: Path, metrics: list[str], group_by: str) -> dict[str, dict[str, str]]:
    """Return what ``mf query`` answers: metric and value by group."""
    answer = folder / "answer.csv"
    asked = ("--metrics", ",".join(metrics), "--group-by", group_by, "--csv", str(answer))
    finished = project.run("mf", "query", *asked)
    assert finished.returncode == 0, finished.output
    with answer.open(encoding="utf-8") as file:
        return {row.pop(group_by): row for row in csv.DictReader(file)}


def test_metrics_are_what_their_tables_say(built_project: Project, tmp_path: Path) -> None:
    warehouse = tmp_path / "demo.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(TABLES)
    offline = {
        "RETENTION_DB": str(warehouse),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }  # mf asks for newer versions
    project = replace(built_project, environment=built_project.environment | offline)
    by_month = query(project, tmp_path, list(OF_OCTOBER), "metric_time__month")
    for month, expected in (("2026-10-01 00:00:00", OF_OCTOBER), ("2026-11-01 00:00:00", OF_NOVEMBER)):
        answered = {metric: float(value) if value else None for metric, value in by_month[month].items()}
        assert answered == {metric: pytest.approx(value) for metric, value in expected.items()}
    by_channel = query(project, tmp_path, ["actions_decided", "expected_value"], "decision__channel")
    assert {channel: row["actions_decided"] for channel, row in by_channel.items() if channel} == {
        "email": "1",
        "phone": "2",
    }
