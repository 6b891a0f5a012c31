"""Where a source keeps its warehouse, artifacts and reports: one rule for dbt, the CLI and the scripts."""

from __future__ import annotations

import os
from pathlib import Path

from models_ml.errors import BayesPilotError


def project_root() -> Path:
    """Return the folder of dbt_project.yml: ``DBT_PROFILES_DIR`` where set, else the working directory.

    Raises
    ------
    BayesPilotError
        If that folder holds no dbt_project.yml, so that nothing is ever written beside the project.
    """
    root = Path(os.environ.get("DBT_PROFILES_DIR", ".")).resolve()
    if not (root / "dbt_project.yml").is_file():
        raise BayesPilotError(
            "this is not the BayesPilot project folder: it holds no dbt_project.yml",
            where=str(root),
            next_step="change into the project folder, or set DBT_PROFILES_DIR to it",
        )
    return root


def warehouse_path(source: str) -> Path:
    """Return the DuckDB file of a source (``RETENTION_DB`` overrides it)."""
    configured = os.environ.get("RETENTION_DB")
    return Path(configured) if configured else project_root() / "warehouse" / f"{source}.duckdb"


def published_folder(source: str) -> Path:
    """Return the folder that readers outside the build may open."""
    return warehouse_path(source).parent / "published" / source


def artifacts_folder(source: str) -> Path:
    """Return the folder of deployed and candidate pipelines of a source."""
    return project_root() / "models_ml" / "artifacts" / source


def reports_folder(source: str) -> Path:
    """Return the folder of reports of a source."""
    return project_root() / "reports" / source
