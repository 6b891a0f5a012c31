"""What dbt has parsed of one copy of the project, put where it spares the next copy the parsing.

dbt keeps what it has parsed and reads only changed files again, unless variables, connection or place differ. Copies
that name their warehouse relative to their folder differ in the place and in variables alone. Of the variables, only
``PARSED_VARIABLES`` change what is parsed (test_one_direction.py checks it); the others are read when SQL is compiled.
"""

from __future__ import annotations

import hashlib
import os
import pprint
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import yaml
from dbt.version import __version__

PARSED = Path("target") / "partial_parse.msgpack"
PARSED_VARIABLES = ("source", "history_from")


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


def variables_and_target(arguments: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return the variables and the target that a command of dbt names."""
    given = {option: value for option, value in pairwise(arguments) if option in ("--vars", "--target")}
    return yaml.safe_load(given.get("--vars", "{}")), given.get("--target", "")


def checksum(arguments: Sequence[str]) -> str:
    """Return the hash by which dbt compares variables and target with those of an earlier parsing."""
    variables, target = variables_and_target(arguments)
    compared = (pprint.pformat(variables), "", target, __version__)  # the second is a profile of another name
    return hashlib.sha256("\x00".join(compared).encode()).hexdigest()


class SharedParsing:
    """Parsings by parsed variables and target, in a folder that all processes of a session share."""

    def __init__(self) -> None:
        self.folder: Path | None = None  # nothing is shared before it is set
        self._last: dict[Path, tuple[str, Path]] = {}

    def offer(self, project: Path, raw_data: Path, arguments: Sequence[str]) -> None:
        """Put the parsing for these arguments into a project whose own is for others; dbt decides what of it holds."""
        if self.folder is None:
            return
        kept, wanted = self._kept(self.folder, arguments), (checksum(arguments), raw_data)
        if self._last.get(project) != wanted and kept.is_file():
            there, content = msgpack.unpackb(kept.read_bytes())
            places = dict(zip(there, [str(project), str(raw_data)], strict=True))
            parsed = moved(msgpack.unpackb(content, strict_map_key=False), places)
            parsed["state_check"]["vars_hash"]["checksum"] = checksum(arguments)
            target = project / PARSED
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(msgpack.packb(parsed))
        self._last[project] = wanted

    def keep(self, project: Path, raw_data: Path, arguments: Sequence[str]) -> None:
        """Keep the parsing of a project, if it is the first for its parsed variables."""
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
        variables, target = variables_and_target(arguments)
        parsed = {name: variables[name] for name in PARSED_VARIABLES if name in variables}
        name = hashlib.sha256(str((parsed, target)).encode()).hexdigest()
        return folder / f"{name}.msgpack"
