"""Publish what BI tools and CRM syncs read: one folder a run, and the link ``current`` to the latest.

The warehouse can be open in one process only; readers that opened it would lock the next build out. A run's folder is
written aside and renamed, then the link is replaced: a reader that resolves the link once sees one run, whole.

    published/<source>/runs/<run>/retention.duckdb, retention_actions.parquet, …
    published/<source>/current -> runs/<run>
    published/<source>/history/<night>.parquet      rows of retention_actions_history, which runs share

Runs stay for an hour after they have been replaced; the next publishing removes them, and what a crash left.
"""

from __future__ import annotations

import errno
import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from models_ml.errors import DISK_FAULTS, BayesPilotError
from models_ml.files import point_link, read_only_folder_aside, wait_for_lock
from models_ml.paths import CURRENT, RUNS, artifacts_folder
from models_ml.published_history import FOLDER, remove_unnamed
from models_ml.published_tables import DATABASE, Publication, check_one_run, write_database, write_parquet
from models_ml.serving.snapshot import SNAPSHOT, write_snapshot
from models_ml.warehouse import open_warehouse

LOCK = ".lock"
WAIT_SECONDS = 60.0  # another publishing writes the same tables: waiting for it is all that is left to do
KEPT_AFTER_REPLACEMENT = timedelta(hours=1)
RUN_TIME = "%Y%m%dT%H%M%S.%fZ"
RUN_ID = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-[0-9a-f]{8}")
ASIDE = re.compile(r"\..+\.\d+")  # names that models_ml.files gives to what is not switched yet


def write_serving(connection: duckdb.DuckDBPyConnection, publication: Publication) -> None:
    """Write what the service needs of the run."""
    write_snapshot(connection, artifacts_folder(publication.source), publication.folder / SNAPSHOT)


# What a run's folder holds. Every part is written from one connection, so that all show the same state.
PARTS: tuple[Callable[[duckdb.DuckDBPyConnection, Publication], None], ...] = (
    write_database,
    write_parquet,
    write_serving,
)


@dataclass(frozen=True)
class Published:
    """What was published: the number of rows of retention_actions, and the folder of the run.

    ``warnings`` say in words what failed once readers saw the run, each with a remedy.
    """

    rows: int
    run_folder: Path
    warnings: tuple[str, ...] = ()


def publish(source: str, warehouse: Path, folder: Path) -> Published:
    """Write the latest run into a folder of its own, point the link ``current`` at it, and remove old runs.

    Parameters
    ----------
    source : str
        Name of the source, for errors.
    warehouse : Path
        DuckDB file that dbt builds; no other process may hold it for writing.
    folder : Path
        Receives ``runs/<run>`` and ``current``.

    Returns
    -------
    Published
        Where old runs cannot be removed, the run is published all the same, with a warning.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing or in use, its tables are not those of one finished run with a history of its own,
        another publishing does not end, or files cannot be written: in each case the earlier copy stays as it is.
    UnfinishedRunError
        If the last build made only a part of a run.
    """
    with (
        _worded(source, folder),
        open_warehouse(source, warehouse) as connection,
        one_publisher(folder),
    ):
        run = check_one_run(connection, source, warehouse)
        now = datetime.now(UTC).replace(tzinfo=None)
        run_id = f"{now:{RUN_TIME}}-{run.dbt_invocation_id[:8]}"
        run_folder = folder / RUNS / run_id
        with read_only_folder_aside(run_folder) as aside:
            publication = Publication(
                source, run_id, run.as_of_date, run.dbt_invocation_id, now, aside, folder.resolve() / FOLDER
            )
            for write_part in PARTS:
                write_part(connection, publication)
        warnings = [*_switch(folder / CURRENT, run_folder), *_remove_replaced(folder, now)]
    return Published(run.customers, run_folder, tuple(warnings))


def _switch(link: Path, run_folder: Path) -> list[str]:
    """Point the link at the run; return warnings.

    Raises
    ------
    OSError
        If the link does not point at the run.
    """
    warnings: list[str] = []
    try:
        point_link(link, run_folder)
    except OSError as error:
        if link.resolve() != run_folder.resolve():
            raise
        what = "the disk has not confirmed the new link, which may be lost if the machine stops"
        warnings.append(_warning(what, error, link, "check the disk, then publish again"))
    return warnings


def _warning(what: str, error: Exception, where: Path, remedy: str) -> str:
    """Return words for a failure after the switch."""
    said = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
    return f"the run is published, but {what}: {said}\n    where: {where}\n    next: {remedy}"


@contextmanager
def one_publisher(folder: Path) -> Iterator[None]:
    """Hold the lock of what is published, after removing what a killed publishing has left.

    Raises
    ------
    BayesPilotError
        If another process holds the lock for longer than a minute.
    OSError
        If files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with wait_for_lock(folder / LOCK, WAIT_SECONDS, "another command is writing the published copy"):
        _remove_leftovers(folder)
        yield


@contextmanager
def _worded(source: str, folder: Path) -> Iterator[None]:
    """Turn errors of the file system into words."""
    try:
        yield
    except OSError as error:
        raise _not_written(
            source, error.strerror or str(error), error.filename or folder, error.errno
        ) from error
    except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
        said = next(iter(str(error).splitlines()), "")  # the cause may stand in a later line
        is_full = "No space left" in str(error)
        raise _not_written(source, said, folder, errno.ENOSPC if is_full else None) from error


def _not_written(source: str, said: str, where: object, code: int | None) -> BayesPilotError:
    what, remedy = {
        **DISK_FAULTS,
        errno.EACCES: ("the folder cannot be written", "let this account write there"),
        errno.EPERM: ("the folder cannot be written", "let this account write there"),
        errno.EEXIST: ("a file stands where a folder is needed", "move it away"),
        errno.ENOTDIR: ("a file stands where a folder is needed", "move it away"),
        errno.EISDIR: ("a folder stands where the link to the published run is needed", "move it away"),
    }.get(code or 0, (f"a file cannot be written: {said}", "correct this"))
    return BayesPilotError(
        f"{what}; nothing is published, the earlier copy stays as it is",
        where=str(where),
        next_step=f"{remedy}, then bayespilot publish --source {source}",
    )


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process had not switched; the lock says that no other process is at work."""
    for place in (folder, folder / RUNS, folder / FOLDER):
        for left in place.glob(".*"):
            if ASIDE.fullmatch(left.name):
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _remove_replaced(folder: Path, now: datetime) -> list[str]:
    """Remove the runs whose successor has been published for longer than runs are kept, and nights of no other run.

    Returns warnings: readers see the new run by now, whatever cannot be removed.
    """
    warnings: list[str] = []
    current = (folder / CURRENT).resolve()
    with _kept_as_warning(warnings, folder / RUNS):
        runs = sorted(path.resolve() for path in (folder / RUNS).iterdir() if RUN_ID.fullmatch(path.name))
        for run, successor in itertools.pairwise(runs):
            if now - _published_at(successor) > KEPT_AFTER_REPLACEMENT and run != current:
                with _kept_as_warning(warnings, run):
                    shutil.rmtree(run)
    with _kept_as_warning(warnings, folder / FOLDER):
        remove_unnamed(folder / FOLDER, folder.glob(f"{RUNS}/*/{DATABASE}"))
    return warnings


@contextmanager
def _kept_as_warning(warnings: list[str], place: Path) -> Iterator[None]:
    """Turn an error of removing what no reader needs any more into a warning."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the run is published, whatever it is
        what = "files that no reader needs any more could not be removed"
        remedy = "let this account delete there; the next publishing tries again"
        warnings.append(_warning(what, error, place, remedy))


def _published_at(run: Path) -> datetime:
    return datetime.strptime(run.name.partition("-")[0], RUN_TIME)
