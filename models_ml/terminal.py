"""What commands show in a terminal: errors without a stack trace, progress, kept versions, how well one ranks."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from models_ml.errors import (
    DEFAULT_SOURCE,
    DISK_FAULTS,
    BayesPilotError,
    naming_source,
    without_credentials,
)

if TYPE_CHECKING:
    from models_ml.deployment.versions import KeptVersion

LIST_WIDTH = 140
FILE_WIDTH = 120  # of tables that go to a file or a pipe


@contextmanager
def errors_as_exit_code(source: Callable[[], str | None]) -> Iterator[None]:
    """Print a `BayesPilotError`, or that a disk takes nothing, without a stack trace; leave with exit code 1.

    Its commands name the source of the command that failed: what raised it may not know it. A sign that the terminal or
    the log cannot show becomes a question mark: it ends no command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        yield
    except BayesPilotError as error:
        say_error(naming_source(str(error), source() or DEFAULT_SOURCE))
        raise typer.Exit(1) from error
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        what, remedy = DISK_FAULTS[error.errno]
        next_step = f"{remedy}, then run the command again"
        say_error(str(BayesPilotError(what, where=str(error.filename or ""), next_step=next_step)))
        raise typer.Exit(1) from error


def plain_console(**options: Any) -> Console:  # noqa: ANN401 - options of a console
    """Return a console that prints texts as they stand: brackets and colons of a name are no styles and pictures."""
    return Console(markup=False, emoji=False, **options)


def table_console() -> Console:
    """Return a console for tables: as wide as the terminal, or wide enough for them off a terminal."""
    console = plain_console()
    return console if console.is_terminal else plain_console(width=max(console.width, FILE_WIDTH))


def say_error(message: str) -> None:
    """Print what is wrong, as it stands but for credentials in addresses, to standard error."""
    plain_console(stderr=True).print(
        without_credentials(message), style="red", highlight=False, soft_wrap=True
    )


def say(message: str, style: str | None = None) -> None:
    """Print a message, as it stands but for credentials in addresses, to standard output."""
    plain_console().print(without_credentials(message), style=style, highlight=False, soft_wrap=True)


class Commands(TyperGroup):
    """A group of commands that all report errors in the same way."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's context and result
        """Run the command that was asked for; its option --source leaves its value as the object of the context."""
        with errors_as_exit_code(lambda: ctx.obj):
            return super().invoke(ctx)


class OneCommand(TyperCommand):
    """A command that stands alone and reports errors as `Commands` does."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's context and result
        """Run the command."""
        with errors_as_exit_code(lambda: ctx.params.get("source")):
            return super().invoke(ctx)


def run_command(function: Callable[..., None], name: str, arguments: Sequence[str]) -> None:
    """Run a function as a command of its own, called ``name``, and leave with its exit code.

    Its options are read from its signature only now, so that its module is imported when it is asked for.
    """
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(cls=OneCommand)(function)
    alone(args=list(arguments), prog_name=name)


@contextmanager
def progress(first: str = "reading the warehouse") -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a step, with the time since the start; off a terminal, one line per step."""
    console = plain_console(stderr=True)
    if not console.is_terminal:
        yield lambda message: console.print(message, highlight=False, soft_wrap=True)
        return
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(first)
        yield lambda message: bar.update(task, description=message)


def print_versions(kept: Sequence[KeptVersion], source: str) -> None:
    """Print the kept versions as a table, and below it what is wrong with the unusable ones."""
    console = plain_console()
    console.width = max(console.width, LIST_WIDTH)
    console.print(_table(kept, source))
    for one in kept:
        if one.fault:
            say(f"{one.version}: {one.fault}", style="red")


def _table(kept: Sequence[KeptVersion], source: str) -> Table:
    table = Table(title=f"Kept versions of {source}, latest training first")
    for name in ("version", "trained at (UTC)", "calibrated on", "judged on"):
        table.add_column(name, no_wrap=True)
    for name in ("judged profit", "AUC", "calibration ratio"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in kept:
        state = "champion" if one.is_champion else "unusable" if one.fault else ""
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


def ranking_words(auc: float, announced_churn_share: float | None, auc_without_notice: float | None) -> str:
    """Return the AUC and, where part of the churn was announced, the AUC without the customers who had given notice.

    Examples
    --------
    >>> ranking_words(0.8125, 0.25, 0.7)
    'AUC 0.812; 25 % of the churn was announced, AUC without customers who had given notice: 0.700'
    >>> ranking_words(0.8125, None, None), ranking_words(0.8125, 0.0, 0.8125)
    ('AUC 0.812', 'AUC 0.812')
    """
    words = f"AUC {auc:.3f}"
    if not announced_churn_share:
        return words
    rest = "not known" if auc_without_notice is None else f"{auc_without_notice:.3f}"
    return (
        f"{words}; {100 * announced_churn_share:.0f} % of the churn was announced,"
        f" AUC without customers who had given notice: {rest}"
    )
