"""The two logs of a source's pipelines, JSON lines beside the deployed files, and the tables that show them.

``pipeline_candidates.jsonl`` holds every candidate of every training as it was judged. ``deployments.jsonl`` holds
one line per event, from which a rollback finds the version to return to: a training that deploys where nothing
competes ("deployed"), one whose winner replaces the champion or a promotion by hand ("promoted"), one whose winner
does not ("kept"), and "rolled_back".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from models_ml.deployment.challenge import Outcome, Selection
from models_ml.errors import BayesPilotError
from models_ml.files import write_text
from models_ml.paths import artifacts_folder
from models_ml.training.context import read_run, run_is_empty
from models_ml.training.stage import TrainingResult

CANDIDATE_LOG, DEPLOYMENT_LOG = "pipeline_candidates.jsonl", "deployments.jsonl"
DIGITS, CENTS = 9, 2

Event = Literal["deployed", "promoted", "kept", "rolled_back"]
EVENT_OF: dict[Outcome, Event] = {
    "first": "deployed",
    "forced": "deployed",
    "promoted": "promoted",
    "kept": "kept",
}

METRICS = (
    "auc",
    "announced_churn_share",
    "auc_without_notice",
    "average_precision",
    "brier",
    "brier_reliability",
    "brier_resolution",
    "brier_uncertainty",
    "brier_within_bins",
    "mean_predicted",
    "mean_observed",
    "log_loss",
    "calibration_error",
    "calibration_ratio",
    "lift",
    "empc",
)

CANDIDATES_SCHEMA = pa.schema(
    [
        ("training_run", pa.int32()),
        ("candidate", pa.string()),
        ("pipeline_version", pa.string()),
        ("is_selected", pa.bool_()),
        ("selection_reason", pa.string()),
        ("outcome", pa.string()),
        ("champion_version", pa.string()),
        ("probability_better", pa.float64()),
        ("failed_guardrails", pa.string()),
        ("hyper_parameters", pa.string()),
        ("calibration_method", pa.string()),
        ("fit_from", pa.date32()),
        ("fit_to", pa.date32()),
        ("calibrated_on", pa.date32()),
        ("judged_on", pa.date32()),
        ("fit_rows", pa.int64()),
        ("calibration_rows", pa.int64()),
        ("judged_rows", pa.int64()),
        ("judged_churners", pa.int64()),
        ("judged_share", pa.float64()),
        ("planned_contacts", pa.int64()),
        ("planned_cost", pa.float64()),
        ("judged_profit", pa.float64()),
        ("judged_profit_standard_error", pa.float64()),
        ("profit_shortfall", pa.float64()),
        ("profit_shortfall_standard_error", pa.float64()),
        *((name, pa.float64()) for name in METRICS),
        ("calibration_tried", pa.string()),
        ("threshold_sweep", pa.string()),
    ]
)
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


def candidate_rows(
    result: TrainingResult, pipeline_version: str, selection: Selection | None = None
) -> list[dict[str, Any]]:
    """Return one row per judged candidate, in order of name.

    Parameters
    ----------
    pipeline_version : str
        Of the winner's refit.
    selection : Selection, optional
        Whether the winner is deployed; stands on its row alone.
    """
    shared = {"pipeline_version": pipeline_version} | _judged_rows(result)
    rows = []
    for name, verdict in sorted(result.verdicts.items()):
        profit, is_selected = verdict.profit, name == result.chosen
        rows.append(
            shared
            | {
                "candidate": name,
                "is_selected": is_selected,
                "selection_reason": result.reason if is_selected else None,
                "hyper_parameters": json.dumps(dict(result.recipes[name]), sort_keys=True),
                "calibration_method": result.judged.pipelines[name].calibrator.method,
                "planned_contacts": verdict.planned_contacts,
                "planned_cost": round(verdict.planned_cost, CENTS),
                "judged_profit": round(profit.profit, CENTS),
                "judged_profit_standard_error": round(profit.standard_error, CENTS),
                "profit_shortfall": round(profit.shortfall, CENTS),
                "profit_shortfall_standard_error": round(profit.shortfall_standard_error, CENTS),
            }
            | (_outcome(selection) if is_selected and selection else {})
            | {metric: finite(verdict.metrics.get(metric, math.nan)) for metric in METRICS}
            | {
                "calibration_tried": json.dumps(_rounded(result.diagnostics.candidates[name].calibration)),
                "threshold_sweep": json.dumps(_rounded(result.diagnostics.candidates[name].thresholds)),
            }
        )
    return rows


def _rounded(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: finite(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def _judged_rows(result: TrainingResult) -> dict[str, Any]:
    split = result.judged.split
    return {
        "fit_from": min(split.fit_on).isoformat(),
        "fit_to": max(split.fit_on).isoformat(),
        "calibrated_on": split.calibrated_on.isoformat(),
        "judged_on": split.judged_on.isoformat() if split.judged_on else None,
        "fit_rows": result.judged.fit_rows,
        "calibration_rows": result.judged.calibration_rows,
        "judged_rows": result.judged_rows,
        "judged_churners": result.judged_churners,
        "judged_share": round(result.judged_share, DIGITS),
    }


def _outcome(selection: Selection) -> dict[str, Any]:
    better = selection.probability_better
    return {
        "outcome": selection.outcome,
        "champion_version": selection.champion_version,
        "probability_better": None if better is None else round(better, DIGITS),
        "failed_guardrails": ", ".join(guardrail.name for guardrail in selection.failed) or None,
    }


def finite(value: float) -> float | None:
    """Round to the digits of outputs; None where the metric has no value."""
    return round(value, DIGITS) if math.isfinite(value) else None


def next_training_run(folder: Path) -> int:
    """Return the number of the next training, from 1."""
    return max((row["training_run"] for row in _read(folder)), default=0) + 1


def append_candidates(folder: Path, rows: list[dict[str, Any]], training_run: int) -> None:
    """Append the rows of one training."""
    append_lines(folder / CANDIDATE_LOG, [{"training_run": training_run} | row for row in rows])


def logged_candidates(cursor: Any, int_run: str) -> pa.Table:  # noqa: ANN401 - a DuckDB cursor
    """Return the log of the run's source; empty where the run is empty."""
    if run_is_empty(cursor, int_run):
        return CANDIDATES_SCHEMA.empty_table()
    return candidates_table(artifacts_folder(read_run(cursor, int_run)["source"]))


def candidates_table(folder: Path) -> pa.Table:
    """Return the whole log as the table ``pipeline_candidates``; typed and empty before the first training.

    Raises
    ------
    BayesPilotError
        If a line is not JSON.
    """
    rows = _read(folder)
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows]).cast(pa.string()).cast(field.type)
        if pa.types.is_date(field.type)
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in CANDIDATES_SCHEMA
    }
    return pa.table(columns, schema=CANDIDATES_SCHEMA)


def _read(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder / CANDIDATE_LOG, "the candidate log", ("training_run", "candidate"))


@dataclass(frozen=True)
class DeploymentEvent:
    """One line: ``pipeline_version`` is the subject of the event, ``deployed_version`` is deployed after it."""

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
    append_lines(folder / DEPLOYMENT_LOG, [asdict(event)])


def read_events(folder: Path) -> list[DeploymentEvent]:
    """Return all events in order.

    Raises
    ------
    BayesPilotError
        If a line is damaged, by its number.
    """
    rows = read_lines(folder / DEPLOYMENT_LOG, "the log of deployments", _ENTRIES)
    return [DeploymentEvent(**{name: row[name] for name in _ENTRIES}) for row in rows]


def deployed_before(events: Sequence[DeploymentEvent], deployed: str | None) -> str | None:
    """Return the version that a rollback returns to, or None.

    A rollback undoes a deployment: a second rollback goes one deployment further back, never forward. ``deployed``
    is the deployed version by its record, which counts where the log does not mention it.

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


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append the rows; the whole log is written anew, so that a crash leaves no half line."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, earlier + lines)


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
