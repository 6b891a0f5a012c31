"""Check estimates of the value of a policy where that value is known: coverage of intervals, and errors.

    python scripts/policy_value_study.py --replications 1000 --holdout 0.05,0.1,0.2
    python scripts/policy_value_study.py --promotion FOLDER

The world of the first command is in scripts/policy_study/world.py. The second reads train.parquet of a real
randomised promotion and holds the estimates against the plain contrast of its two groups.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from policy_study.coverage import Outcome, study
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models_ml.errors import BayesPilotError

COVERAGE = (0.92, 0.98)  # what doubly-robust intervals must reach
RMSE_RATIO = 0.40  # doubly robust to self-normalised, rewards counted as margin kept

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()


def holdout_shares(text: str) -> list[float]:
    """Read '0.05,0.1'.

    Raises
    ------
    BayesPilotError
        If a share is no number from 0.05 to 0.95.

    Examples
    --------
    >>> holdout_shares("0.05, 0.2")
    [0.05, 0.2]
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or any(not 0.05 <= share <= 0.95 for share in shares):
        raise BayesPilotError(
            "holdout shares lie within 0.05 to 0.95", values=[text], next_step="--holdout 0.05,0.1,0.2"
        )
    return shares


def study_table(found: dict[float, list[Outcome]]) -> Table:
    """One row per share, method and reward."""
    table = Table("share", title="Value of the plan against contacting nobody", box=box.SIMPLE_HEAD)
    table.add_column("method, reward", no_wrap=True)
    for heading in ("covers", "above", "below", "bias t", "RMSE", "DR/it"):
        table.add_column(heading, justify="right")
    for holdout, outcomes in found.items():
        best = next(outcome.rmse for outcome in outcomes if outcome.method == "dr")
        for outcome in outcomes:
            table.add_row(
                f"{holdout:.0%}",
                f"{outcome.method}, {outcome.reward}",
                f"{outcome.coverage:.3f}",
                f"{(outcome.error > outcome.half_width).mean():.3f}",
                f"{(outcome.error < -outcome.half_width).mean():.3f}",
                f"{outcome.bias:+.1f}",
                f"{outcome.rmse:,.0f}",
                f"{best / outcome.rmse:.2f}",
            )
        table.add_section()
    table.caption = (
        "covers, above, below: share of intervals that hold the truth, lie wholly above it, or below. Rewards"
        " count what is kept (margin) or what is lost (loss); for dr both give the same estimate."
    )
    return table


def missed_targets(found: dict[float, list[Outcome]]) -> list[str]:
    """Name the targets that the study misses."""
    missed = []
    for holdout, outcomes in found.items():
        by_key = {(outcome.method, outcome.reward): outcome for outcome in outcomes}
        robust, plain = by_key["dr", "margin"], by_key["snips", "margin"]
        if not COVERAGE[0] <= robust.coverage <= COVERAGE[1]:
            missed.append(f"coverage {robust.coverage:.3f} at a holdout of {holdout:.0%}")
        if robust.rmse > RMSE_RATIO * plain.rmse:
            missed.append(f"RMSE ratio {robust.rmse / plain.rmse:.2f} at a holdout of {holdout:.0%}")
    return missed


def print_promotion(folder: Path) -> None:
    """Print the value of mailing everyone and of a targeted policy, by every method."""
    from policy_study.promotion import compare, read_promotion  # only this needs scikit-learn

    table = Table("policy", "method", title="Dollars per customer against mailing nobody")
    for heading in ("value", "95 % from", "to"):
        table.add_column(heading, justify="right")
    for policy, method, value in compare(read_promotion(folder)):
        if method == "plain contrast":
            table.add_section()
        table.add_row(policy, method, f"{value.value:+.4f}", f"{value.low:+.4f}", f"{value.high:+.4f}")
    console.print(table)


@app.command()
def main(
    replications: Annotated[int, typer.Option(min=2, help="Worlds played per holdout share.")] = 1000,
    holdout: Annotated[str, typer.Option(help="Pick-holdout shares, with commas.")] = "0.05,0.1,0.2",
    customers: Annotated[int, typer.Option(min=2000, help="Customers in the first month.")] = 5000,
    months: Annotated[int, typer.Option(min=1, max=24, help="Months pooled.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other worlds.")] = 1,
    promotion: Annotated[
        Path | None, typer.Option(help="Folder of the real promotion's train.parquet; nothing else is run.")
    ] = None,
) -> None:
    """Print coverage and errors of every method; exit 1 where a target is missed."""
    try:
        if promotion is not None:
            print_promotion(promotion)
            return
        shares = holdout_shares(holdout)
    except BayesPilotError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        sys.exit(1)
    found = {}
    with Progress(console=console) as progress:
        for share in shares:
            task = progress.add_task(f"holdout {share:.0%}", total=replications)
            found[share] = study(
                replications=replications,
                holdout=share,
                customers=customers,
                months=months,
                seed=seed,
                advance=lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
    console.print(study_table(found))
    missed = missed_targets(found)
    console.print(f"Targets missed: {'; '.join(missed) or 'none'}.")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    app()
