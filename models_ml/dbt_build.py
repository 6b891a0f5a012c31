"""``dbt build`` as a step of a run: progress while it works, faults in full, everything else in a log file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from models_ml.errors import BayesPilotError, without_credentials
from models_ml.paths import project_root

# Options of every build: machine-readable events on standard output, without colours.
EVENTS = ("--log-format", "json", "--no-use-colors")
# Events of single nodes; dbt's closing lines say again, and in full, what they say of a fault.
OF_ONE_NODE = {"LogModelResult", "LogSeedResult", "LogTestResult"}
STACK_TRACE = "MainStackTrace"
OWN_ERROR = re.compile(r"models_ml\.errors\.BayesPilotError: ")
TRACE = "Traceback (most recent call last):"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PATH_VARIABLES = ("RETENTION_DB", "RETENTION_DATA")
SHOWN_LINES = 20  # of dbt's last words, where it ends without saying what failed

Progress = Callable[[int, int, str], None]


@dataclass
class Outcome:
    """What a build came to.

    Attributes
    ----------
    counts : dict
        Nodes by status: pass, warn, error, skip, total; empty where dbt stopped before the first node.
    warnings : list of str
        One line each.
    failures : list of str
        One text per failing node, in full.
    last_lines : list of str
        Everything that dbt said, without blank lines.
    finished, total : int
        Nodes that have finished so far, and all that this build selects.
    exit_code : int
        dbt's own: 0 built, 1 a node failed, 2 dbt could not run.
    """

    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    last_lines: list[str] = field(default_factory=list)
    finished: int = 0
    total: int = 0
    exit_code: int = 0

    @property
    def headline(self) -> str:
        """Return the counts in words."""
        words = {"pass": "passed", "warn": "warned", "error": "failed", "skip": "skipped"}
        parts = [f"{self.counts[name]} {word}" for name, word in words.items() if self.counts.get(name)]
        return f"{self.counts.get('total', 0)} nodes: {', '.join(parts) or 'nothing ran'}"

    @property
    def faults(self) -> list[str]:
        """Return the failures, or dbt's last words where it ended without naming one."""
        return [text.rstrip() for text in self.failures] or ["\n".join(self.last_lines[-SHOWN_LINES:])]


def build(
    source: str, options: Sequence[str], variables: Mapping[str, Any], log: Path, progress: Progress
) -> Outcome:
    """Run ``dbt build`` in the project folder; what it says goes to ``log``.

    Parameters
    ----------
    source : str
        Folder of dbt_project/sources.
    options : sequence of str
        Further options of dbt build.
    variables : mapping
        dbt variables beside ``source``.
    log : Path
        Text file of this run, replaced.
    progress : callable
        Told how many nodes have finished, how many there are, and what has just started or finished.

    Raises
    ------
    OSError
        If the log cannot be written; the build is ended then.
    """
    settings = json.dumps({"source": source, **variables}, default=str)
    command = [dbt_program(), *EVENTS, "build", *options, "--vars", settings]
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            log.open("w", encoding="utf-8") as file,
            subprocess.Popen(
                command,
                cwd=project_root(),
                env=dbt_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None
            try:
                outcome = follow(process.stdout, file, progress)
            except OSError:
                process.terminate()  # nobody would hear what it does
                raise
    except OSError as error:  # of the log, if of no other file
        raise OSError(error.errno, error.strerror, error.filename or str(log)) from error
    outcome.exit_code = process.returncode
    return outcome


def copy_run(source: str, target: str, file: Path) -> None:
    """Have dbt copy the tables of the latest run of a target into a DuckDB file.

    Raises
    ------
    BayesPilotError
        If dbt could not; what it said is shown.
    """
    ran = subprocess.run(
        [
            *(dbt_program(), "--no-use-colors", "run-operation", "copy_run", "--target", target),
            *("--args", json.dumps({"file": str(file)}), "--vars", json.dumps({"source": source})),
        ],
        cwd=project_root(),
        env=dbt_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        said = [line for line in without_credentials(ran.stdout).splitlines() if line.strip()]
        raise BayesPilotError(
            "the tables of the run were not copied; the copy published earlier stays as it is\n"
            + "\n".join(said[-SHOWN_LINES:]),
            where=f"target {target} of profiles.yml",
            next_step=f"dbt build --target {target} --vars '{{source: {source}}}', then publish again",
        )


def follow(lines: Iterable[str], log: TextIO, progress: Progress) -> Outcome:
    """Read dbt's events to their end: write them to ``log`` as text, tell the progress, return what counts."""
    outcome = Outcome()
    for line in lines:
        try:
            event = json.loads(line)
            info, data = event["info"], event["data"]
        except (ValueError, KeyError, TypeError):  # what dbt or a library prints outside its events
            masked = without_credentials(line)
            log.write(masked)
            outcome.last_lines.append(masked.rstrip())
            continue
        text = without_credentials(COLOURS.sub("", info["msg"]))
        log.write(f"{info['ts'][11:19]} {info['level']:5} {text}\n")
        if text.strip():
            outcome.last_lines.append(text)
        _take(outcome, info["name"], info["level"], text, data)
        _tell(outcome, progress, info["name"], data)
    return outcome


def _take(outcome: Outcome, name: str, level: str, text: str, data: Mapping[str, Any]) -> None:
    if name == "StatsLine":
        outcome.counts = dict(data["stats"])
    elif name == "RunResultWarning":
        outcome.warnings.append(f"{data['node_name']} ({data['path']})")
    elif name == "RunResultWarningMessage" and outcome.warnings:
        outcome.warnings[-1] += f": {text.strip()}"
    elif name == "RunResultFailure":
        outcome.failures.append(text)
    elif name in ("RunResultError", "RunResultErrorNoMessage") and outcome.failures:
        outcome.failures[-1] += "\n" + without_stack_trace(text)
    elif name == "SQLCompiledPath" and outcome.failures:
        outcome.failures[-1] += "\n" + text
    elif name == STACK_TRACE and outcome.failures:  # of the error that dbt has just reported
        pass
    elif name not in OF_ONE_NODE and level == "error":
        outcome.failures.append(without_stack_trace(text))
    elif name not in OF_ONE_NODE and level == "warn":
        outcome.warnings.append(text.strip().splitlines()[0])


def _tell(outcome: Outcome, progress: Progress, name: str, data: Mapping[str, Any]) -> None:
    if name == "AdapterEventInfo":  # what a training says of itself
        progress(outcome.finished, outcome.total, str(data.get("base_msg", "")))
    elif "index" in data and "node_info" in data:
        outcome.total = data.get("total") or data.get("num_models") or outcome.total
        outcome.finished += name != "LogStartLine"
        progress(outcome.finished, outcome.total, data["node_info"]["node_name"])


def without_stack_trace(text: str) -> str:
    r"""Return what an exception says, without the frames above it; a text without a stack trace stays as it is.

    Examples
    --------
    >>> print(without_stack_trace("Python model failed:\n  File x\nmodels_ml.errors.BayesPilotError: no rows"))
    no rows
    >>> print(without_stack_trace('Traceback (most recent call last):\n  File "a.py"\n    f()\nIOError: in use'))
    IOError: in use
    >>> print(without_stack_trace('in m (m.py)\n  Traceback (most recent call last):\n    File "m.py"\n  TypeError: f'))
    in m (m.py)
    TypeError: f
    """
    found = OWN_ERROR.search(text)
    if found:
        return text[found.end() :].rstrip()
    if TRACE not in text:
        return text
    before, trace = text[: text.index(TRACE)].rstrip(" "), text[text.index(TRACE) :]
    depth = text.index(TRACE) - len(before)  # dbt indents what a node says
    lines = [line[depth:] if line[:depth].isspace() else line for line in trace.splitlines()[1:]]
    frames = [position for position, line in enumerate(lines) if line.startswith("  ")]
    said = lines[frames[-1] + 1 :] if frames else lines
    return "\n".join([before.rstrip(), *said]).strip() or text


def dbt_program() -> str:
    """Return the dbt of this Python environment, or else of the PATH."""
    beside = Path(sys.executable).with_name("dbt")
    found = str(beside) if beside.is_file() else shutil.which("dbt")
    if not found:
        raise BayesPilotError(
            "dbt is not installed in this environment", where=sys.executable, next_step="make setup"
        )
    return found


def dbt_environment() -> dict[str, str]:
    """Return the caller's environment; relative paths stay those of the caller's folder."""
    environment = dict(os.environ)
    for name in PATH_VARIABLES:
        value = environment.get(name)
        if value and "://" not in value:
            environment[name] = str(Path(value).resolve())
    environment["DBT_PROFILES_DIR"] = str(project_root())
    return environment
