"""Ask the service under load while a run is published anew and the service is restarted, and check what came of it.

    python scripts/serving_study.py --requests 10000

Needs the published copy of the demo (`bayespilot run`). Works on a copy of it in a temporary folder, behind
`bayespilot serve` in a process of its own. Exit code 1 where an answer was an error, a logged decision is missing, or
an answer mixed versions.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from dbt_project_copy import PROJECT
from rich.console import Console
from rich.table import Table

from models_ml.errors import BayesPilotError
from models_ml.paths import published_folder, warehouse_path

SOURCE = "demo"
START_SECONDS = 120.0

FEATURES = """
    select features.* exclude (as_of_date, feature_definition)
    from customer_features as features inner join int_run using (as_of_date)
    order by customer_id limit {customers}"""


@dataclass
class ServedCopy:
    """A folder with published runs of the demo and the log of a service, and the process that serves them.

    ``folder`` is laid out as that of a warehouse: ``published/demo`` and ``serving/demo``.
    """

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def published(self) -> Path:
        """Folder of the published runs."""
        return self.folder / "published" / SOURCE

    @property
    def log(self) -> Path:
        """Folder of the service's log."""
        return self.folder / "serving" / SOURCE

    def publish(self, run: Path, name: str) -> None:
        """Copy a run's folder under another name and point the link at it, in one step."""
        copied = self.published / "runs" / name
        shutil.copytree(run, copied)
        aside = self.published / ".current.new"
        aside.symlink_to(copied.relative_to(self.published))
        aside.replace(self.published / "current")

    def start(self) -> None:
        """Start the service and wait until it answers.

        Raises
        ------
        BayesPilotError
            If it ends or does not answer.
        """
        self.port = self.port or _free_port()
        command = [str(Path(sys.executable).parent / "bayespilot"), "serve", "--port", str(self.port)]
        environment = {
            **os.environ,
            "DBT_PROFILES_DIR": str(PROJECT),
            "RETENTION_DB": str(self.folder / f"{SOURCE}.duckdb"),
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if Caller(self.port).ask("GET", "/health")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise BayesPilotError("the service does not answer", where=str(self.folder))

    def stop(self) -> int:
        """End the service with SIGTERM and return its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def resident_mb(self) -> float:
        """Return the resident memory of the process in megabytes, NaN where the system does not tell."""
        status = Path(f"/proc/{self.process.pid if self.process else 0}/status")
        if not status.is_file():
            return float("nan")
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process so far, NaN where the system does not tell."""
        status = Path(f"/proc/{self.process.pid if self.process else 0}/stat")
        if not status.is_file():
            return float("nan")
        fields = status.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def logged(self, columns: list[str]) -> pa.Table:
        """Return columns of all rows of the log."""
        files = sorted(self.log.glob("day=*/*.parquet"))
        return pa.concat_tables([pq.read_table(file, columns=columns) for file in files])


class Caller:
    """One connection to a service of this machine."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Return status and content.

        Raises
        ------
        OSError, http.client.HTTPException
            If the connection is refused or lost.
        """
        self._connection.request(method, path, body, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Outcome:
    """What clients saw of ``asked`` requests: answers by status, ids of decisions, refused connections, versions."""

    asked: int
    statuses: Counter[int] = field(default_factory=Counter)
    decisions: list[str] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    mixed: int = 0
    refused: int = 0
    refused_while_up: int = 0
    missing: int = 0
    exit_codes: list[int] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether each request got its answer, nothing was lost and no answer mixed versions."""
        wrong = self.asked - self.statuses[200]
        return not (wrong or self.mixed or self.missing or self.refused_while_up or any(self.exit_codes))


def study(served: ServedCopy, run: Path, bodies: Sequence[bytes], requests: int, callers: int = 2) -> Outcome:
    """Ask ``requests`` times; after a third publish the run anew, after two thirds restart the service.

    Parameters
    ----------
    served : ServedCopy
        Started here, on the run in folder ``run``.
    run : Path
        Folder of a published run.
    bodies : sequence of bytes
        Requests, taken in turn.
    """
    outcome, lock = Outcome(requests), threading.Lock()
    left, restarting, ended = iter(range(requests)), threading.Event(), threading.Event()

    def call() -> None:
        caller = Caller(served.port)
        while True:
            with lock:
                at = next(left, None)
            if at is None:
                return
            while True:
                began_while_up = not restarting.is_set()
                try:
                    status, answer = caller.ask("POST", "/decisions", bodies[at % len(bodies)])
                    break
                except (OSError, http.client.HTTPException):
                    if ended.is_set():
                        return
                    with lock:
                        outcome.refused += 1
                        outcome.refused_while_up += began_while_up and not restarting.is_set()
                    time.sleep(0.05)
                    caller = Caller(served.port)
            with lock:
                _note(outcome, status, answer)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    served.publish(run, "first")
    try:
        served.start()
        for thread in threads:
            thread.start()
        _wait(lambda: sum(outcome.statuses.values()) >= requests // 3, threads)
        served.publish(run, "second")
        _wait(lambda: sum(outcome.statuses.values()) >= 2 * requests // 3, threads)
        restarting.set()
        outcome.exit_codes.append(served.stop())
        served.start()
        restarting.clear()
        for thread in threads:
            thread.join()
        outcome.exit_codes.append(served.stop())
    finally:  # a service that does not come back leaves no client that asks for ever
        ended.set()
        served.stop()
    logged = set(served.logged(["decision_id"]).column(0).to_pylist())
    outcome.missing = len(set(outcome.decisions) - logged)
    return outcome


def _note(outcome: Outcome, status: int, answer: Any) -> None:  # noqa: ANN401 - JSON
    outcome.statuses[status] += 1
    if status != 200:
        return
    answers = answer if isinstance(answer, list) else [answer]
    versions = {(one["run_id"], one["pipeline_version"]) for one in answers}
    outcome.mixed += len(versions) > 1
    outcome.runs[answers[0]["run_id"]] += 1
    outcome.decisions += [one["decision_id"] for one in answers]


def _wait(happened: Any, threads: Sequence[threading.Thread]) -> None:  # noqa: ANN401 - a function
    while not happened() and any(thread.is_alive() for thread in threads):
        time.sleep(0.01)


def bodies_of(warehouse: Path, customers: int, listed: int = 0) -> list[bytes]:
    """Return requests for the customers of the last run; every tenth for a list of ``listed``, where that is not 0."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.sql(FEATURES.format(customers=customers)).to_arrow_table().to_pylist()
    asked = [{"customer_id": row.pop("customer_id"), "features": row} for row in rows]
    return [
        json.dumps(asked[at : at + listed] if listed and at % 10 == 9 else one).encode()
        for at, one in enumerate(asked)
    ]


def published_run() -> Path:
    """Return the folder of the demo's last published run.

    Raises
    ------
    BayesPilotError
        If nothing is published.
    """
    current = published_folder(SOURCE) / "current"
    if not current.exists():
        raise BayesPilotError("nothing is published", where=str(current), next_step="bayespilot run")
    return current.resolve()


def main(
    requests: Annotated[int, typer.Option(min=30, help="Requests in all.")] = 10_000,
    callers: Annotated[int, typer.Option(min=1, max=16, help="Clients that ask at the same time.")] = 2,
) -> None:
    """Ask the service of the demo's published copy, publish anew, restart it, and print what came of it.

    Exits with 1 where an answer failed, is not in the log, or mixed versions.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="bayespilot-serving-") as folder:
            run = published_run()
            bodies = bodies_of(warehouse_path(SOURCE), customers=1_000, listed=20)
            found = study(ServedCopy(Path(folder)), run, bodies, requests, callers)
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    table = Table(title=f"{requests:,} requests, {callers} clients, one new run, one restart by SIGTERM")
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in (
        ("answers by status", dict(found.statuses)),
        ("answers by run", dict(found.runs)),
        ("decisions answered", f"{len(found.decisions):,}"),
        ("of them not in the log", found.missing),
        ("answers that mix versions", found.mixed),
        ("connections refused during the restart", found.refused - found.refused_while_up),
        ("connections refused at other times", found.refused_while_up),
        ("exit codes", found.exit_codes),
    ):
        table.add_row(name, str(value))
    Console().print(table)
    if not found.is_sound:
        raise typer.Exit(1)


if __name__ == "__main__":
    os.environ.setdefault("DBT_PROFILES_DIR", str(PROJECT))
    typer.run(main)
