"""BayesPilot in Dagster: every model is an asset, the copy for readers follows the last of them, every night.

    pip install dagster dagster-dbt dagster-webserver
    dbt parse
    dagster dev -f scripts/examples/dagster_definitions.py

The models run in one dbt process, as in `bayespilot run`: only one process may hold the warehouse. The published copy
is written once dbt has ended. `BAYESPILOT_SOURCE` names another source than the demo.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, Definitions, ScheduleDefinition, asset, define_asset_job
from dagster_dbt import DbtCliResource, dbt_assets, get_asset_key_for_model

from models_ml.paths import published_folder, warehouse_path
from models_ml.publish import publish

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = os.environ.get("BAYESPILOT_SOURCE", "demo")
os.environ.setdefault("DBT_PROFILES_DIR", str(PROJECT))


@dbt_assets(manifest=PROJECT / "target" / "manifest.json", exclude="resource_type:unit_test")
def models(context: AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
    """Build and test the models; a failing test is a failed asset check."""
    build = dbt.cli(["build", "--vars", json.dumps({"source": SOURCE})], context=context)
    yield from build.stream()


@asset(
    deps=[get_asset_key_for_model([models], name) for name in ("retention_actions_sync", "rpt_policy_value")]
)
def published_copy(context: AssetExecutionContext) -> None:
    """Write what BI tools, the CRM and the app read."""
    published = publish(SOURCE, warehouse_path(SOURCE), published_folder(SOURCE))
    for warning in published.warnings:
        context.log.warning(warning)
    context.log.info("published to %s", published_folder(SOURCE))


nightly = define_asset_job("nightly", selection="*")

defs = Definitions(
    assets=[models, published_copy],
    jobs=[nightly],
    schedules=[ScheduleDefinition(job=nightly, cron_schedule="15 4 * * *")],
    resources={"dbt": DbtCliResource(project_dir=str(PROJECT))},
)
