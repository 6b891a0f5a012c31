"""Logs of one JSON object a line: appended whole, read with the broken line named."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models_ml.errors import BayesPilotError


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append the rows: the whole log is written aside and renamed, so a crash leaves no half line."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(earlier + lines, encoding="utf-8")
    aside.replace(path)


def read_lines(path: Path, log: str, needed: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows in order; none where there is no file.

    Parameters
    ----------
    log : str
        What the file is called in an error.
    needed : sequence of str
        Entries that every line must have.

    Raises
    ------
    BayesPilotError
        If a line is not a JSON object, or lacks a needed entry.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise _broken(f"a line of {log} is not JSON ({error})", path, number, []) from error
        missing = [name for name in needed if name not in row] if isinstance(row, dict) else list(needed)
        if missing or not isinstance(row, dict):
            raise _broken(f"a line of {log} lacks entries", path, number, missing)
        rows.append(row)
    return rows


def _broken(what: str, path: Path, number: int, values: list[str]) -> BayesPilotError:
    return BayesPilotError(
        what,
        where=f"{path}, line {number}",
        values=values,
        next_step="remove the broken line and run again",
    )
