"""Where a source keeps its warehouse, artifacts and reports: one rule for dbt, the CLI and the scripts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from models_ml.errors import BayesPilotError

RUNS, CURRENT = "runs", "current"  # below the folder of what is published
SOURCE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # as the macro is_source_name has it


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


def source_name(source: str) -> str:
    """Return the name of a source, which also names its folders and files, or refuse it.

    Raises
    ------
    BayesPilotError
        If the name could lead out of the folder in which the source keeps its files.
    """
    if not SOURCE_NAME.fullmatch(source):
        raise BayesPilotError(
            "this is no name of a source: up to 40 lower-case letters, digits and underscores, beginning with a letter",
            values=[repr(source)],
            next_step="name a folder of dbt_project/sources",
        )
    return source


def check_source(source: str) -> None:
    """Refuse a source that the project does not have.

    Raises
    ------
    BayesPilotError
        With the sources that there are.
    """
    sources = project_root() / "dbt_project" / "sources"
    if not (sources / source_name(source)).is_dir():
        known = (
            sorted(folder.name for folder in sources.iterdir() if folder.is_dir()) if sources.is_dir() else []
        )
        raise BayesPilotError(
            f"there is no source {source}; there is {', '.join(known) or 'none'}",
            where=str(sources),
            next_step=f"name one of them with --source, or make it: bayespilot init {source}",
        )


def warehouse_path(source: str) -> Path:
    """Return the DuckDB file of a source (``RETENTION_DB`` overrides it)."""
    name = source_name(source)
    configured = os.environ.get("RETENTION_DB")
    return Path(configured) if configured else project_root() / "warehouse" / f"{name}.duckdb"


def published_folder(source: str) -> Path:
    """Return the folder that holds the published runs of a source, and the link to the latest."""
    return warehouse_path(source).parent / "published" / source_name(source)


def published_run_folder(source: str) -> Path:
    """Return the folder of the run that is published now; it stays for an hour after it has been replaced.

    Raises
    ------
    BayesPilotError
        If nothing has been published.
    """
    link = published_folder(source) / CURRENT
    if not link.is_dir():
        raise BayesPilotError(
            "nothing has been published yet",
            where=str(link),
            next_step=f"bayespilot publish --source {source}",
        )
    return link.resolve()


def decision_log_folder(source: str) -> Path:
    """Return the folder of what the service decided."""
    return warehouse_path(source).parent / "serving" / source_name(source)


def artifacts_folder(source: str) -> Path:
    """Return the folder of deployed and candidate pipelines of a source."""
    return project_root() / "models_ml" / "artifacts" / source_name(source)


def reports_folder(source: str) -> Path:
    """Return the folder of reports of a source."""
    return project_root() / "reports" / source_name(source)
