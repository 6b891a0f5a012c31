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
    aside = path.with_name(f".{path.name}.{os.getpid()}")
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
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        yield aside
        if path.exists():
            shutil.copymode(path, aside)
        _switch(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def files_aside(folder: Path, *, last: str = "", read_only: bool = False) -> Iterator[Path]:
    """Yield an empty folder; what the block writes into it is renamed into ``folder`` when the block ends.

    Each file is switched whole, in order of its name. Where the block fails, ``folder`` stays as it was.

    Parameters
    ----------
    folder : Path
        Receives the files; created where it does not exist.
    last : str, optional
        File that is switched after all others, such as the record that vouches for them.
    read_only : bool, optional
        Whether the files lose their permission to be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".aside.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for written in sorted(aside.iterdir(), key=lambda file: (file.name == last, file.name)):
            if read_only:
                written.chmod(READ_ONLY)
            _switch(written, folder / written.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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
