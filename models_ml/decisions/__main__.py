"""Decisions from the shell: ``python -m models_ml.decisions whatif`` and ``… report``.

Exit codes: 0 answered, 1 could not answer, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from models_ml.decisions.what_if import Curve, draw_curve, open_warehouse, read_inputs
from models_ml.errors import BayesPilotError
from models_ml.paths import reports_folder
from models_ml.reports.what_if_page import plan_table, reference_table

DEFAULT_SHARES = (0.5, 1.0, 1.5, 2.0)  # of the present limit, where no amount is asked for

app = typer.Typer(
    help="What a plan would bring under other limits, and the report of the last plan.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Source = Annotated[str, typer.Option(help="Which source's warehouse to read.")]


@app.command()
def whatif(
    source: Source = "demo",
    budget: Annotated[
        str,
        typer.Option(help="Monthly budgets, such as 1000,2000,5000; default: half to twice the present one."),
    ] = "",
    capacity: Annotated[
        list[str] | None,
        typer.Option(help="Monthly contacts of an offer or channel, such as call=20,40,80; may be repeated."),
    ] = None,
) -> None:
    """Decide again under other budgets and capacities; nothing in the warehouse changes.

    Prints what each would spend and return, and draws the curves into reports/<source>/whatif.html. The
    build does the same for good: dbt build --selector decide --vars '{monthly_budget: 2000}'.
    """
    budgets = _amounts("--budget", budget)
    capacities = [_capacity(text) for text in capacity or []]
    with _explained() as console:
        with console.status("deciding"), open_warehouse(source) as connection:
            inputs = read_inputs(connection)
            money = inputs.month.find("budget")
            asked = budgets or [share * money.monthly for share in DEFAULT_SHARES]
            limits = [(inputs.month.find(name), amounts) for name, amounts in capacities]
            curves = [
                draw_curve(inputs.candidates, inputs.terms, inputs.month, limit, amounts)
                for limit, amounts in [(money, asked), *limits]
            ]
        _print(curves, inputs.terms.policy.currency)
        from models_ml.reports.what_if_page import write_whatif  # matplotlib takes half a second to load

        path = reports_folder(source) / "whatif.html"
        write_whatif(path, curves, source=source, inputs=inputs)
        typer.echo(f"drawn in {path}")


@app.command()
def report(source: Source = "demo") -> None:
    """Write reports/<source>/policy.html: what the last plan does, why, and what it is worth."""
    from models_ml.reports.policy_page import write_policy_report  # matplotlib takes half a second to load

    with _explained() as console:
        path = reports_folder(source) / "policy.html"
        with console.status("reading the last plan"), open_warehouse(source) as connection:
            write_policy_report(path, connection, source=source)
        typer.echo(f"written to {path}")


@contextmanager
def _explained() -> Iterator[Console]:
    """Say what is wrong and leave with exit code 1, where a person can mend it."""
    console = Console(stderr=True)
    try:
        yield console
    except BayesPilotError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error


def _print(curves: list[Curve], currency: str) -> None:
    console = Console()
    for curve in curves:
        console.print(plan_table(curve, currency))
        console.print(reference_table(curve, currency))


def _capacity(text: str) -> tuple[str, list[float]]:
    name, _, amounts = text.partition("=")
    if not name.strip() or not amounts:
        raise typer.BadParameter(f"{text!r} must name an offer or a channel: call=20,40,80")
    found = _amounts("--capacity", amounts)
    if any(amount != int(amount) for amount in found):
        raise typer.BadParameter(f"{text!r} must hold whole numbers of contacts")
    return name.strip(), found


def _amounts(option: str, text: str) -> list[float]:
    try:
        amounts = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} must be numbers separated by commas") from error
    if not all(0 <= amount < float("inf") for amount in amounts):
        raise typer.BadParameter(f"{option} {text!r} must hold numbers of at least 0")
    return amounts


if __name__ == "__main__":
    app()
