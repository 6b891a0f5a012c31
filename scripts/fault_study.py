"""Kill commands at random moments, and read the published copy while it is written: nothing may be lost or mixed.

    python scripts/fault_study.py --kills 100 --reads 1000

Each kill ends a command with SIGKILL, with all that it has started. What people read must then be that of before or of
after; the same command, run again, must succeed by itself and leave everything whole (after a rollback: another one).
The reads open the DuckDB file or the Parquet files of one run, in other processes, while builds and publishing go on.
With a business of 300 customers, 100 kills and 1,000 reads take about an hour on two idle cores.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import duckdb
import pyarrow.parquet as pq
import typer
from dbt_project_copy import Finished, ProjectCopy
from generate_churn_data import raw_chunks, write_parquet
from mlflow import MlflowClient
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models_ml.deployment.deployed import SWITCH, read_deployed, read_record
from models_ml.deployment.logs import read_events
from models_ml.deployment.versions import kept_versions
from models_ml.errors import BayesPilotError

SOURCE = "demo"
BUDGETS = (250, 350)  # of two plans that differ
BUILD = ("dbt", "build", "--exclude-resource-types", "unit_test")  # these test code, not data
COMMANDS = ("build", "train", "promote", "rollback", "erase", "publish")
OF_A_BUILD = "decided_at, updated_at, dbt_invocation_id"
# What the decisions, their plan and the copy itself say of the run that they are of.
ONE_RUN = """
    with told as (
        select as_of_date, policy_version from retention_actions
        union
        select as_of_date, policy_version from policy_runs inner join published_run using (as_of_date)
    )
    select (select run_id from published_run), (select count(*) from told)"""
READERS = 2
PAUSE_SECONDS = 0.02  # of a reader after each read, so that reads spread over what is written


@dataclass(frozen=True)
class Seen:
    """What people find: decisions, pipeline and published run, each as a value that can be compared."""

    decisions: str
    pipeline: str
    published: str


@dataclass
class Tally:
    """What became of the kills of one command."""

    kills: int = 0
    before_its_end: int = 0
    recovered: int = 0
    broken: list[str] = field(default_factory=list)


class Study:
    """A built and published project whose commands are killed at moments that ``draws`` gives."""

    def __init__(self, project: ProjectCopy, draws: random.Random) -> None:
        self.project, self.draws = project, draws
        self.artifacts = project.folder / "models_ml" / "artifacts" / SOURCE
        self.published = project.warehouse().parent / "published" / SOURCE
        self.budget = 0
        self.seconds: dict[str, float] = {}

    def arguments(self, command: str) -> Sequence[str]:
        """Return what is typed for a command, so that it has something to change."""
        if command == "build":
            self.budget = 1 - self.budget
            return (*BUILD, "--vars", f"{{monthly_budget: {BUDGETS[self.budget]}}}")
        if command == "promote":
            return ("bayespilot", "promote", self._version_not_deployed())
        if command == "erase":
            [row] = self.project.read("select min(customer_id) as one from retention_actions").to_pylist()
            return ("bayespilot", "erase", str(row["one"]))
        if command == "rollback":  # to what was deployed before this promotion
            self.run(("bayespilot", "promote", self._version_not_deployed()))
        return ("bayespilot", command)

    def kill(self, command: str) -> Iterator[str]:
        """Kill a command, run it again, and yield "before its end", "recovered", or what is broken, in words."""
        arguments = self.arguments(command)
        before = self.seen()
        if command not in self.seconds:  # as long as a call takes that nobody kills
            self.seconds[command] = self.run(arguments).usage.seconds
            arguments, before = self.arguments(command), self.seen()
        process = subprocess.Popen(
            arguments, cwd=self.project.folder, env=self.project.variables, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        moment = self.draws.uniform(0.02, 1.0) * self.seconds[command]
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            yield "before its end"
        try:
            killed = self.seen()
            # A second rollback would go one version further: what a killed one left is for any other command to finish.
            again = self.run(("bayespilot", "versions") if command == "rollback" else arguments)
            after = self.seen()
            self.check_whole()
        except (BayesPilotError, AssertionError, duckdb.Error, OSError) as error:
            yield f"{command}, killed after {moment:.1f} s: {error}"
            return
        mixed = [
            name
            for name in ("decisions", "pipeline", "published")
            if getattr(killed, name) not in (getattr(before, name), getattr(after, name))
            # what is published carries the time of publishing, so a run that the killed command wrote is a third one
            and not (name == "published" and command == "publish")
        ]
        if mixed or again.returncode:
            yield f"{command}, killed after {moment:.1f} s: mixed {mixed}, then {again.output[-500:]}"
        else:
            yield "recovered"

    def run(self, arguments: Sequence[str]) -> Finished:
        """Run a command to its end."""
        return self.project.run(*arguments)

    def seen(self) -> Seen:
        """Return what people find now; raises where any of it is not whole."""
        deployed = read_deployed(self.artifacts, SOURCE)
        assert deployed is not None, "nothing is deployed"
        decisions = self.project.read(
            f"select * exclude ({OF_A_BUILD}) from retention_actions order by customer_id"
        )
        keys = self.project.read(
            "select count(*) = count(distinct action_id) as once from retention_actions_history"
        )
        assert keys.to_pylist() == [{"once": True}], "a decision stands in the history twice"
        return Seen(
            str(hash(str(decisions.to_pylist()))), deployed[0].pipeline_version, read_run(self.published, "")
        )

    def check_whole(self) -> None:
        """Raise unless record, pickle, list, log and alias name one version, and nothing is left half done."""
        listed = [one.version for one in kept_versions(self.artifacts, SOURCE) if one.is_champion]
        record = read_record(self.artifacts)
        assert record is not None, "nothing is deployed"
        assert listed == [record.pipeline_version], f"listed {listed}, deployed {record.pipeline_version}"
        assert read_events(self.artifacts)[-1].deployed_version == record.pipeline_version, (
            "the log lags behind"
        )
        store = f"sqlite:///{self.artifacts}/mlflow.db"
        alias = MlflowClient(store, store).get_model_version_by_alias(f"bayespilot-{SOURCE}", "champion")
        named = alias.tags["pipeline_version"]
        assert named == record.pipeline_version, f"the alias names {named}"
        assert not (self.artifacts / SWITCH).exists(), "a switch is left"

    def _version_not_deployed(self) -> str:
        kept = kept_versions(self.artifacts, SOURCE)
        return next((one.version for one in kept if not one.is_champion and not one.fault), kept[0].version)


def read_run(published: Path, kind: str) -> str:
    """Read the run that is published as a reader does, its ``duckdb`` or ``parquet`` files or both; return its id.

    Raises
    ------
    AssertionError
        If the files are of different runs, or the tables of one file are.
    """
    run = (published / "current").resolve()
    found = set()
    if kind != "parquet":
        with duckdb.connect(str(run / "retention.duckdb"), read_only=True) as copy:
            [(run_id, runs_told)] = copy.execute(ONE_RUN).fetchall()
        found.add(run_id)
        assert runs_told == 1, f"the tables of {run_id} tell of {runs_told} runs"
    if kind != "duckdb":
        for file in run.glob("*.parquet"):
            found.add(pq.read_table(file).schema.metadata[b"published_run"].decode())
    assert found == {run.name}, f"{run.name} holds files of {sorted(found)}"
    return run.name


def read_until(published: Path, stop: Path, told: Path, number: int) -> None:
    """Read the published run again and again until the file ``stop`` exists; write what happened, one line a read."""
    kinds = ("duckdb", "parquet")
    with told.open("w") as lines:
        while not stop.exists():
            number += 1
            try:
                lines.write(f"{kinds[number % 2]} {read_run(published, kinds[number % 2])}\n")
            except (AssertionError, duckdb.Error, OSError, KeyError) as error:
                lines.write(f"fault {' '.join(str(error).split())}\n")
            time.sleep(PAUSE_SECONDS)


def read_while_writing(
    study: Study, reads: int, folder: Path, steps: Sequence[str]
) -> tuple[Counter[str], int, list[str]]:
    """Run ``steps`` over and over until at least ``reads`` reads are done in other processes.

    Returns
    -------
    tuple
        Number of reads by kind of file, number of different runs that were read, and faults in words.
    """
    folder.mkdir(exist_ok=True)
    stop, told = folder / "stop", [folder / f"reader-{number}" for number in range(READERS)]
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=read_until, args=(study.published, stop, file, number)
        )
        for number, file in enumerate(told)
    ]
    for process in processes:
        process.start()
    try:
        while True:
            for step in steps:
                finished = study.run(study.arguments(step))
                assert finished.returncode == 0, finished.output[-500:]
            if sum(len(file.read_text().splitlines()) for file in told if file.exists()) >= reads:
                break
    finally:
        stop.touch()
        for process in processes:
            process.join()
    lines = [line for file in told for line in file.read_text().splitlines()]
    kinds = Counter(line.split()[0] for line in lines)
    runs = {line.split()[1] for line in lines if not line.startswith("fault")}
    return kinds, len(runs), [line for line in lines if line.startswith("fault")]


def kill_many(
    study: Study,
    commands: Sequence[str],
    kills: int,
    notify: Callable[[Iterable[int]], Iterable[int]],
    minutes: float = 0.0,
) -> dict[str, Tally]:
    """Kill the commands in turn, ``kills`` times in all, or fewer where ``minutes`` (0: no limit) have passed."""
    tallies = {command: Tally() for command in commands}
    began = time.monotonic()
    for number in notify(range(kills)):
        if minutes and time.monotonic() - began > 60 * minutes:
            break
        command = commands[number % len(commands)]
        tally = tallies[command]
        tally.kills += 1
        for said in study.kill(command):
            tally.before_its_end += said == "before its end"
            tally.recovered += said == "recovered"
            if said not in ("before its end", "recovered"):
                tally.broken.append(said)
    return tallies


def main(
    kills: Annotated[int, typer.Option(min=0, help="Kills in all.")] = 100,
    reads: Annotated[int, typer.Option(min=0, help="Reads of the published copy, at least.")] = 1000,
    customers: Annotated[int, typer.Option(min=100, help="Customers of the business.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the moments and of the world.")] = 1,
    commands: Annotated[str, typer.Option(help="Commands to kill, separated by commas.")] = ",".join(
        COMMANDS
    ),
    minutes: Annotated[float, typer.Option(min=0, help="Kill no more after so long; 0: no limit.")] = 0.0,
) -> None:
    """Kill commands at random moments, read what is published meanwhile, and count what was lost or mixed.

    Exits with 1 where anything was.
    """
    killed = commands.split(",")
    if unknown := sorted(set(killed) - set(COMMANDS)):
        raise typer.BadParameter(
            f"{', '.join(unknown)}: name some of {', '.join(COMMANDS)}", param_hint="--commands"
        )
    if not kills and not reads:
        raise typer.BadParameter("nothing to kill and nothing to read", param_hint="--kills")
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="bayespilot-") as aside:
        folder = Path(aside)
        write_parquet(raw_chunks(customers=customers, months=24, seed=seed, clean=False), folder / "raw")
        project = ProjectCopy.create(folder / "project", folder / "raw")
        study = Study(project, random.Random(seed))
        for arguments in (
            (*BUILD, "--vars", "{allow_miscalibrated: true}"),
            ("bayespilot", "train"),
            ("bayespilot", "publish"),
        ):
            finished = study.run(arguments)
            if finished.returncode:
                console.print(finished.output[-3000:], markup=False, highlight=False)
                raise typer.Exit(1)
        show = partial(track, description="kills", console=console)
        tallies = kill_many(study, killed, kills, show, minutes)
        console.print(_table(tallies))
        broken = [said for tally in tallies.values() for said in tally.broken]
        if kills and not any(tally.before_its_end for tally in tallies.values()):
            broken.append("no command was killed before its end")
        if reads:
            kinds, runs, faults = read_while_writing(
                study, reads, folder / "reads", ("build", "publish", "publish")
            )
            console.print(
                f"reads during builds and publishing: {kinds['duckdb']} of DuckDB, {kinds['parquet']} of Parquet,"
                f" of {runs} runs; {len(faults)} faults"
            )
            broken += faults
    for said in broken[:10]:
        console.print(said, style="red", markup=False, highlight=False)
    if broken:
        raise typer.Exit(1)
    console.print("Nothing was lost or mixed.")


def _table(tallies: dict[str, Tally]) -> Table:
    table = Table(title="Kills at random moments", title_justify="left")
    for name in ("command", "kills", "before its end", "recovered by itself", "broken"):
        table.add_column(name, justify="left" if name == "command" else "right")
    for command, tally in tallies.items():
        numbers = (tally.kills, tally.before_its_end, tally.recovered, len(tally.broken))
        table.add_row(command, *(str(number) for number in numbers))
    return table


if __name__ == "__main__":
    typer.run(main)
