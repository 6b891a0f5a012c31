"""The training stage from the shell: ``python -m models_ml.train --source demo``.

Exit codes: 0 done, 1 could not, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import duckdb
import typer
from rich.console import Console

from models_ml.deployment.versions import kept_versions, promote, roll_back
from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder, reports_folder, warehouse_path
from models_ml.terminal import print_versions, progress
from models_ml.train_and_deploy import BASELINE, train_and_deploy, train_baseline
from models_ml.training.context import Purpose, read_purpose, warehouse_tables
from models_ml.training.settings import load_settings

BUILD_FIRST = "dbt build --vars '{{source: {source}}}' -s +training_examples +int_earlier_effects"
OTHERWISE = " stays; --promote {} deploys the other"

Result = TypeVar("Result")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def main(
    source: Annotated[str, typer.Option(help="Which source's warehouse and pipelines.")] = "demo",
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Train logistic regression alone into churn_pipeline.pkl.")
    ] = False,
    promote_version: Annotated[
        str | None,
        typer.Option("--promote", metavar="VERSION", help="Deploy a kept version after verifying it."),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Deploy what was deployed before; twice goes back twice.")
    ] = False,
    list_versions: Annotated[
        bool, typer.Option("--list", help="List the kept versions and which one is the champion.")
    ] = False,
) -> None:
    """Fit, calibrate and judge the candidates on the warehouse, and let the winner challenge the champion.

    The winner is deployed if it earns more than the deployed pipeline with the probability that
    models_ml/training/settings.toml asks for and no guardrail fails; else it is kept beside it. The deployed
    recipe trained again, or the successor of a stale pipeline, needs only not to earn less; the first winner is
    deployed in any case. Every version can be deployed by hand with --promote. The next dbt build scores with
    what is deployed.

    Exit codes: 0 done, 1 could not, 2 wrong usage.
    """
    asked = {
        "--baseline": baseline,
        "--promote": promote_version,
        "--rollback": rollback,
        "--list": list_versions,
    }
    together = [name for name, given in asked.items() if given is not None and given is not False]
    if len(together) > 1:
        raise typer.BadParameter(f"{' and '.join(together)} do different things: give one of them")
    with _errors_as_exit_code():
        if promote_version is not None:
            _promote(source, promote_version)
        elif rollback:
            _roll_back(source)
        elif list_versions:
            _list(source)
        elif baseline:
            _train_baseline(source)
        else:
            _train(source)


def _train(source: str) -> None:
    with progress() as notify:
        trained = with_warehouse(
            source,
            lambda connection: train_and_deploy(
                connection,
                warehouse_tables(),
                artifacts_folder(source),
                load_settings(),
                notify=notify,
                reports=reports_folder(source),
            ),
        )
    winner, selection = trained.winner, trained.selection
    typer.echo(f"{winner.pipeline_version}: {winner.selection_reason}")
    typer.echo(f"judged AUC {winner.judged['metrics']['auc']:.3f}; {selection.reason}")
    for guardrail in selection.failed:
        typer.echo(f"guardrail {guardrail.name} fails: {guardrail.value:.3f} ({guardrail.note})")
    deployed = trained.deployed.pipeline_version
    otherwise = "" if deployed == winner.pipeline_version else OTHERWISE.format(winner.pipeline_version)
    typer.echo(f"deployed: {deployed}{otherwise}")


def _train_baseline(source: str) -> None:
    folder = artifacts_folder(source)
    with progress() as notify:
        record = with_warehouse(
            source,
            lambda connection: train_baseline(
                connection, warehouse_tables(), folder, load_settings(), notify=notify
            ),
        )
    typer.echo(f"{record.pipeline_version}: {record.selection_reason}")
    typer.echo(f"judged AUC {record.judged['metrics']['auc']:.3f}, written to {folder / BASELINE}.pkl")


def _promote(source: str, version: str) -> None:
    record, changed = promote(artifacts_folder(source), version, _purpose(source))
    typer.echo(f"{record.pipeline_version} {'is deployed' if changed else 'was deployed already'}")


def _roll_back(source: str) -> None:
    record = roll_back(artifacts_folder(source), _purpose(source))
    typer.echo(f"{record.pipeline_version} is deployed again")


def _list(source: str) -> None:
    kept = kept_versions(artifacts_folder(source), source)
    if not kept:
        typer.echo(
            f"no version of {source} is kept yet: train first, python -m models_ml.train --source {source}"
        )
        return
    print_versions(kept, source)


def _purpose(source: str) -> Purpose:
    return with_warehouse(source, lambda connection: read_purpose(connection, warehouse_tables()))


def with_warehouse(source: str, work: Callable[[Any], Result]) -> Result:
    """Open the warehouse read-only and do the work on it."""
    path = warehouse_path(source)
    if not path.is_file():
        raise BayesPilotError(
            "there is no warehouse to read", where=str(path), next_step=BUILD_FIRST.format(source=source)
        )
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set python_enable_replacements = false")  # a missing table is missing
            return work(connection)
    except duckdb.CatalogException as error:
        raise BayesPilotError(
            f"the warehouse lacks a table that is needed: {error}",
            where=str(path),
            next_step=BUILD_FIRST.format(source=source),
        ) from error
    except duckdb.IOException as error:
        raise BayesPilotError(
            f"the warehouse cannot be opened: {error}",
            where=str(path),
            next_step="wait until dbt has finished, or close what has the file open",
        ) from error


@contextmanager
def _errors_as_exit_code() -> Iterator[None]:
    try:
        yield
    except BayesPilotError as error:
        console = Console(stderr=True)
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
