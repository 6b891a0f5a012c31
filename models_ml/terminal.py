"""What a training and the kept versions look like in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from models_ml.deployment.versions import KeptVersion
from models_ml.training.stage import Notify

LIST_WIDTH = 140


@contextmanager
def progress() -> Iterator[Notify]:
    """Show each step with the time since the start; off a terminal, one line per step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda message: console.print(message, markup=False, highlight=False, soft_wrap=True)
        return
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading the warehouse")
        yield lambda message: bar.update(task, description=message)


def print_versions(kept: Sequence[KeptVersion], source: str) -> None:
    """Print the kept versions as a table, and below it what is wrong with the damaged ones."""
    console = Console()
    console.width = max(console.width, LIST_WIDTH)
    console.print(_table(kept, source))
    for one in kept:
        if one.fault:
            console.print(f"{one.version}: {one.fault}", style="red", markup=False, soft_wrap=True)


def _table(kept: Sequence[KeptVersion], source: str) -> Table:
    table = Table(title=f"Kept versions of {source}, latest training first")
    for name in ("version", "trained at", "calibrated on", "judged on"):
        table.add_column(name, no_wrap=True)
    for name in ("judged profit", "AUC", "calibration ratio"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in kept:
        state = "champion" if one.is_champion else "damaged" if one.fault else ""
        style = "red" if one.fault else "bold" if one.is_champion else ""
        table.add_row(one.version, *_cells(one), state, style=style)
    return table


def _cells(one: KeptVersion) -> list[str]:
    if one.record is None:
        return [""] * 6
    judged, metrics = one.record.judged, one.record.judged["metrics"]
    shapes = {"profit": ",.2f", "auc": ".3f", "calibration_ratio": ".3f"}
    return [
        one.record.trained_at[:19].replace("T", " "),
        str(one.record.refitted["calibrated_on"]),
        str(judged["judged_on"]),
        *("" if metrics[name] is None else format(metrics[name], shape) for name, shape in shapes.items()),
    ]
