"""Files that other processes read and write: seen whole or not at all, and changed by one process at a time.

What is written is written aside, flushed to disk, then renamed. A lock is held until a block ends, and released by the
operating system when a process is killed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models_ml.errors import BayesPilotError

READ_ONLY = 0o444

POLL_SECONDS = 0.1


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file aside and rename it to ``path``; after a crash the earlier content stands whole.

    The folder is created where it does not exist.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = name_aside(path)
    try:
        aside.write_bytes(content)
        _switch(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def file_aside(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write; it is renamed to ``path``, with the permissions of the earlier file.

    Where the block fails, ``path`` stays as it was.
    """
    aside = name_aside(path)
    aside.unlink(missing_ok=True)
    try:
        yield aside
        if path.exists():
            shutil.copymode(path, aside)
        _switch(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def files_aside(folder: Path, *, last: str = "") -> Iterator[Path]:
    """Yield an empty folder; what the block writes into it is renamed into ``folder`` when the block ends.

    Each file is switched whole, in order of its name. Where the block fails, ``folder`` stays as it was.

    Parameters
    ----------
    folder : Path
        Receives the files; created where it does not exist.
    last : str, optional
        File that is switched after all others, such as the record that vouches for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".aside.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for written in sorted(aside.iterdir(), key=lambda file: (file.name == last, file.name)):
            _switch(written, folder / written.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def read_only_folder_aside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it is renamed to ``folder``, its files read-only, when the block ends.

    Where the block fails or the process is killed, ``folder`` does not exist, and what was written stands beside it
    under the name that `name_aside` gives.

    Raises
    ------
    OSError
        If ``folder`` exists and is not empty, or a file cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = name_aside(folder)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for written in sorted(aside.rglob("*"), reverse=True):  # what a folder holds, before the folder
            if written.is_file():
                written.chmod(READ_ONLY)
            _flush(written)
        _switch(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def point_link(link: Path, target: Path) -> None:
    """Have a symbolic link point at ``target``, which lies below the link's folder: at once for all readers.

    Raises
    ------
    OSError
        If a folder stands in the link's place, or the file system has no symbolic links.
    """
    aside = name_aside(link)
    aside.unlink(missing_ok=True)
    try:
        aside.symlink_to(target.relative_to(link.parent))
        aside.replace(link)
        _flush(link.parent)
    finally:
        aside.unlink(missing_ok=True)


def name_aside(path: Path) -> Path:
    """Return the name under which this process writes what will be renamed to ``path``.

    It begins with a full stop and ends with the number of the process.
    """
    return path.with_name(f".{path.name}.{os.getpid()}")


def _switch(aside: Path, path: Path) -> None:
    """Rename a file once its content is on disk, and see to it that the new name is on disk too."""
    _flush(aside)
    aside.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
