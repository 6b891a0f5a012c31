"""Locks between processes: held until a block ends, and released by the operating system when a process is killed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models_ml.errors import BayesPilotError

POLL_SECONDS = 0.1


@contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Yield whether the lock was free and is held now; its file is removed at the end.

    The folder of the file must exist.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
            yield False  # the earlier holder has removed this file: a lock on it excludes nobody
            return
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield True
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def wait_for_lock(path: Path, seconds: float, taken: str) -> Iterator[None]:
    """Hold a lock, after waiting for its present holder.

    Parameters
    ----------
    path : Path
        File of the lock, in a folder that exists.
    seconds : float
        How long to wait.
    taken : str
        What is wrong when the lock stays taken, as the first line of the error.

    Raises
    ------
    BayesPilotError
        If another process holds the lock for longer.
    """
    until = time.monotonic() + seconds
    while True:
        with lock_if_free(path) as is_ours:
            if is_ours:
                yield
                return
        if time.monotonic() > until:
            raise BayesPilotError(
                taken,
                where=str(path.parent),
                values=[_holder(path)],
                next_step="wait until it has ended, then run this again",
            )
        time.sleep(POLL_SECONDS)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return "a process that has just ended"
