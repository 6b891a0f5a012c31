"""The log of deployments: one JSON line per event, from which a rollback knows where to return.

What is deployed stands in ``deployed_pipeline.json`` alone; the log says how it came about. Events: a training
that deploys where nothing competes ("deployed"), one whose winner beats the champion or a promotion by hand
("promoted"), one whose winner does not ("kept"), and "rolled_back".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from models_ml.deployment.challenge import Outcome, Selection
from models_ml.deployment.json_lines import append_lines, read_lines
from models_ml.paths import artifacts_folder
from models_ml.training.context import read_run, run_is_empty

LOG_FILE = "deployments.jsonl"
DIGITS = 9
Event = Literal["deployed", "promoted", "kept", "rolled_back"]
EVENT_OF: dict[Outcome, Event] = {
    "first": "deployed",
    "forced": "deployed",
    "promoted": "promoted",
    "kept": "kept",
}

DEPLOYMENTS_SCHEMA = pa.schema(
    [
        ("event_number", pa.int32()),
        ("happened_at", pa.timestamp("us")),
        ("event", pa.string()),
        ("training_run", pa.int32()),
        ("pipeline_version", pa.string()),
        ("previous_version", pa.string()),
        ("deployed_version", pa.string()),
        ("probability_better", pa.float64()),
        ("failed_guardrails", pa.string()),
        ("guardrails", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class DeploymentEvent:
    """One line: ``pipeline_version`` is what the event is about, ``deployed_version`` what is deployed after it."""

    happened_at: str
    event: Event
    training_run: int | None
    pipeline_version: str
    previous_version: str | None
    deployed_version: str
    probability_better: float | None
    guardrails: list[dict[str, Any]]
    reason: str


_ENTRIES = tuple(DeploymentEvent.__dataclass_fields__)


def event_of_training(selection: Selection, training_run: int) -> DeploymentEvent:
    """Return the event that a training's selection is."""
    kept = selection.outcome == "kept"
    better = selection.probability_better
    return DeploymentEvent(
        happened_at=now(),
        event=EVENT_OF[selection.outcome],
        training_run=training_run,
        pipeline_version=selection.version,
        previous_version=selection.champion_version,
        deployed_version=str(selection.champion_version) if kept else selection.version,
        probability_better=None if better is None else round(better, DIGITS),
        guardrails=[asdict(guardrail) for guardrail in selection.guardrails],
        reason=selection.reason,
    )


def event_by_hand(event: Event, version: str, previous: str | None, reason: str) -> DeploymentEvent:
    """Return the event of a promotion or rollback that a person asked for."""
    return DeploymentEvent(now(), event, None, version, previous, version, None, [], reason)


def now() -> str:
    """Return the time in UTC as ISO text without offset."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def append_event(folder: Path, event: DeploymentEvent) -> None:
    """Append one event."""
    append_lines(folder / LOG_FILE, [asdict(event)])


def read_events(folder: Path) -> list[DeploymentEvent]:
    """Return all events in order.

    Raises
    ------
    BayesPilotError
        If a line is damaged, by its number.
    """
    rows = read_lines(folder / LOG_FILE, "the log of deployments", _ENTRIES)
    return [DeploymentEvent(**{name: row[name] for name in _ENTRIES}) for row in rows]


def deployed_before(events: Sequence[DeploymentEvent], deployed: str | None) -> str | None:
    """Return the version that a rollback returns to, or None.

    A rollback undoes a deployment: rolling back twice goes back twice, never forth again. ``deployed`` is what
    is deployed by its record, which counts where a crash has kept its line out of the log.

    Examples
    --------
    >>> def event(kind, version, deployed):
    ...     return DeploymentEvent("", kind, None, version, None, deployed, None, [], "")
    >>> log = [event("deployed", "a", "a"), event("promoted", "b", "b"), event("kept", "x", "b")]
    >>> log.append(event("promoted", "c", "c"))
    >>> deployed_before(log, "c")
    'b'
    >>> deployed_before([*log, event("rolled_back", "b", "b")], "b")
    'a'
    >>> deployed_before(log, "d")
    'c'
    """
    stack: list[str] = []
    for event in events:
        if event.event == "rolled_back" and event.deployed_version in stack:
            while stack[-1] != event.deployed_version:
                stack.pop()
        elif not stack or stack[-1] != event.deployed_version:
            stack.append(event.deployed_version)
    if deployed and (not stack or stack[-1] != deployed):
        stack.append(deployed)
    return stack[-2] if len(stack) > 1 else None


def logged_deployments(cursor: Any, int_run: str) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Return the log of the run's source; empty where the run is empty."""
    if run_is_empty(cursor, int_run):
        return DEPLOYMENTS_SCHEMA.empty_table()
    return deployments_table(artifacts_folder(read_run(cursor, int_run)["source"]))


def deployments_table(folder: Path) -> pa.Table:
    """Return the whole log as the table ``pipeline_deployments``; typed and empty before the first training."""
    rows = [
        vars(event)
        | {
            "event_number": number,
            "happened_at": datetime.fromisoformat(event.happened_at),
            "failed_guardrails": failed_names(event.guardrails),
            "guardrails": json.dumps(event.guardrails),
        }
        for number, event in enumerate(read_events(folder), start=1)
    ]
    return pa.Table.from_pylist(rows, schema=DEPLOYMENTS_SCHEMA)


def failed_names(guardrails: Sequence[dict[str, Any]]) -> str | None:
    """Return the names of the guardrails that do not hold, or None."""
    return ", ".join(str(rail["name"]) for rail in guardrails if not rail["passes"]) or None
