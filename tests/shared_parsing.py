"""What dbt has parsed of one copy of the project, put where it spares the next copy the parsing.

dbt keeps what it has parsed and reads only changed files again, unless variables, connection or place differ. Copies
that run with the same variables, and name their warehouse relative to their folder, differ in the place alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack

PARSED = Path("target") / "partial_parse.msgpack"


def moved(value: Any, places: Mapping[str, str]) -> Any:
    """Return parsed content with other places.

    Examples
    --------
    >>> moved({"root": "/a", "files": ["'/a/b.sql'", "/another"]}, {"/a": "/c"})
    {'root': '/c', 'files': ["'/c/b.sql'", '/another']}
    """
    longest_first = sorted(places, key=len, reverse=True)
    known = re.compile(f"({'|'.join(map(re.escape, longest_first))})(?=/|$)")

    def in_new_place(part: Any) -> Any:
        if isinstance(part, str):
            return known.sub(lambda found: places[found[1]], part) if "/" in part else part
        if isinstance(part, dict):
            return {key: in_new_place(each) for key, each in part.items()}
        return [in_new_place(each) for each in part] if isinstance(part, list) else part

    return in_new_place(value)


class SharedParsing:
    """Parsings by dbt's variables and target, in a folder that all processes of a session share."""

    def __init__(self) -> None:
        self.folder: Path | None = None  # nothing is shared before it is set
        self._last: dict[Path, tuple[Path, Path]] = {}

    def offer(self, project: Path, raw_data: Path, arguments: Sequence[str]) -> None:
        """Put the parsing for these arguments into a project whose own is for others; dbt decides what of it holds."""
        if self.folder is None:
            return
        kept = self._kept(self.folder, arguments)
        if self._last.get(project) != (kept, raw_data) and kept.is_file():
            there, content = msgpack.unpackb(kept.read_bytes())
            places = dict(zip(there, [str(project), str(raw_data)], strict=True))
            target = project / PARSED
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(msgpack.packb(moved(msgpack.unpackb(content, strict_map_key=False), places)))
        self._last[project] = (kept, raw_data)

    def keep(self, project: Path, raw_data: Path, arguments: Sequence[str]) -> None:
        """Keep the parsing of a project, if it is the first for its variables."""
        if self.folder is None:
            return
        kept = self._kept(self.folder, arguments)
        if kept.is_file() or not (project / PARSED).is_file():
            return
        self.folder.mkdir(exist_ok=True)
        aside = kept.with_suffix(f".{os.getpid()}")
        aside.write_bytes(msgpack.packb([[str(project), str(raw_data)], (project / PARSED).read_bytes()]))
        aside.replace(kept)

    @staticmethod
    def _kept(folder: Path, arguments: Sequence[str]) -> Path:
        given = [value for option, value in pairwise(arguments) if option in ("--vars", "--target")]
        name = hashlib.sha256(str(given).encode()).hexdigest()
        return folder / f"{name}.msgpack"
