"""The monitoring report from the shell: ``python -m models_ml.monitoring report --source demo``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from models_ml.errors import BayesPilotError
from models_ml.paths import project_root, reports_folder, warehouse_path
from models_ml.reports.monitoring_data import read_monitoring
from models_ml.reports.monitoring_findings import findings
from models_ml.reports.monitoring_page import monitoring_page
from models_ml.reports.page import write_page

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Watch the deployed pipeline and what the policy makes of it."""


@app.command()
def report(
    source: Annotated[str, typer.Option(help="Which source's warehouse to report on.")] = "demo",
) -> None:
    """Write reports/<source>/monitoring.html and print what needs a person.

    Reads the warehouse only. Exit codes: 0 written, 1 could not, 2 wrong usage.
    """
    try:
        data = read_monitoring(warehouse_path(source), source, project_root() / "target" / "run_results.json")
        path = reports_folder(source) / "monitoring.html"
        write_page(path, monitoring_page(data))
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    console = Console(soft_wrap=True)
    page = monitoring_page(data)
    console.print(page.verdict, markup=False, highlight=False)
    for finding in findings(data):
        console.print(f"- {finding.what}: {finding.evidence}", markup=False, highlight=False)
    console.print(f"wrote {path}", markup=False, highlight=False)


if __name__ == "__main__":
    app()
