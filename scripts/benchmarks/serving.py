"""Latency, throughput and memory of `bayespilot serve`, one worker, asked by one client over HTTP."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from serving_study import Caller, ServedCopy, bodies_of

from models_ml.deployment.deployed import read_record, write_deployment
from models_ml.errors import BayesPilotError

WARM_UP = 200
LISTED = 1_000
MEMORY_EVERY = 5_000  # requests


@dataclass(frozen=True)
class ServingMeasures:
    """What a client saw: milliseconds per request for one customer, and customers a second in lists of 1,000.

    ``resident_mb`` holds the resident memory of the service in megabytes by number of requests: after warming up, every
    `MEMORY_EVERY` requests and after the last one; ``lists_mb`` is that after the lists. ``cpu_ms`` and
    ``client_cpu_ms`` are CPU time per request for one customer, of the service and of the client that asks it.
    """

    milliseconds: Sequence[float]
    seconds: float
    cpu_ms: float
    client_cpu_ms: float
    customers_a_second: float
    resident_mb: Mapping[int, float]
    lists_mb: float

    def quantile(self, share: float) -> float:
        """Return the latency that a share (0 to 1) of the requests did not exceed."""
        return float(np.quantile(self.milliseconds, share))


def measure_serving(
    folder: Path,
    run: Path,
    candidates: Path,
    warehouse: Path,
    *,
    candidate: str,
    requests: int,
    lists: int,
    notify: Callable[[str], None],
) -> ServingMeasures:
    """Serve a copy of a published run with one of the candidates of its training, and ask.

    Raises
    ------
    BayesPilotError
        If the candidate is not kept, the service does not answer, or an answer is not a decision.
    """
    notify("reading customers")
    one_each = bodies_of(warehouse, customers=5_000)
    served = ServedCopy(folder)
    served.publish(run, "measured")
    _use_candidate(served.published / "runs" / "measured" / "serving", candidates, candidate)
    served.start()
    try:
        caller = Caller(served.port)
        notify("warming up")
        for at in range(WARM_UP):
            _answered(caller, one_each[at % len(one_each)])
        resident, milliseconds = {}, []
        cpu, client_cpu, began = served.cpu_seconds(), time.process_time(), time.perf_counter()
        for at in range(requests):
            if at % 1_000 == 0:
                notify(f"request {at:,} of {requests:,}")
            if at % MEMORY_EVERY == 0:
                resident[at] = served.resident_mb()
            asked = time.perf_counter()
            _answered(caller, one_each[at % len(one_each)])
            milliseconds.append((time.perf_counter() - asked) * 1e3)
        seconds, cpu = time.perf_counter() - began, served.cpu_seconds() - cpu
        client_cpu = time.process_time() - client_cpu
        resident[requests] = served.resident_mb()
        notify("lists")
        some = [one_each[at % len(one_each)] for at in range(min(LISTED, len(one_each)))]
        listed = b"[" + b",".join(some) + b"]"
        _answered(caller, listed)
        began = time.perf_counter()
        for _ in range(lists):
            _answered(caller, listed)
        rate = lists * len(some) / (time.perf_counter() - began)
        return ServingMeasures(
            milliseconds,
            seconds,
            cpu / requests * 1e3,
            client_cpu / requests * 1e3,
            rate,
            resident,
            served.resident_mb(),
        )
    finally:
        served.stop()


def _answered(caller: Caller, body: bytes) -> None:
    status, answer = caller.ask("POST", "/decisions", body)
    if status != 200:
        raise BayesPilotError("the service refused a customer of its own run", values=[status, answer])


def _use_candidate(folder: Path, candidates: Path, candidate: str) -> None:
    """Put a candidate's pipeline in the place of the deployed one."""
    record, path = read_record(folder), candidates / f"{candidate}.pkl"
    if record is None or not path.is_file():
        raise BayesPilotError(
            "the candidate is not kept", where=str(path), next_step="bayespilot run --vars '{retrain: true}'"
        )
    if record.candidate == candidate:
        return
    content = path.read_bytes()
    named = replace(record, candidate=candidate, sha256=hashlib.sha256(content).hexdigest(), signature="")
    write_deployment(folder, content, named)
