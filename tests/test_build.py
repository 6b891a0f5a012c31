"""What `dbt build` leaves behind: whole, repeatable, documented, and never in the wrong place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from conftest import DECISIONS, UNTESTED, Project

from models_ml.docs import describe_passed_on
from models_ml.published_history import STORED
from models_ml.published_tables import PUBLISHED_TABLES, RUN_TABLE

pytestmark = pytest.mark.build

COLUMNS_OF_RETENTION_ACTIONS = """
action_id customer_id as_of_date decided_at updated_at row_hash action planned_action action_label channel
priority risk_tier churn_probability risk_percentile customer_value relative_risk effect_source
expected_cost incremental_expected_value planned_cost planned_value currency reason_1 reason_2 reason_3 rationale suppression_reason
arm propensity propensity_no_action valid_from valid_to pipeline_version policy_version dbt_invocation_id
""".split()  # noqa: SIM905 - a list of 35 strings would hide the order
ALL_ACTIONS = "select * from retention_actions order by customer_id"
SYNC = "select * from retention_actions_sync order by action_id_hash"


def test_every_customer_at_risk_gets_one_row_with_every_column(built_project: Project) -> None:
    columns = [
        name for (name,) in built_project.query("select column_name from (describe retention_actions)")
    ]
    assert sorted(columns) == sorted(COLUMNS_OF_RETENTION_ACTIONS)
    at_risk, decided, distinct = built_project.query(
        "select (select count(*) from customer_features where as_of_date = date '2026-10-31'),"
        " (select count(*) from retention_actions), (select count(distinct customer_id) from retention_actions)"
    )[0]
    assert at_risk == decided == distinct > 300
    actions = dict(built_project.query("select arm, count(*) from retention_actions group by arm"))
    assert actions["policy"] > 20
    assert {"policy", "not_chosen", "suppressed", "universal_holdout", "pick_holdout"} <= set(actions)


def test_actions_carry_reasons_money_and_a_sentence(built_project: Project) -> None:
    incomplete = built_project.query(
        "select * from retention_actions where action <> 'no_action' and (channel is null"
        " or priority is null or (incremental_expected_value <= 0 and arm <> 'trial') or rationale not like '%' || action_label || '%')"
    )
    assert incomplete == []


def test_a_second_build_changes_nothing(fresh_copy: Project) -> None:
    before = fresh_copy.query(ALL_ACTIONS)
    runs = fresh_copy.query("select * from policy_runs")
    output = fresh_copy.dbt("build")
    assert "training, because" not in output
    assert fresh_copy.query(ALL_ACTIONS) == before
    assert fresh_copy.query("select * from policy_runs") == runs


def test_empty_builds_on_a_fresh_clone(new_project: Callable[..., Project], small_world: Path) -> None:
    project = new_project(small_world)
    project.dbt("build", "--empty")
    assert project.query("select count(*) from retention_actions") == [(0,)]
    assert not (project.folder / "models_ml" / "artifacts").exists()


def test_an_empty_build_keeps_history_and_publishing_refuses_it(fresh_copy: Project) -> None:
    history = fresh_copy.query("select * from retention_actions_history order by action_id")
    sync = fresh_copy.query(SYNC)
    published = fresh_copy.run("python", "-m", "models_ml.cli", "publish")
    assert published.returncode == 0, published.stderr
    copy = fresh_copy.folder / "warehouse" / "published" / "demo" / "current" / "retention.duckdb"
    before = copy.read_bytes()
    fresh_copy.dbt("build", "--empty", *UNTESTED)
    assert fresh_copy.query("select * from retention_actions_history order by action_id") == history
    assert fresh_copy.query(SYNC) == sync != []
    refused = fresh_copy.run("python", "-m", "models_ml.cli", "publish")
    assert refused.returncode == 1
    assert "retention_actions is empty" in refused.stderr
    assert copy.read_bytes() == before


def test_the_published_copy_holds_the_public_tables(fresh_copy: Project) -> None:
    finished = fresh_copy.run("python", "-m", "models_ml.cli", "publish")
    assert finished.returncode == 0, finished.stderr
    folder = (fresh_copy.folder / "warehouse" / "published" / "demo" / "current").resolve()
    with duckdb.connect(str(folder / "retention.duckdb"), read_only=True) as copy:
        assert copy.execute(ALL_ACTIONS).fetchall() == fresh_copy.query(ALL_ACTIONS)
        deliverable = copy.execute("select count(*) from retention_actions_deliverable").fetchall()
        tables = copy.execute(
            "select table_name, comment is not null from duckdb_tables()"
            " union all select view_name, comment is not null from duckdb_views() where not internal"
        ).fetchall()
        without = copy.execute(
            "select table_name, column_name from duckdb_columns() where comment is null"
        ).fetchall()
    assert deliverable == fresh_copy.query("select count(*) from retention_actions_deliverable")
    built = {name for (name,) in fresh_copy.query("select table_name from information_schema.tables")}
    reports = {name for name in built if name.startswith("rpt_")}
    assert {name for name, _ in tables} == built & {*PUBLISHED_TABLES} | reports | {RUN_TABLE, STORED}
    described = {name for name, has_comment in tables if has_comment}
    assert described >= {
        "retention_actions",
        "retention_actions_deliverable",
        "retention_actions_history",
        "policy_runs",
        "rpt_policy_value",
    }
    assert not {name for name, _ in without} & {"retention_actions", "retention_actions_deliverable"}
    assert duckdb.sql(f"select count(*) from '{folder / 'retention_actions.parquet'}'").fetchall() == (
        fresh_copy.query("select count(*) from retention_actions")
    )


def test_from_another_directory(fresh_copy: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before, sync = fresh_copy.query(ALL_ACTIONS), fresh_copy.query(SYNC)
    finished = fresh_copy.run(
        "dbt",
        "build",
        "--project-dir",
        str(fresh_copy.folder),
        "--selector",
        "decide",
        "--full-refresh",
        cwd=elsewhere,
    )
    assert finished.returncode == 0, finished.stdout
    assert fresh_copy.query(ALL_ACTIONS) == before
    assert fresh_copy.query(SYNC) == sync != [], "times included"
    assert list(elsewhere.rglob("*.duckdb")) == []


def test_without_the_profiles_directory_it_fails_and_creates_no_database(
    fresh_copy: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    fresh_copy.environment["RETENTION_CONNECT_ATTEMPTS"] = "1"
    finished = fresh_copy.run(
        "env", "-u", "DBT_PROFILES_DIR", "dbt", "build", "--project-dir", str(fresh_copy.folder),
        "--profiles-dir", str(fresh_copy.folder), cwd=elsewhere,
    )  # fmt: skip
    assert finished.returncode != 0
    assert list(elsewhere.rglob("*.duckdb")) == []


def test_every_table_and_column_is_described(built_project: Project, tmp_path: Path) -> None:
    # Other tests read the SQL that the project's first build compiled.
    built_project.dbt("docs", "generate", "--target-path", str(tmp_path))
    manifest, catalog = (
        json.loads((tmp_path / name).read_text()) for name in ("manifest.json", "catalog.json")
    )
    assert describe_passed_on(manifest, catalog) == []
    nodes = {name: node for name, node in manifest["nodes"].items() if name in catalog["nodes"]}
    assert [node["name"] for node in nodes.values() if not node["description"]] == []
    passed_on = nodes["model.bayespilot.training_examples"]["columns"]["plan"]
    origin = nodes["model.bayespilot.customer_features"]["columns"]["plan"]
    assert passed_on["description"] == origin["description"]
    assert passed_on["meta"]["described_by"] == "customer_features"


def test_the_signs_that_the_business_knows_reach_the_deployed_pipeline(built_project: Project) -> None:
    declared = dict(
        built_project.query(
            "select feature, expected_effect from int_feature_schema where expected_effect <> 0"
        )
    )
    assert {"overdue_invoices": 1, "engagement_active_days_last_30_days": -1}.items() <= declared.items()
    record = json.loads(
        (built_project.folder / "models_ml/artifacts/demo/deployed_pipeline.json").read_text()
    )
    known = {each["feature"]: each["expected_effect"] for each in record["features"]}
    assert {name: sign for name, sign in known.items() if sign} == declared


def artifacts_of_demo(project: Project) -> dict[str, bytes]:
    folder = project.folder / "models_ml" / "artifacts" / "demo"
    return {path.name: path.read_bytes() for path in folder.glob("*.json*")}


def test_sources_are_kept_apart(built_project: Project, built_shop: Project, tmp_path: Path) -> None:
    before, artifacts = built_project.query(ALL_ACTIONS), artifacts_of_demo(built_project)
    shop = built_shop.copy(tmp_path / "project")
    judged_auc, ratio, refitted_auc, refit_is_later, warning = shop.query(
        "select judged_auc, judged_calibration_ratio, refitted_auc, calibrated_on >= judged_on, calibration_warning"
        " from deployed_pipeline",
        "online_retail",
    )[0]
    assert judged_auc >= 0.76
    assert 0.85 <= ratio <= 1.15
    assert refitted_auc >= 0.76
    assert refit_is_later
    assert f"predicted {ratio:.2f} times the churn" in warning
    at_risk, decided = shop.query(
        "select (select count(*) from customer_features where as_of_date = date '2011-05-31'),"
        " (select count(distinct customer_id) from retention_actions)",
        "online_retail",
    )[0]
    assert at_risk == decided == 4324
    assert shop.query(ALL_ACTIONS) == before
    shop.raw_data = built_project.raw_data
    shop.dbt("build", *DECISIONS)
    assert shop.query(ALL_ACTIONS) == before
    assert artifacts_of_demo(shop) == artifacts
