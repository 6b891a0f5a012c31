"""The files of the service's log that others work with, and the lock that keeps one writer at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models_ml.errors import BayesPilotError

JOURNAL = "journal.jsonl"
LOCK = "lock"


def hold_log(folder: Path) -> int:
    """Hold the folder against other services and erasures; return the descriptor to close.

    Raises
    ------
    BayesPilotError
        If it is held.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BayesPilotError(
            "a service is running that writes this log of decisions",
            where=str(folder),
            next_step="stop it (SIGTERM), then run this again",
        ) from error
    return descriptor


@contextmanager
def log_held(folder: Path) -> Iterator[None]:
    """Keep services from writing the log while the block runs; nothing to do where there is none.

    Raises
    ------
    BayesPilotError
        If a service is running.
    """
    if not folder.is_dir():
        yield
        return
    descriptor = hold_log(folder)
    try:
        yield
    finally:
        os.close(descriptor)
