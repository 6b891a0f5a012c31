"""What comes back teaches the next run: contacts and churn through action_outcomes into the offer effects."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from conftest import BUILD_SHOP, UNTESTED, Project

pytestmark = pytest.mark.build

COLUMNS = (
    "contact_id varchar, action_id varchar, customer_id varchar, offer varchar, contacted_on date, accepted_on date,"
    " cost decimal(18, 2), is_randomized boolean, propensity double"
)

LOOP = (
    *("-s", "stg_retention_contacts", "int_run"),
    *(f"path:dbt_project/models/{folder}" for folder in ("earlier_runs", "outcomes", "effects", "decisions")),
)


@dataclass(frozen=True)
class Planted:
    """Actions of an earlier run by what became of them."""

    executed: list[str]
    late: list[str]
    missed: list[str]
    held_but_called: str


def decide_earlier(project: Project, day: str, source: str = "demo") -> None:
    """Date the decisions of the last run back, as if they had been made then."""
    with duckdb.connect(str(project.warehouse(source))) as connection:
        for table in (
            "int_stored_decisions",
            "policy_runs",
            "offer_effects_history",
            "offer_effect_covariances_history",
        ):
            connection.execute(f"create table moved as from {table}")
            connection.execute(f"update moved set as_of_date = date '{day}'")
            if table == "int_stored_decisions":
                connection.execute("update moved set valid_from = as_of_date + 1, valid_to = as_of_date + 14")
            if table == "policy_runs":  # the hash is that of rows of another date
                connection.execute("update moved set decisions_hash = null")
            connection.execute(f"delete from {table}")
            connection.execute(f"insert into {table} by name from moved")
            connection.execute("drop table moved")


def execute(project: Project, day: str, file: Path, source: str = "demo") -> Planted:
    """Write the contacts of a careless team to ``file``: three of five in time, one late, one never."""
    actions = project.query(
        "select action_id, customer_id, action from retention_actions_history where arm = 'policy'"
        " order by action_id",
        source,
    )
    held = project.query(
        "select action_id, customer_id from retention_actions_history where arm = 'pick_holdout' order by 1",
        source,
    )[0]
    assert len(actions) >= 10
    fates = [(number % 5, *action) for number, action in enumerate(actions)]
    with duckdb.connect() as connection:
        connection.execute(f"create table contacts ({COLUMNS})")
        for number, (fate, action_id, customer_id, action) in enumerate(fates):
            if fate == 4:
                continue
            days = 20 if fate == 3 else 3
            connection.execute(
                "insert into contacts by name select ? as contact_id, ? as action_id, ? as customer_id, ? as offer,"
                f" date '{day}' + {days} as contacted_on,"
                f" case when {fate} = 0 then date '{day}' + {days + 1} end as accepted_on,"
                " 1.25 as cost, false as is_randomized",
                [str(800_000_000 + number), action_id, customer_id, action],
            )
        connection.execute(
            "insert into contacts by name select '900000000' as contact_id, ? as action_id, ? as customer_id,"
            f" '{actions[0][2]}' as offer, date '{day}' + 2 as contacted_on, 2 as cost, false as is_randomized",
            held,
        )
        connection.execute(f"copy contacts to '{file}' (format parquet)")
    by_fate = [
        [action_id for fate, action_id, *_ in fates if fate in wanted] for wanted in ((0, 1, 2), (3,), (4,))
    ]
    return Planted(*by_fate, held_but_called=held[0])


def check_outcomes(project: Project, planted: Planted, source: str = "demo") -> None:
    """Hold action_outcomes and the effects against what was planted."""
    outcomes = {row[0]: row[1:] for row in project.query(
        "select action_id, contact_status, is_contacted, has_accepted, realised_cost, outcome_weight,"
        " signal_declining_engagement is not null from action_outcomes", source,
    )}  # fmt: skip
    decisions = project.query(
        "select count(*) from retention_actions_history where as_of_date < (select max(as_of_date)"
        " from retention_actions_history)", source,
    )  # fmt: skip
    assert len(outcomes) == decisions[0][0]
    for status, actions in (("executed", planted.executed), ("executed_late", planted.late)):
        assert {outcomes[action][0] for action in actions} == {status}
    assert {outcomes[action][0] for action in planted.missed} <= {"not_executed", "executed_unplanned"}
    assert outcomes[planted.held_but_called][:2] == ("executed_unplanned", True)
    assert outcomes[planted.held_but_called][4] == pytest.approx(10)
    assert {outcomes[action][4] for action in planted.missed} == {round(1 / 0.9, 9)}
    assert all(outcome[5] for outcome in outcomes.values())
    assert any(outcomes[action][2] for action in planted.executed)
    assert all(outcomes[action][3] >= 1.25 for action in planted.executed + planted.late)

    assigned = project.query(
        "select count(*), count(*) filter (where reached_offer = offer) from int_effect_evidence"
        " where stratum = 'policy' and offer is not null",
        source,
    )[0]
    assert assigned[0] == len(planted.executed + planted.late + planted.missed)
    by_others = [action for action in planted.missed if outcomes[action][0] == "executed_unplanned"]
    assert len(planted.executed) <= assigned[1] <= len(planted.executed + planted.late + by_others)
    counted = project.query(
        "select contact_status, sum(contacts) from rpt_contacts where contact_status in ('executed', 'executed_late')"
        " group by 1 order by 1", source,
    )  # fmt: skip
    assert counted == [("executed", len(planted.executed)), ("executed_late", len(planted.late))]
    moved = project.query(
        "select count(*) from offer_effects where contacted_customers > 0 and effect_mean <> prior_mean",
        source,
    )
    assert moved[0][0] > 0
    dates = project.query("select count(distinct as_of_date), count(*) from offer_effects_history", source)[0]
    assert dates[0] == 2
    used = project.query(
        "select count(*) from offer_effects inner join offer_effects_history using (offer, signal, effect_mean)"
        " where as_of_date = (select max(as_of_date) from offer_effects_history)", source,
    )  # fmt: skip
    assert used[0][0] * 2 == dates[1]


def test_contacts_and_churn_teach_the_next_decision(built_project: Project, tmp_path: Path) -> None:
    project = built_project.copy(tmp_path / "project")
    assert built_project.raw_data is not None
    project.raw_data = Path(shutil.copytree(built_project.raw_data, tmp_path / "raw"))
    before = project.query("select offer, signal, effect_mean from offer_effects order by 1, 2")
    pipeline = project.query("from deployed_pipeline")
    decide_earlier(project, "2026-08-31")
    planted = execute(project, "2026-08-31", tmp_path / "new_contacts.parquet")
    file = project.raw_data / "retention_contacts.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table contacts as from '{file}'")
        connection.execute(
            "insert into contacts by name select * replace (cast(contact_id as bigint) as contact_id,"
            f" cast(customer_id as bigint) as customer_id) from '{tmp_path}/new_contacts.parquet'"
        )
        connection.execute(f"copy contacts to '{file}' (format parquet)")
    project.dbt("build", *LOOP, "--exclude-resource-types", "unit_test")
    check_outcomes(project, planted)
    assert project.query("from deployed_pipeline") == pipeline
    assert project.query("select offer, signal, effect_mean from offer_effects order by 1, 2") != before
    earlier = project.query(
        "select offer, signal, effect_mean from offer_effects_history where as_of_date = date '2026-08-31' order by 1, 2"
    )
    assert earlier == before  # what the earlier run knew stays as it was


def test_the_loop_closes_on_the_real_shop_too(built_shop: Project, tmp_path: Path) -> None:
    source = "online_retail"
    project = built_shop.copy(tmp_path / "project")
    decide_earlier(project, "2011-02-28", source)
    planted = execute(project, "2011-02-28", tmp_path / "new_contacts.parquet", source)
    staging = project.folder / "dbt_project" / "sources" / source / "stg_retention_contacts.sql"
    staging.write_text(f"select * from read_parquet('{tmp_path}/new_contacts.parquet')\n", encoding="utf-8")
    project.dbt(*BUILD_SHOP, *LOOP, *UNTESTED)
    check_outcomes(project, planted, source)
