"""The log of what the service decided: Parquet by day, through a journal that survives a crash.

Every row is appended to a journal as it is made, and waits in memory until it is written as Parquet. A row that opens
an episode is on disk before its answer leaves. Where the disk is full, rows wait and answers go on; `state` says so.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models_ml.errors import BayesPilotError
from models_ml.files import file_aside
from models_ml.serving.deciding import Answered, Asked, with_days
from models_ml.serving.log_files import JOURNAL, hold_log
from models_ml.serving.promises import Promise
from models_ml.serving.published_run import PublishedRun
from models_ml.training.population import SCORE, FeatureBins, read_bins

LOG = logging.getLogger("bayespilot.serve")

DAY_FOLDER = "day="
FLUSH_SECONDS = 60.0
FLUSH_ROWS = 20_000
MOST_ROWS = (
    100_000  # that wait in memory while the disk is full; beyond, rows that opened no episode are dropped
)

LOG_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("decided_at", pa.timestamp("us")),
        ("customer_id", pa.string()),
        ("action_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("action", pa.string()),
        ("planned_action", pa.string()),
        ("channel", pa.string()),
        ("risk_tier", pa.string()),
        ("churn_probability", pa.float64()),
        ("customer_value", pa.float64()),
        ("relative_risk", pa.float64()),
        ("effect_source", pa.string()),
        ("expected_cost", pa.float64()),
        ("incremental_expected_value", pa.float64()),
        ("arm", pa.string()),
        ("propensity", pa.float64()),
        ("propensity_no_action", pa.float64()),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
        ("suppression_reason", pa.string()),
        ("decided_by", pa.string()),
        ("opens_episode", pa.bool_()),
        ("nightly_action", pa.string()),
        ("latency_ms", pa.float64()),
        ("customers_in_request", pa.int32()),
        ("run_id", pa.string()),
        ("pipeline_version", pa.string()),
        ("policy_version", pa.string()),
        ("signals", pa.map_(pa.string(), pa.float64())),
        ("feature_bins", pa.map_(pa.string(), pa.int16())),
        ("decision", pa.string()),  # the whole answer, of rows that open an episode
    ]
)


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
        self._waiting: deque[dict[str, Any]] = deque()
        self._dropped, self._fault = 0, ""
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
        now = datetime.now(UTC).replace(tzinfo=None)
        binner = self._binners.get(run.pipeline_version)
        if binner is None:
            binner = self._binners[run.pipeline_version] = Binner(list(read_bins(run.record.feature_bins)))
        rows = []
        for one, of in zip(answered, asked, strict=True):
            self._number += 1
            one.answer["decision_id"] = f"{self._start}-{self._number}"
            rows.append(
                {
                    **one.answer,
                    "decided_at": now,
                    "opens_episode": one.opens_episode,
                    "nightly_action": one.nightly_action,
                    "latency_ms": round(milliseconds, 3),
                    "customers_in_request": len(asked),
                    "signals": one.signals,
                    "feature_bins": binner({**of.features, SCORE: one.answer["churn_probability"]}),
                    "decision": json.dumps(one.answer, default=_text) if one.opens_episode else None,
                }
            )
        rows = [{name: row[name] for name in LOG_SCHEMA.names} for row in rows]
        text = "".join(json.dumps(row, default=_text) + "\n" for row in rows)
        with self._lock:
            self._append(text, must_reach_disk=any(one.opens_episode for one in answered))
            self._waiting.extend(rows)
            self._drop_what_is_too_much()

    def flush_if_due(self) -> None:
        """Write what waits as Parquet where it is time to."""
        waited = time.monotonic() - self._flushed
        if len(self._waiting) >= FLUSH_ROWS or (self._waiting and waited >= self._flush_seconds):
            self.flush()

    def flush(self) -> None:
        """Write what waits as Parquet, one file for each day; what cannot be written goes on waiting."""
        with self._writing:
            with self._lock:
                rows = list(self._waiting)
                self._flushed = time.monotonic()
            try:
                for day, of_day in _by_day(rows).items():
                    _write(self.folder / f"{DAY_FOLDER}{day}" / f"{of_day[0]['decision_id']}.parquet", of_day)
            except OSError as error:
                self._report(error)
                return
            with self._lock:
                written = {row["decision_id"] for row in rows}
                self._waiting = deque(row for row in self._waiting if row["decision_id"] not in written)
                self._rewrite_journal()

    def state(self) -> dict[str, Any]:
        """Return how many rows wait, how many were dropped, and why nothing is written if so."""
        return {
            "rows_waiting": len(self._waiting),
            "rows_dropped": self._dropped,
            "fault": self._fault or None,
        }

    def rows(self, since: date) -> Iterator[dict[str, Any]]:
        """Yield the logged rows that open an episode, of days from ``since`` on, with those that wait."""
        for path in sorted(self.folder.glob(f"{DAY_FOLDER}*/*.parquet")):
            if date.fromisoformat(path.parent.name.removeprefix(DAY_FOLDER)) >= since:
                yield from pq.read_table(path, filters=[("opens_episode", "=", True)]).to_pylist()
        yield from [row for row in self._waiting if row["opens_episode"]]

    def close(self) -> None:
        """Write what waits, and let go of the folder."""
        self.flush()
        os.close(self._journal)
        os.close(self._held)

    def _append(self, text: str, *, must_reach_disk: bool) -> None:
        try:
            content = text.encode()
            if os.write(self._journal, content) < len(content):
                raise OSError(28, "no space left on device")
            if must_reach_disk:
                os.fsync(self._journal)
            self._fault = ""
        except OSError as error:
            self._report(error)

    def _rewrite_journal(self) -> None:
        """Keep in the journal only what waits."""
        try:
            with file_aside(self.folder / JOURNAL) as aside:
                aside.write_text(
                    "".join(json.dumps(row, default=_text) + "\n" for row in self._waiting), encoding="utf-8"
                )
            os.close(self._journal)
            self._journal = os.open(self.folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._fault = ""
        except OSError as error:
            self._report(error)

    def _recover(self) -> None:
        """Take rows that a killed service left in the journal; what it had written as Parquet already is left out."""
        journal = self.folder / JOURNAL
        if not journal.is_file():
            return
        rows = []
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                rows.append(_typed(json.loads(line)))
            except ValueError:  # the last line of a service that was killed while it wrote
                continue
        written = {
            name
            for day in {_day_of(row) for row in rows}
            for path in (self.folder / f"{DAY_FOLDER}{day}").glob("*.parquet")
            for name in pq.read_table(path, columns=["decision_id"]).column(0).to_pylist()
        }
        self._waiting.extend(row for row in rows if row["decision_id"] not in written)

    def _drop_what_is_too_much(self) -> None:
        while len(self._waiting) > self._most_rows:
            for at, row in enumerate(self._waiting):
                if not row["opens_episode"]:
                    del self._waiting[at]
                    self._dropped += 1
                    break
            else:
                return

    def _report(self, error: OSError) -> None:
        fault = f"the log is not written: {error.strerror or type(error).__name__}"
        if fault != self._fault:
            LOG.error("%s", fault)
        self._fault = fault


def restored_promises(log: DecisionLog, horizon_days: int) -> list[Promise]:
    """Return the episodes that the log opened, the first of each customer first, as far back as they can be open."""
    since = datetime.now(UTC).date() - timedelta(days=horizon_days + 1)
    promises = [Promise.of(with_days(json.loads(row["decision"])), horizon_days) for row in log.rows(since)]
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


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(
        [
            {
                **row,
                "signals": list(row["signals"].items()),
                "feature_bins": list(row["feature_bins"].items()),
            }
            for row in rows
        ],
        schema=LOG_SCHEMA,
    )
    with file_aside(path) as aside:
        pq.write_table(table, aside, compression="zstd")


def _by_day(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(_day_of(row), []).append(row)
    return found


def _day_of(row: Mapping[str, Any]) -> str:
    return str(row["decided_at"].date())


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the journal with its days and times."""
    return {**with_days(row), "decided_at": datetime.fromisoformat(row["decided_at"])}


def _text(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
