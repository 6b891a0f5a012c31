"""What ``bayespilot run`` looks at before it starts dbt, so that a fault of the environment is said in words at once.

dbt itself ends with a stack trace where a warehouse file cannot be opened or a seed is no text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from models_ml.errors import BayesPilotError
from models_ml.paths import project_root, source_name, warehouse_path
from models_ml.warehouse import is_in_use, open_warehouse

WAIT_SECONDS = 30.0  # for another build or a reader to end, as long as dbt waits
TRY_EVERY_SECONDS = 1.0


def check_before_build(
    source: str, notify: Callable[[str], None], wait_seconds: float = WAIT_SECONDS
) -> None:
    """Refuse a build that could not start: source, seed files, warehouse file, folders to write into.

    Parameters
    ----------
    source : str
        Name of the source.
    notify : callable
        Told what is waited for.
    wait_seconds : float
        How long another process may hold the warehouse.

    Raises
    ------
    BayesPilotError
        If there is no such source, a seed file is not in UTF-8, a folder cannot be written, or the warehouse file
        cannot be opened or stays in use.
    """
    root = project_root()
    _check_source(root, source)
    for file in sorted((root / "seeds" / source).glob("*.csv")):
        _check_encoding(file, root)
    warehouse = warehouse_path(source)
    for folder in (warehouse.parent, root / "target", root / "logs"):
        _check_folder(folder)
    _wait_for_warehouse(source, warehouse, notify, wait_seconds)


def _check_source(root: Path, source: str) -> None:
    sources = root / "dbt_project" / "sources"
    if not (sources / source_name(source)).is_dir():
        known = (
            sorted(folder.name for folder in sources.iterdir() if folder.is_dir()) if sources.is_dir() else []
        )
        raise BayesPilotError(
            f"there is no source {source}; there is {', '.join(known) or 'none'}",
            where=str(sources),
            next_step=f"name one of them with --source, or make it: bayespilot init {source}",
        )


def _check_encoding(file: Path, root: Path) -> None:
    content = file.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BayesPilotError(
            f"the seed file is not in UTF-8: line {line} holds other bytes",
            where=str(file.relative_to(root)),
            values=[repr(content.splitlines()[line - 1][:60])],
            next_step="save it as CSV in UTF-8, then run this again",
        ) from error


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is missing below a file, or cannot be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    is_usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    if not is_usable:
        raise BayesPilotError(
            "the folder cannot be written" if existing.is_dir() else "a file stands where a folder is needed",
            where=str(existing),
            next_step="let this account write there, or name another place (RETENTION_DB for the warehouse)",
        )
    folder.mkdir(parents=True, exist_ok=True)


def _wait_for_warehouse(source: str, path: Path, notify: Callable[[str], None], wait_seconds: float) -> None:
    """Open the warehouse once, read-only; wait while another process holds it."""
    if path.is_dir():
        raise BayesPilotError(
            "a folder stands where the warehouse file is needed",
            where=str(path),
            next_step="name a file in RETENTION_DB, or remove the folder",
        )
    deadline = time.monotonic() + wait_seconds
    while path.exists():
        try:
            with open_warehouse(source, path):
                return
        except BayesPilotError as error:
            if not is_in_use(error) or time.monotonic() >= deadline:
                raise
            notify("waiting for the process that holds the warehouse")
            time.sleep(TRY_EVERY_SECONDS)
