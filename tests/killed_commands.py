"""Kill a command before its file operations, one after the other, and look at what the next command finds.

python tests/killed_commands.py PROJECT COMMAND EVERY prints one JSON line per kill (before every EVERY-th operation):
the operation and the state after the next command. It runs as a process of its own, because it forks before MLflow
has opened anything.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import training_data as data
from test_champion import ONLY, wide
from test_training import quick_settings

from models_ml import train_and_deploy
from models_ml.deployment.deployed import DEPLOYED, SWITCH, read_deployed
from models_ml.deployment.logs import candidates_table, read_events
from models_ml.deployment.versions import kept_versions, promote, roll_back
from models_ml.train_and_deploy import ensure_deployed
from models_ml.training.context import read_purpose, warehouse_tables

TABLES = warehouse_tables()
OPERATIONS = {"os.rename", "os.remove", "sqlite3.connect"}  # all by which a later process sees a change
SMALL = data.examples_table(600)


def folder_of(project: Path) -> Path:
    return project / "models_ml" / "artifacts" / "demo"


def command_promote(project: Path) -> None:
    older = read_events(folder_of(project))[0].pipeline_version
    promote(folder_of(project), older, read_purpose(data.warehouse(customers=1), TABLES))


def command_rollback(project: Path) -> None:
    roll_back(folder_of(project), read_purpose(data.warehouse(customers=1), TABLES))


def command_train(project: Path) -> None:
    """Train on data without the first month end: another version, which a wide guardrail lets through."""
    examples = SMALL.filter([day.as_py() > data.MONTH_ENDS[0] for day in SMALL["as_of_date"]])
    connection = data.warehouse(
        customers=10, training_examples=examples, int_run=data.run_table(retrain=True)
    )
    train_and_deploy.CANDIDATES = {ONLY: train_and_deploy.CANDIDATES[ONLY]}
    ensure_deployed(
        connection,
        TABLES,
        folder_of(project),
        wide(quick_settings()),
        notify=lambda message: None,
        reports=project / "reports",
    )


COMMANDS: dict[str, Callable[[Path], None]] = {
    "promote": command_promote,
    "rollback": command_rollback,
    "train": command_train,
}


class Operations:
    """Counts what a process is about to do below a folder, and kills the process before the asked one."""

    def __init__(self, project: Path, kill_before: int | None) -> None:
        self._project, self._kill_before = str(project), kill_before
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or self._project not in str(arguments[0]):
            return
        if event == "os.remove" and not Path(arguments[0]).exists():
            return
        if len(self.seen) == self._kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(f"{event} {Path(str(arguments[0])).name}")


def in_a_process(work: Callable[[], Any]) -> tuple[bool, Any]:
    """Run the work in a forked process; return whether it came to its end, and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        result = work()
        with os.fdopen(writing, "w") as out:
            json.dump(result, out, default=str)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as given:
        text = given.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0, json.loads(text) if text else None


def operations_of(command: str, project: Path, kill_before: int | None) -> list[str]:
    counted = Operations(project, kill_before)
    sys.addaudithook(counted)
    COMMANDS[command](project)
    return counted.seen


def state(project: Path) -> dict[str, Any]:
    """List the versions, as the next command, and return what record, pickle, log, alias and report say."""
    from mlflow import MlflowClient

    folder = folder_of(project)
    champions = [one.version for one in kept_versions(folder, "demo") if one.is_champion]
    deployed = read_deployed(folder, "demo")
    assert deployed is not None
    record, content = deployed
    store = f"sqlite:///{folder}/mlflow.db"
    alias = MlflowClient(store, store).get_model_version_by_alias("bayespilot-demo", "champion")
    page = project / "reports" / "training.html"
    events = read_events(folder)
    return {
        "version": record.pipeline_version,
        "listed": champions,
        "pickle": (folder / f"{DEPLOYED}.pkl").read_bytes() == content,
        "log": events[-1].deployed_version,
        "events": len({json.dumps(asdict(event)) for event in events}) == len(events),
        "trainings": max(candidates_table(folder)["training_run"].to_pylist()),
        "logged_training": max(event.training_run or 0 for event in events),
        "alias": alias.tags["pipeline_version"],
        "report": page.is_file() and record.pipeline_version in page.read_text(),
        "under_way": (folder / SWITCH).is_file(),
    }


def load_mlflow() -> None:
    """Load MLflow and its stores, which each forked process would load otherwise; nothing is opened."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name in (
        "mlflow",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
    ):
        importlib.import_module(name)


def main(project: Path, command: str, every: int) -> None:
    load_mlflow()
    counting = project.with_name("counting")
    shutil.copytree(project, counting)
    _, operations = in_a_process(lambda: operations_of(command, counting, None))
    sys.stdout.write(json.dumps({"operation": "none", **in_a_process(lambda: state(counting))[1]}) + "\n")
    for number in range(0, len(operations), every):
        scene = project.with_name(f"killed-{number}")
        shutil.copytree(project, scene)
        ended, _ = in_a_process(lambda: operations_of(command, scene, number))  # noqa: B023 - run at once
        assert not ended, f"operation {number} of {command} was never reached"
        _, after = in_a_process(lambda: state(scene))  # noqa: B023
        sys.stdout.write(json.dumps({"operation": operations[number], **(after or {})}) + "\n")
        shutil.rmtree(scene)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
