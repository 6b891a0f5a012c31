"""The summary: what is done adds up, and what was planned stands apart from it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import duckdb
import pytest

from models_ml.errors import BayesPilotError
from models_ml.summary import print_summary, quarantine_line, read_summary, where_next
from models_ml.terminal import plain_console

# Seven customers: two e-mails, one call, one trial call, one call withheld by chance, two not contacted.
TABLES = """
    create table retention_actions as
    select * replace (expected_cost::double as expected_cost,
        incremental_expected_value::double as incremental_expected_value), date '2026-10-31' as as_of_date, 0.25::double as churn_probability, 'late' as reason_1, null as reason_2,
        'quiet' as reason_3
    from (values
        ('anna', 'email', 'Write to them', 'email', 'policy', null, 0.25, 10.10, 1),
        ('bert', 'email', 'Write to them', 'email', 'policy', null, 0.25, 8.00, 3),
        ('cleo', 'call', 'Call them', 'phone', 'policy', null, 9.50, 9.20, 2),
        ('dora', 'call', 'Call them', 'phone', 'trial', null, 9.50, -2.00, 4),
        ('emil', 'no_action', 'Leave alone', null, 'pick_holdout', 'Not contacted: held out; 9 %', 9.50, 7.00, null),
        ('fred', 'no_action', 'Leave alone', null, 'suppressed', 'Not contacted: no consent; 8 %', 0, 0, null),
        ('gina', 'no_action', 'Leave alone', null, 'not_chosen', 'Not contacted: no consent; 7 %', 0, 0, null)
    ) as rows (customer_id, action, action_label, channel, arm, rationale, expected_cost,
        incremental_expected_value, priority);
    create table policy_runs as
    select date '2026-10-31' as as_of_date, 'EUR' as currency, 7 as customers_at_risk, 5 as planned_contacts,
        1 as pick_holdouts, 29.00::double as planned_spend, 32.30::double as planned_value, 1 as trial_contacts, 9.50::double as trial_spend,
        -2.00::double as trial_value, 100.0::double as monthly_budget, 40.0::double as available_budget, 0.5::double as budget_price,
        0.0012::double as plan_gap, 30.0::double as reference_greedy_value, 20.0::double as reference_break_even_value,
        10.0::double as reference_top_risk_value, -5.0::double as reference_fixed_thresholds_value;
    create table deployed_pipeline as
    select 'boosting' as candidate, 0.8125::double as judged_auc, 1::double as judged_calibration_ratio,
        0.25::double as judged_announced_churn_share, 0.7::double as judged_auc_without_notice,
        null::varchar as calibration_warning;
    create table quarantine as
    select * from (values ('stg_activity', 'unknown_customer'), ('stg_activity', 'unknown_customer'),
        ('stg_payments', 'negative_amount')) as rows (staging_model, quarantine_reason);
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "demo.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(TABLES)
    return path


def printed(warehouse: Path) -> list[list[str]]:
    """Return the cells of every line."""
    text = io.StringIO()
    print_summary(plain_console(file=text, width=160), read_summary("demo", warehouse), "demo")
    return [
        [cell.strip() for cell in re.split("[│┃]", line) if cell.strip()]
        for line in text.getvalue().splitlines()
    ]


def test_done_has_a_total_and_names_the_channel(warehouse: Path) -> None:
    lines = printed(warehouse)
    assert ["Write to them", "email", "2", "0.50", "18.10"] in lines
    assert ["Call them", "phone", "2", "19.00", "7.20"] in lines
    assert ["Total", "4", "19.50", "25.30"] in lines


def test_the_announced_churn_stands_beside_the_ranking(warehouse: Path) -> None:
    text = " ".join(" ".join(line) for line in printed(warehouse))
    assert (
        "judged AUC 0.812; 25 % of the churn was announced, AUC without customers who had given notice: 0.700"
        in text
    )


def test_planned_stands_apart_and_leads_to_what_is_done(warehouse: Path) -> None:
    lines = printed(warehouse)
    assert lines[lines.index(["planned, best within the limits", "4", "19.50", "34.30"]) + 1] == [
        "withheld by chance, to measure effects", "-1", "-9.50", "-7.00",
    ]  # fmt: skip
    assert ["trial contacts, drawn by chance", "1", "9.50", "-2.00"] in lines
    assert ["done", "4", "19.50", "25.30"] in lines
    assert ["this plan", "34.30"] in lines
    text = " ".join(" ".join(line) for line in lines)
    assert "Open to this run: 40.00 of the month's 100.00 EUR;" in text
    assert "one more EUR of budget would return 0.50 EUR more than it costs." in text
    assert ["fixed thresholds", "-5.00"] in lines


def test_a_run_of_before_trials_were_logged_has_none(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "update policy_runs set trial_contacts = null, trial_spend = null, trial_value = null"
        )
    lines = printed(warehouse)
    assert ["planned, best within the limits", "5", "29.00", "32.30"] in lines
    assert not any(line[:1] == ["trial contacts, drawn by chance"] for line in lines)


def test_who_is_not_contacted_and_what_was_set_aside(warehouse: Path) -> None:
    lines = printed(warehouse)
    text = [" ".join(line) for line in lines]
    assert lines[lines.index(["no consent", "2"]) + 1] == ["held out", "1"]
    assert ["Total", "3"] in lines
    assert (
        "Quarantine: 3 raw rows set aside: 2 unknown_customer in stg_activity, 1 negative_amount in stg_payments."
        in text
    )
    assert quarantine_line([]) == "Quarantine: 0 raw rows set aside."


def test_the_first_in_the_queue(warehouse: Path) -> None:
    lines = printed(warehouse)
    assert ["1", "anna", "Write to them", "email", "25 %", "10.10", "late; quiet"] in lines
    assert [line[1] for line in lines if line and line[0].isdigit()] == ["anna", "cleo", "bert", "dora"]


def test_names_are_printed_as_they_stand(warehouse: Path) -> None:
    name = "[VIP] :key: half [/off]"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("update retention_actions set action_label = $1 where action = 'call'", [name])
    assert [name, "phone", "2", "19.00", "7.20"] in printed(warehouse)


def test_where_nothing_is_done_no_worth_and_no_queue_are_shown(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("update retention_actions set action = 'no_action'")
        connection.execute(
            "create or replace table policy_runs as select *, 0 as contacts, 0::double as done_spend, 0::double as"
            " done_value, -0.0::double as done_value_low, 0::double as done_value_high, 0::double as done_optimism"
            " from policy_runs"
        )
    text = "\n".join(" ".join(line) for line in printed(warehouse))
    assert "Open to this run" in text
    assert "is worth" not in text
    assert "First in the queue" not in text
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("update policy_runs set contacts = 1")
    assert "probability 0.00 to 0.00" in " ".join(" ".join(line) for line in printed(warehouse))


def test_it_says_where_to_look_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dbt_project.yml").touch()
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    monkeypatch.delenv("RETENTION_DB", raising=False)
    said = where_next("acme")
    for place in (tmp_path / "reports" / "acme", tmp_path / "warehouse" / "published" / "acme" / "current"):
        assert str(place) in said
    assert "bayespilot docs --source acme" in said


def test_a_warehouse_without_decisions_is_refused(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("delete from retention_actions")
    with pytest.raises(BayesPilotError, match="holds no decisions"):
        read_summary("demo", warehouse)
