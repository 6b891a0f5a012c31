"""Files that a reader sees whole or not at all: written aside, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ_ONLY = 0o444


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
