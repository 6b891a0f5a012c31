"""A copy of a published run behind `bayespilot serve`, in a process of its own, for studies and benchmarks."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dbt_project_copy import PROJECT

from models_ml.errors import BayesPilotError

SOURCE = "demo"
START_SECONDS = 120.0


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
