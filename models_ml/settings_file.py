"""Reading of settings files (TOML) into pydantic models that refuse unknown names and wrong types."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from models_ml.errors import BayesPilotError

Settings = TypeVar("Settings")
Share = Annotated[float, Field(ge=0, le=1)]  # or a probability
PositiveShare = Annotated[float, Field(gt=0, le=1)]

# Of another type only whole numbers are accepted, where a float is expected.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises
    ------
    BayesPilotError
        If it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BayesPilotError(
            f"the settings are not valid TOML: {error}", where=str(path), next_step=f"correct {path.name}"
        ) from error


def check_settings(kind: type[Settings], content: dict[str, Any], path: Path) -> Settings:
    """Return the content as a model of ``kind``; its dataclasses have the configuration `STRICT`.

    Raises
    ------
    BayesPilotError
        If a setting is missing, unknown, of another type or out of bounds, with the file and its key.
    """
    try:  # as JSON, where arrays are tuples and objects are models even if types are strict
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise BayesPilotError(
            "settings are missing, unknown or wrong",
            where=str(path),
            values=sorted(_in_words(dict(problem)) for problem in error.errors()),
            next_step=f"correct {path.name}; its comments give the meaning of each setting",
        ) from error


def _in_words(problem: dict[str, Any]) -> str:
    """Return a problem as "section.key is missing", or with the value and what it should be."""
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{name} is missing"
    if problem["type"] == "unexpected_keyword_argument":
        return f"{name} is unknown"
    return f"{name} = {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
