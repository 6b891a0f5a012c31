"""Champion and challenger: whether the winner of a training takes over from what is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["first", "promoted", "kept", "forced"]


@dataclass(frozen=True)
class Guardrail:
    """One measure that a challenger must hold, its bounds (None: open on that side) and whether it does."""

    name: str
    value: float
    low: float | None
    high: float | None
    passes: bool
    note: str


@dataclass(frozen=True)
class Selection:
    """What became of a training's winner, and why.

    ``outcome`` is "first" (nothing was deployed), "promoted" (better than the champion), "kept" (registered,
    the champion stays) or "forced" (the champion cannot compete any more). ``probability_better`` is the
    share of paired bootstraps in which the winner's judged profit exceeds the champion's, None where there
    was nothing to compare with.
    """

    version: str
    outcome: Outcome
    reason: str
    champion_version: str | None
    probability_better: float | None
    guardrails: tuple[Guardrail, ...]
