"""The log of what the service decided: Parquet by day, through a journal that survives a crash.

Every row is appended as a line of JSON to a journal as it is made, and waits in memory until it is written as Parquet.
A row that opens an episode is on disk before its answer leaves. Where the disk is full, or rows cannot be written for
another reason, they wait and answers go on; `state` says so.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
import uuid
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from models_ml.errors import BayesPilotError
from models_ml.files import file_aside
from models_ml.serving.deciding import Answered, Asked, with_days
from models_ml.serving.expressions import literal
from models_ml.serving.faults import place_of, worded
from models_ml.serving.promises import Promise
from models_ml.serving.published_run import PublishedRun
from models_ml.training.population import SCORE, FeatureBins, read_bins

LOG = logging.getLogger("bayespilot.serve")

DAY_FOLDER = "day="
FLUSH_SECONDS = 60.0
FLUSH_ROWS = 10_000
CHUNK_ROWS = 1_000  # that are read from JSON at once
MOST_ROWS = (
    100_000  # that wait in memory while the disk is full; beyond, rows that opened no episode are dropped
)

COLUMNS = {
    "decision_id": "VARCHAR",
    "decided_at": "TIMESTAMP",
    "customer_id": "VARCHAR",
    "action_id": "VARCHAR",
    "as_of_date": "DATE",
    "action": "VARCHAR",
    "planned_action": "VARCHAR",
    "channel": "VARCHAR",
    "risk_tier": "VARCHAR",
    "churn_probability": "DOUBLE",
    "customer_value": "DOUBLE",
    "relative_risk": "DOUBLE",
    "effect_source": "VARCHAR",
    "expected_cost": "DOUBLE",
    "incremental_expected_value": "DOUBLE",
    "arm": "VARCHAR",
    "propensity": "DOUBLE",
    "propensity_no_action": "DOUBLE",
    "valid_from": "DATE",
    "valid_to": "DATE",
    "suppression_reason": "VARCHAR",
    "decided_by": "VARCHAR",
    "opens_episode": "BOOLEAN",
    "nightly_action": "VARCHAR",
    "latency_ms": "DOUBLE",
    "customers_in_request": "INTEGER",
    "run_id": "VARCHAR",
    "pipeline_version": "VARCHAR",
    "policy_version": "VARCHAR",
    "signals": "MAP(VARCHAR, DOUBLE)",
    "feature_bins": "MAP(VARCHAR, SMALLINT)",
    "decision": "VARCHAR",  # the whole answer, of rows that open an episode
}

JOURNAL, PARQUET = "journal.jsonl", "the Parquet"
CLOSED = -1  # no descriptor: writing to it fails, where the number of a closed file may be another's by then
LOCK = "lock"


class Waiting(NamedTuple):
    """A row that is not Parquet yet: as few objects as possible, since thousands wait for a minute."""

    decision_id: str
    day: str
    opens_episode: bool
    line: bytes

    @classmethod
    def of(cls, row: Mapping[str, Any], line: bytes) -> Waiting:
        """Return a row of the journal; ``line`` is its JSON without the end of line."""
        return cls(row["decision_id"], row["decided_at"][:10], row["opens_episode"], line)


class DecisionLog:
    """Appends decisions to a folder; one process at a time.

    Parameters
    ----------
    folder : Path
        Created where it does not exist.
    flush_seconds : float
        Longest time that a row waits to become Parquet.
    most_rows : int
        Rows that may wait.

    Raises
    ------
    BayesPilotError
        If another service writes to the folder, or it cannot be written.
    """

    def __init__(
        self, folder: Path, *, flush_seconds: float = FLUSH_SECONDS, most_rows: int = MOST_ROWS
    ) -> None:
        self.folder = folder
        self._flush_seconds, self._most_rows = flush_seconds, most_rows
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._start, self._number = uuid.uuid4().hex[:12], 0
        self._waiting: deque[Waiting] = deque()
        self._dropped = 0
        self._faults: dict[str, str] = {}  # by what is not written
        self._is_torn = False  # whether the journal ends within a line
        self._flushed = time.monotonic()
        self._binners: dict[str, Binner] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._held = hold_log(folder)
            self._recover()
            self._journal = os.open(folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise BayesPilotError(
                f"the log of decisions cannot be written ({error.strerror})",
                where=str(folder),
                next_step="make room on the disk, or see to the permissions of the folder",
            ) from error

    def add(
        self, run: PublishedRun, asked: Sequence[Asked], answered: Sequence[Answered], milliseconds: float
    ) -> None:
        """Log the answers of one request, and give each its decision_id; never raises for a full disk."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        binner = self._binners.get(run.pipeline_version)
        if binner is None:
            binner = self._binners[run.pipeline_version] = Binner(list(read_bins(run.record.feature_bins)))
        rows = []
        for one, of in zip(answered, asked, strict=True):
            self._number += 1
            one.answer["decision_id"] = f"{self._start}-{self._number}"
            row = {
                **one.answer,
                "decided_at": now,
                "opens_episode": one.opens_episode,
                "nightly_action": one.nightly_action,
                "latency_ms": round(milliseconds, 3),
                "customers_in_request": len(asked),
                "signals": one.signals,
                "feature_bins": binner({**of.features, SCORE: one.answer["churn_probability"]}),
                "decision": _json(one.answer) if one.opens_episode else None,
            }
            rows.append(Waiting.of(row, _json({name: row[name] for name in COLUMNS}).encode()))
        with self._lock:
            self._append(rows)
            self._waiting.extend(rows)
            self._drop_what_is_too_much()

    def flush_if_due(self) -> None:
        """Write what waits as Parquet where it is time to."""
        waited = time.monotonic() - self._flushed
        are_many = len(self._waiting) >= FLUSH_ROWS and PARQUET not in self._faults
        if are_many or (self._waiting and waited >= self._flush_seconds):
            self.flush()

    def flush(self) -> None:
        """Write what waits as Parquet, one file for each day; what cannot be written goes on waiting. Never raises."""
        with self._writing:
            with self._lock:
                rows = list(self._waiting)
                self._flushed = time.monotonic()
            written: set[str] = set()
            try:
                for day, of_day in _by_day(rows).items():
                    _write(self.folder / f"{DAY_FOLDER}{day}" / f"{of_day[0].decision_id}.parquet", of_day)
                    written.update(row.decision_id for row in of_day)
                self._faults.pop(PARQUET, None)
            except Exception as error:  # noqa: BLE001 - of the disk, of DuckDB or of Arrow: rows wait, answers go on
                self._report(PARQUET, error)
            if written:
                with self._lock:
                    self._waiting = deque(row for row in self._waiting if row.decision_id not in written)
                    self._rewrite_journal()

    def state(self) -> dict[str, Any]:
        """Return how many rows wait, how many were dropped, and why nothing is written if so."""
        return {
            "rows_waiting": len(self._waiting),
            "rows_dropped": self._dropped,
            "fault": "; ".join(list(self._faults.values())) or None,
        }

    def episodes(self, since: date) -> Iterator[dict[str, Any]]:
        """Yield the answers that opened an episode, of days from ``since`` on, with those that wait."""
        for path in sorted(self.folder.glob(f"{DAY_FOLDER}*/*.parquet")):
            if date.fromisoformat(path.parent.name.removeprefix(DAY_FOLDER)) >= since:
                opening = pq.read_table(path, columns=["decision"], filters=[("opens_episode", "=", True)])
                yield from (json.loads(text) for text in opening.column(0).to_pylist())
        for row in self._waiting:
            if row.opens_episode:
                yield json.loads(json.loads(row.line)["decision"])

    def close(self) -> None:
        """Write what waits, and let go of the folder."""
        self.flush()
        with self._lock:
            for descriptor in (self._journal, self._held):
                os.close(descriptor)
            self._journal = self._held = CLOSED

    def _append(self, rows: Sequence[Waiting]) -> None:
        try:
            content = (b"\n" if self._is_torn else b"") + _lines(rows)
            self._is_torn = os.write(self._journal, content) < len(content)
            if self._is_torn:
                raise OSError(28, "no space left on device")
            if any(row.opens_episode for row in rows):
                os.fsync(self._journal)
            self._faults.pop(JOURNAL, None)
        except OSError as error:
            self._report(JOURNAL, error)

    def _rewrite_journal(self) -> None:
        """Keep in the journal only what waits; rows go on to the earlier file until the new one stands in its place."""
        opened = CLOSED
        try:
            with file_aside(self.folder / JOURNAL) as aside:
                aside.write_bytes(_lines(self._waiting))
                opened = os.open(aside, os.O_WRONLY | os.O_APPEND)
            self._faults.pop(JOURNAL, None)
        except OSError as error:
            self._report(JOURNAL, error)
        if opened != CLOSED:
            if _is_at(opened, self.folder / JOURNAL):
                self._journal, opened, self._is_torn = opened, self._journal, False
            os.close(opened)

    def _recover(self) -> None:
        """Take rows that a killed service left in the journal; what it had written as Parquet already is left out."""
        journal = self.folder / JOURNAL
        if not journal.is_file():
            return
        rows = []
        for line in journal.read_bytes().splitlines():
            try:
                rows.append(Waiting.of(json.loads(line), line))
            except ValueError:  # the last line of a service that was killed while it wrote
                continue
        written = {
            name
            for day in {row.day for row in rows}
            for path in (self.folder / f"{DAY_FOLDER}{day}").glob("*.parquet")
            for name in pq.read_table(path, columns=["decision_id"]).column(0).to_pylist()
        }
        self._waiting.extend(row for row in rows if row.decision_id not in written)
        with file_aside(journal) as aside:  # a row after a line that was cut would be lost with it
            aside.write_bytes(_lines(self._waiting))

    def _drop_what_is_too_much(self) -> None:
        while len(self._waiting) > self._most_rows:
            for at, row in enumerate(self._waiting):
                if not row.opens_episode:
                    del self._waiting[at]
                    self._dropped += 1
                    break
            else:
                return

    def _report(self, what: str, error: Exception) -> None:
        fault = f"{what} of the log is not written: {worded(error)}"
        if fault != self._faults.get(what):
            LOG.error("%s (%s)", fault, place_of(error))
        self._faults[what] = fault


def restored_promises(log: DecisionLog, horizon_days: int, as_of_date: date) -> list[Promise]:
    """Return the episodes that the log opened, the earliest first, as far back as a run of a date finds them open.

    A promise is open while fewer than ``horizon_days`` lie between its run and the published one, whose date stands
    still where no later run is published. Folders of the log are named by the clock; a run may be dated ahead.
    """
    latest = min(datetime.now(UTC).date(), as_of_date)
    since = latest - timedelta(days=horizon_days + 1)
    promises = [Promise.of(with_days(answer), horizon_days) for answer in log.episodes(since)]
    return sorted(promises, key=lambda promise: promise.as_of_date)


class Binner:
    """The population bins of a pipeline, for single customers: the same as `FeatureBins.assign`.

    Examples
    --------
    >>> cuts = (10.0, 20.0)
    >>> fee = FeatureBins("fee", "numeric", "quantiles", cuts, (0.3, 0.3, 0.4, 0.0), 9, 15, 5, 30, 9, ())
    >>> binner = Binner([fee])
    >>> [binner({"fee": value})["fee"] for value in (10.0, 10.5, 99.0, None)]
    [0, 1, 2, 3]
    """

    def __init__(self, bins: Sequence[FeatureBins]) -> None:
        self._quantiles = [
            (one.feature, [float(cut) for cut in one.cuts], one.bin_count - 1)
            for one in bins
            if one.kind == "quantiles"
        ]
        self._named = [
            (one.feature, {cut: at for at, cut in enumerate(one.cuts)}, one.bin_count - 1)
            for one in bins
            if one.kind != "quantiles"
        ]

    def __call__(self, values: Mapping[str, Any]) -> dict[str, int]:
        """Return the position of each feature's bin; a feature that is not given counts as missing."""
        found = {}
        for feature, cuts, missing in self._quantiles:
            value = values.get(feature)
            found[feature] = missing if value is None else bisect_left(cuts, value)
        for feature, known, missing in self._named:
            value = values.get(feature)
            found[feature] = missing if value is None else known.get(value, missing - 1)
        return found


def _write(path: Path, rows: Sequence[Waiting]) -> None:
    """Write rows as one file of Parquet. DuckDB reads the JSON: that does not keep Python from answering."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = literal(json.dumps([COLUMNS]))
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        tables = [
            connection.sql(
                f"select unnest(from_json($1::varchar, {shape}), recursive := false) as row_of_log",
                params=[f"[{','.join(row.line.decode() for row in rows[at : at + CHUNK_ROWS])}]"],
            )
            .to_arrow_table()
            .flatten()
            for at in range(0, len(rows), CHUNK_ROWS)
        ]
    table = pa.concat_tables(tables).rename_columns(list(COLUMNS))
    with file_aside(path) as aside:
        pq.write_table(table, aside, compression="zstd")


def _is_at(descriptor: int, path: Path) -> bool:
    """Say whether an open file is the one that stands at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _by_day(rows: Sequence[Waiting]) -> dict[str, list[Waiting]]:
    found: dict[str, list[Waiting]] = {}
    for row in rows:
        found.setdefault(row.day, []).append(row)
    return found


def _lines(rows: Iterable[Waiting]) -> bytes:
    return b"".join(row.line + b"\n" for row in rows)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=_text, separators=(",", ":"))


def _text(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def hold_log(folder: Path) -> int:
    """Hold the folder against other services and erasures; return the descriptor to close.

    Raises
    ------
    BayesPilotError
        If it is held.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BayesPilotError(
            "a service is running that writes this log of decisions",
            where=str(folder),
            next_step="stop it (SIGTERM), then run this again",
        ) from error
    return descriptor


@contextmanager
def log_held(folder: Path) -> Iterator[None]:
    """Keep services from writing the log while the block runs; nothing to do where there is none.

    Raises
    ------
    BayesPilotError
        If a service is running.
    """
    if not folder.is_dir():
        yield
        return
    descriptor = hold_log(folder)
    try:
        yield
    finally:
        os.close(descriptor)
