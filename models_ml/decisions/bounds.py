"""Bounds of policy parameters and seed columns, read from the YAML files that dbt reads them from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from models_ml.errors import BayesPilotError

# The patterns of the macro text_patterns.
NAME = re.compile(r"[a-z][a-z0-9_]*")
TEXT = re.compile(r"(?s)[^\s\xA0](.*[^\s\xA0])?")
KINDS = {
    "name": "a name of lower-case letters, digits and underscores that begins with a letter",
    "true_or_false": "true or false",
    "integer": "a whole number",
    "number": "a finite number",
}
PARAMETERS_FOLDER = Path(__file__).parents[2] / "dbt_project" / "models" / "parameters"


@dataclass(frozen=True)
class Bounds:
    """What a value must be; ``int_policy_parameters.yml`` explains the fields, None does not bound.

    ``type`` is what the text of a seed must stand for: a key of `KINDS`, None for any text.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    also: float | None = None
    one_of: tuple[str, ...] | None = None
    length: int | None = None
    less_than: str | None = None
    required: bool | None = None
    optional: bool | None = None
    type: str | None = None

    def admits_number(self, value: float) -> bool:
        """Tell whether a number lies within the bounds; infinities and NaN never do.

        Examples
        --------
        >>> share = Bounds(also=0, minimum=0.05, maximum=0.95)
        >>> [share.admits_number(value) for value in (0, 0.01, 0.05, 0.95, 1)]
        [True, False, True, True, False]
        """
        if not math.isfinite(value):
            return False
        if self.also is not None and value == self.also:
            return True
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def admits_text(self, value: str) -> bool:
        """Tell whether a text lies within the bounds.

        Examples
        --------
        >>> Bounds(length=3).admits_text("EUR"), Bounds(one_of=("none", "linear")).admits_text("fast")
        (True, False)
        >>> Bounds(required=True).admits_text(" "), Bounds(type="name").admits_text("Call me")
        (False, False)
        """
        return (
            (self.one_of is None or value in self.one_of)
            and (self.length is None or len(value) == self.length)
            and (not self.required or TEXT.fullmatch(value) is not None)
            and (self.type != "name" or NAME.fullmatch(value) is not None)
        )

    def words(self) -> str:
        """Return the bounds in words, as what a value must be.

        Examples
        --------
        >>> Bounds(also=0, minimum=0.05, maximum=0.95).words()
        '0, or at least 0.05 and at most 0.95'
        """
        parts = [
            ("one of {}", self.one_of and ", ".join(self.one_of)),
            ("{} letters", self.length),
            ("a text without blanks at its ends", self.required),
            (KINDS.get(self.type or ""), self.type),
            ("at least {:g}", self.minimum),
            ("at most {:g}", self.maximum),
            ("greater than {:g}", self.above),
            ("less than {:g}", self.below),
        ]
        bounded = " and ".join(text.format(value) for text, value in parts if text and value is not None)
        bounded = f"empty, or {bounded}" if self.optional else bounded
        return bounded if self.also is None else f"{self.also:g}, or {bounded}"


@cache
def policy_bounds() -> Mapping[str, Bounds]:
    """Return the bounds of each policy parameter, in the order of ``int_policy_parameters``."""
    return _declared("int_policy_parameters.yml", "models", "int_policy_parameters")


@cache
def seed_bounds(seed: str) -> Mapping[str, Bounds]:
    """Return the bounds of each column of a seed; a column without bounds admits every value."""
    return _declared("seeds.yml", "seeds", seed)


def _declared(file: str, kind: str, name: str) -> dict[str, Bounds]:
    path = PARAMETERS_FOLDER / file
    try:
        nodes = yaml.safe_load(path.read_text(encoding="utf-8"))[kind]
        columns = next(node["columns"] for node in nodes if node["name"] == name)
        return {column["name"]: _bounds(column.get("config", {}).get("meta", {})) for column in columns}
    except (OSError, KeyError, StopIteration, TypeError) as error:
        raise BayesPilotError(
            f"the bounds of {name} cannot be read: {error!r}",
            where=str(path),
            next_step="restore the file, or correct the meta of its columns",
        ) from error


def _bounds(meta: Mapping[str, Any]) -> Bounds:
    choices = meta.get("one_of")
    return Bounds(**{**meta, "one_of": None if choices is None else tuple(choices)})
