"""The training stage from the shell: ``python -m models_ml.train --source demo``.

Exit codes: 0 trained, 1 could not train, 2 wrong usage.
"""

from __future__ import annotations

from typing import Annotated

import duckdb
import typer
from rich.console import Console

from models_ml.deployment import DEPLOYED, DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder, warehouse_path
from models_ml.training.context import warehouse_tables
from models_ml.training.run import BASELINE, train_and_deploy, train_baseline
from models_ml.training.settings import load_settings
from models_ml.training.stage import Notify

BUILD_FIRST = "dbt build --vars '{{source: {source}}}' -s +training_examples +offer_effects"

app = typer.Typer(add_completion=False)


@app.command()
def main(
    source: Annotated[str, typer.Option(help="Which source's warehouse to train on.")] = "demo",
    baseline: Annotated[
        bool, typer.Option(help="Train logistic regression alone into churn_pipeline.pkl; deploy nothing.")
    ] = False,
) -> None:
    """Fit, calibrate and judge the candidates on the warehouse, and deploy the winner."""
    console = Console(stderr=True)
    try:
        with console.status("reading the warehouse") as status:
            record = run_training(source, baseline=baseline, status=status.update)
    except BayesPilotError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    stem = BASELINE if baseline else DEPLOYED
    typer.echo(f"{record.pipeline_version}: {record.selection_reason}")
    typer.echo(
        f"judged AUC {record.judged['metrics']['auc']:.3f}, written to {artifacts_folder(source) / stem}.pkl"
    )


def run_training(source: str, *, baseline: bool, status: Notify) -> DeploymentRecord:
    """Open the warehouse read-only and train."""
    path = warehouse_path(source)
    if not path.is_file():
        raise BayesPilotError(
            "there is no warehouse to train on", where=str(path), next_step=BUILD_FIRST.format(source=source)
        )
    run = train_baseline if baseline else train_and_deploy
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set python_enable_replacements = false")  # a missing table is missing
            return run(
                connection, warehouse_tables(), artifacts_folder(source), load_settings(), notify=status
            )
    except duckdb.CatalogException as error:
        raise BayesPilotError(
            f"the warehouse lacks a table that training reads: {error}",
            where=str(path),
            next_step=BUILD_FIRST.format(source=source),
        ) from error
    except duckdb.IOException as error:
        raise BayesPilotError(
            f"the warehouse cannot be opened: {error}",
            where=str(path),
            next_step="wait until dbt has finished, or close what has the file open",
        ) from error


if __name__ == "__main__":
    app()
