"""Training and deployment by hand: what ``bayespilot train``, ``versions``, ``promote`` and ``rollback`` do.

``python -m models_ml.train`` does the same with options. Exit codes: 0 done, 1 could not, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from models_ml.deployment.deployed import read_deployed
from models_ml.deployment.record import DeploymentRecord, misfits
from models_ml.deployment.versions import (
    UNFIT,
    KeptVersion,
    kept_versions,
    known_versions,
    promote,
    roll_back,
    sign_versions,
)
from models_ml.errors import BayesPilotError
from models_ml.paths import artifacts_folder, check_source, reports_folder
from models_ml.terminal import OneCommand, print_versions, progress, ranking_words, say
from models_ml.train_and_deploy import BASELINE, train_and_deploy, train_baseline
from models_ml.training.context import Purpose, read_purpose, warehouse_tables
from models_ml.training.settings import load_settings
from models_ml.warehouse import open_warehouse

OTHERWISE = " stays; bayespilot promote {} --source {} deploys the other"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=OneCommand)
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
    allow_miscalibrated: Annotated[
        bool, typer.Option("--allow-miscalibrated", help="Deploy even if the calibration check fails.")
    ] = False,
    list_versions: Annotated[
        bool, typer.Option("--list", help="List the kept versions and which one is the champion.")
    ] = False,
) -> None:
    """Train, list, promote or roll back: the same as bayespilot train, versions, promote and rollback.

    Without an option, the candidates are fitted, calibrated and judged on the warehouse, and the winner
    challenges the deployed pipeline. Exit codes: 0 done, 1 could not, 2 wrong usage.
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
    if promote_version is not None:
        promote_by_hand(source, promote_version)
    elif rollback:
        roll_back_by_hand(source)
    elif list_versions:
        show_versions(source)
    elif baseline:
        train_the_baseline(source)
    else:
        train_and_challenge(source, allow_miscalibrated=allow_miscalibrated)


def train_and_challenge(source: str, *, allow_miscalibrated: bool = False) -> None:
    """Train all candidates on the warehouse; the winner is deployed unless the champion stays."""
    with progress() as notify, open_warehouse(source) as connection:
        trained = train_and_deploy(
            connection,
            warehouse_tables(),
            artifacts_folder(source),
            load_settings(),
            notify=notify,
            reports=reports_folder(source),
            allow_miscalibrated=allow_miscalibrated,
        )
    winner, selection = trained.winner, trained.selection
    say(f"{winner.pipeline_version}: {winner.selection_reason}")
    say(f"judged {_ranking(winner)}; {selection.reason}")
    for guardrail in selection.failed:
        say(f"guardrail {guardrail.name} fails: {guardrail.value:.3f} ({guardrail.note})")
    if trained.deployed.calibration_warning:
        say(trained.deployed.calibration_warning)
    deployed = trained.deployed.pipeline_version
    otherwise = (
        "" if deployed == winner.pipeline_version else OTHERWISE.format(winner.pipeline_version, source)
    )
    say(f"deployed: {deployed}{otherwise}")


def train_the_baseline(source: str) -> None:
    """Train logistic regression alone and keep it beside what is deployed."""
    folder = artifacts_folder(source)
    with progress() as notify, open_warehouse(source) as connection:
        record = train_baseline(connection, warehouse_tables(), folder, load_settings(), notify=notify)
    say(f"{record.pipeline_version}: {record.selection_reason}")
    say(f"judged {_ranking(record)}; written to {folder / BASELINE}.pkl")


def promote_by_hand(source: str, version: str) -> None:
    """Deploy a kept version."""
    record, changed = promote(artifacts_folder(source), version, _purpose(source))
    say(f"{record.pipeline_version} {'is deployed' if changed else 'was deployed already'}")


def roll_back_by_hand(source: str) -> None:
    """Deploy what was deployed before."""
    record = roll_back(artifacts_folder(source), _purpose(source))
    say(f"{record.pipeline_version} is deployed again")


def sign_by_hand(source: str) -> None:
    """Sign the kept versions and what is deployed."""
    signed = sign_versions(artifacts_folder(source), source)
    say(f"signed: {', '.join(signed)}" if signed else "every pipeline is signed by the key in use")


def show_versions(source: str) -> None:
    """List the kept versions."""
    folder = artifacts_folder(source)
    kept = kept_versions(folder, source)
    if kept:
        print_versions(kept, source)
        if len({one.record.trained_at for one in kept if one.record}) > 1:
            say(
                "Judged profits of two trainings cannot be compared: each values contacts by its own candidates."
            )
        _say_what_does_not_fit(kept, source)
        _say_what_is_wrong_with_the_deployed(folder, source)
    else:
        check_source(source)
        say(f"no version of {source} is kept yet: train first, bayespilot train --source {source}")


def _ranking(record: DeploymentRecord) -> str:
    metrics = record.judged["metrics"]
    return ranking_words(
        metrics["auc"], metrics.get("announced_churn_share"), metrics.get("auc_without_notice")
    )


def _say_what_is_wrong_with_the_deployed(folder: Path, source: str) -> None:
    """Compare with what is kept: its own copy may be intact while the deployed one is not, or be gone."""
    try:
        deployed = read_deployed(folder, source)
    except BayesPilotError as error:
        say(f"deployed, and cannot be used: {str(error).splitlines()[0]}", style="red")
        return
    if deployed and deployed[0].pipeline_version not in known_versions(folder):
        say(f"deployed, and not kept: {deployed[0].pipeline_version}", style="red")


def _say_what_does_not_fit(kept: Sequence[KeptVersion], source: str) -> None:
    try:
        purpose = _purpose(source)
    except BayesPilotError as error:
        say(f"which of them fit {source} as it is now is not known: {str(error).splitlines()[0]}")
        return
    for one in kept:
        found = misfits(one.record, purpose) if one.record else []
        if found:
            say(f"{one.version} {UNFIT}: {'; '.join(found)}", style="red")


def _purpose(source: str) -> Purpose:
    with open_warehouse(source) as connection:
        return read_purpose(connection, warehouse_tables())


if __name__ == "__main__":
    app()
