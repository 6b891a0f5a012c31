"""The service itself: one published run at a time, the promises made since, and the log of decisions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from copy import copy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from models_ml.errors import BayesPilotError, naming_source
from models_ml.paths import CURRENT
from models_ml.serving.deciding import decide_now
from models_ml.serving.decision_log import DecisionLog, restored_promises
from models_ml.serving.faults import place_of, worded
from models_ml.serving.payload import Payload
from models_ml.serving.promises import Promises
from models_ml.serving.published_run import PublishedRun, read_published_run
from models_ml.serving.snapshot import CUSTOMERS, SNAPSHOT

LOG = logging.getLogger("bayespilot.serve")
SCHEMAS = "#/components/schemas/"
TRY_AGAIN_SECONDS = 10.0  # reading a run takes the processor from answers


class Service:
    """Answers by the last published run; picks up the next one between two requests.

    Parameters
    ----------
    published : Path
        Folder of the source's published copies; its link ``current`` names the run.
    source : str
    log : DecisionLog
        Opened; closed by `close`.

    Raises
    ------
    BayesPilotError
        If no run is published, or it holds nothing for the service.
    """

    def __init__(self, published: Path, source: str, log: DecisionLog) -> None:
        self._published, self._source, self.log = published, source, log
        self._lock = threading.Lock()
        self._began = datetime.now(UTC)
        self._refused: str | None = None
        self._failed: str | None = None
        self._try_again_at = 0.0
        self._fault: str | None = None
        self._failed_steps: dict[str, str] = {}
        folder, stamp = current_run(self._published, self._source)
        self._stamp = stamp
        run = read_published_run(folder, source)
        self._promises = Promises(restored_promises(log, run.inputs.policy.horizon_days, run.as_of_date))
        self._take_up(run)

    def _take_up(self, run: PublishedRun) -> None:
        """Answer by a run; where that fails, the earlier one goes on answering, its promises as they were."""
        payload, promises = Payload(run.columns, _examples(run)), copy(self._promises)
        promises.begin_run(run.limits, run.offer_names, run.as_of_date, run.counted)
        self._run, self._payload, self._promises = run, payload, promises

    def read_next_run(self) -> tuple[PublishedRun, str] | None:
        """Read and prepare a run that has been published since; None where there is none or it cannot be read.

        A run that cannot be read is reported by `health`, and the earlier one goes on answering. What is wrong with the
        run itself stays wrong; after any other failure, such as one of the disk, it is read again.
        """
        stamp = None
        try:
            folder, stamp = current_run(self._published, self._source)
            if stamp == self._stamp:
                self._fault = self._refused = self._failed = (
                    None  # what could not be read is published no longer
                )
                return None
            if stamp == self._refused or (stamp == self._failed and time.monotonic() < self._try_again_at):
                return None
            return read_published_run(folder, self._source), stamp
        except Exception as error:  # noqa: BLE001 - the earlier run goes on answering, whatever it is
            self._keep_fault(error, stamp)
            return None

    def switch(self, prepared: tuple[PublishedRun, str]) -> None:
        """Answer by another run from now on; where that fails, `health` says so and the earlier run answers."""
        run, stamp = prepared
        try:
            with self._lock:
                self._take_up(run)
                self._stamp, self._fault, self._refused = stamp, None, None
        except Exception as error:  # noqa: BLE001 - as above
            self._keep_fault(error, stamp)
            return
        LOG.info("answering by run %s", run.run_id)

    def _keep_fault(self, error: Exception, stamp: str | None) -> None:
        words = naming_source(worded(error), self._source)
        fault = f"the next published run was not picked up: {words}"
        if fault != self._fault:
            LOG.error("%s (%s)", fault, place_of(error))
        self._fault = fault
        if isinstance(error, BayesPilotError):
            self._refused = stamp
        else:
            self._failed, self._try_again_at = stamp, time.monotonic() + TRY_AGAIN_SECONDS

    def note(self, step: str, error: Exception | None) -> None:
        """Keep for `health` that a step of the work between requests failed; None where it did not."""
        if error is None:
            self._failed_steps.pop(step, None)
            return
        fault = f"{step.replace('_', ' ')}: {worded(error)}"
        if fault != self._failed_steps.get(step):
            LOG.error("%s (%s)", fault, place_of(error))
        self._failed_steps[step] = fault

    def decide(self, body: bytes, began: float) -> tuple[list[dict[str, Any]], bool]:
        """Answer a request and log each decision; ``began`` is when it came, of `time.perf_counter`.

        Raises
        ------
        PayloadError
            If a field is wrong.
        """
        with self._lock:
            run, payload = self._run, self._payload
            asked, is_list = payload.read(body)
            answered = decide_now(run, self._promises, asked)
            milliseconds = (time.perf_counter() - began) * 1e3
            self.log.add(run, asked, answered, milliseconds)
            return [_plain(one.answer) for one in answered], is_list

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """Return the published decision on a customer, and the one made since if there is one."""
        with self._lock:
            known = self._run.snapshot.facts([customer_id]).get(customer_id)
            if known is None:
                return None
            promise = self._promises.find(customer_id)
            since = _plain(promise.decision) if promise is not None else None
            return {**known["nightly"], "run_id": self._run.run_id, "decided_since": since}

    def health(self) -> dict[str, Any]:
        """Return whether all is well, and what is not."""
        log = self.log.state()
        faults = [fault for fault in (self._fault, log["fault"], *self._failed_steps.values()) if fault]
        return {
            "status": "degraded" if faults else "ok",
            "faults": faults,
            "run_id": self._run.run_id,
            "as_of_date": self._run.as_of_date.isoformat(),
            "started_at": self._began.isoformat(timespec="seconds"),
            "log": log,
        }

    def described(self) -> dict[str, Any]:
        """Return what decides, and what is left."""
        with self._lock:
            run, limits = self._run, self._promises.limits
            return {
                "run_id": run.run_id,
                "source": run.source,
                "as_of_date": run.as_of_date.isoformat(),
                "published_at": run.published_at,
                "pipeline_version": run.pipeline_version,
                "candidate": run.record.candidate,
                "trained_at": run.record.trained_at,
                "calibration_method": run.record.calibration_method,
                "calibration_warning": run.record.calibration_warning,
                "churn_definition": run.record.churn_definition,
                "horizon_days": run.record.horizon_days,
                "policy_version": run.policy_version,
                "currency": run.inputs.policy.currency,
                "price_of_budget": run.prices.money,
                "price_of_a_contact": dict(
                    zip(run.offer_names, (run.prices.capacity / 100).tolist(), strict=True)
                ),
                "touch_price": run.inputs.policy.touch_price,
                "left": {
                    "budget": limits.budget / 100,
                    "offers": dict(zip(run.offer_names, limits.offer_capacity.tolist(), strict=True)),
                    "channels": dict(limits.channel_capacity),
                },
                "open_promises": self._promises.number,
                "features": [
                    {"name": one.name, "type": one.data_type, "unit": one.unit} for one in run.columns
                ],
            }

    def with_schemas(self, openapi: dict[str, Any]) -> dict[str, Any]:
        """Return the description of the interface with the types of the run's features."""
        schema = self._payload.customer.model_json_schema(ref_template=SCHEMAS + "{model}")
        defined = schema.pop("$defs")
        components = openapi.setdefault("components", {}).setdefault("schemas", {})
        components |= {"Customer": schema, **defined}
        one = {"$ref": f"{SCHEMAS}Customer"}
        openapi["paths"]["/decisions"]["post"]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": [one, {"type": "array", "items": one}]}}},
        }
        return openapi

    def close(self) -> None:
        """Write what is left of the log."""
        self.log.close()


def current_run(published: Path, source: str) -> tuple[Path, str]:
    """Return the folder of the run that is published now, the link resolved once, and what changes with its content.

    Raises
    ------
    BayesPilotError
        If nothing is published.
    """
    link = published / CURRENT
    if not link.exists():
        raise BayesPilotError(
            "nothing is published for the service",
            where=str(link),
            next_step=f"bayespilot run --source {source}",
        )
    folder = link.resolve()
    customers = folder / SNAPSHOT / CUSTOMERS  # which an erasure writes anew
    written = customers.stat().st_mtime_ns if customers.is_file() else 0
    return folder, f"{folder.name}/{written}"


def _examples(run: PublishedRun) -> dict[str, Any]:
    """Return a value of each feature that customers have: the median, or the first known category."""
    medians = {
        row["feature"]: row["population_median"]
        for row in run.snapshot.tables["int_feature_population"].to_pylist()
    }
    found: dict[str, Any] = {}
    for column in run.columns:
        median = medians.get(column.name)
        if column.categories:
            found[column.name] = column.categories[0]
        elif column.data_type == "BOOLEAN":
            found[column.name] = False
        elif median is not None:
            found[column.name] = median if column.data_type == "DOUBLE" else round(median)
    return found


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer with days as ISO text."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in answer.items()}
