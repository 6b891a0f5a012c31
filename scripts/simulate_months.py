"""Play the demo business forward: build, deliver, let the world react, build again; judged by the hidden truth.

    python scripts/simulate_months.py --customers 20000 --months 6 --seeds 1,2,3,4,5 --priors none

Each seed gets a world and a copy of the project in a temporary folder; nothing of this project's warehouse or
deployed pipeline is touched. Each month every policy is valued on the same customers, those that BayesPilot's
own earlier contacts left behind, and within the same limits. With --check the exit code is 1 where the policy did
not learn, did not beat the simple rules or did not recover from wrong beliefs (simulation.targets).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from simulation.loop import Month, Setting, simulate
from simulation.page import write_loop_page
from simulation.printing import print_effects, print_months, print_totals
from simulation.results import of_seed, seeds_of, write_results
from simulation.targets import missed_targets

from models_ml.errors import BayesPilotError

OUT = Path("reports/demo/simulation")


def play_all(settings: Sequence[Setting], work: Path, deployed: Path | None, console: Console) -> list[Month]:
    """Play one simulation per setting, each in its own folder below ``work``."""
    months: list[Month] = []
    with Progress(console=console, transient=True) as progress:
        steps = progress.add_task("months", total=sum(setting.months for setting in settings))
        for setting in settings:
            progress.update(steps, description=f"seed {setting.seed}")
            folder = work / f"seed_{setting.seed}"
            months += simulate(setting, folder, lambda _: progress.advance(steps), deployed)
            print_months(console, of_seed(months, setting.seed))
    return months


def main(
    customers: Annotated[
        int, typer.Option(min=100, help="Customers that signed up before the first month.")
    ] = 2000,
    months: Annotated[int, typer.Option(min=1, max=36, help="Months to play.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another world.")] = 1,
    seeds: Annotated[str, typer.Option(help="Several worlds, such as 1,2,3; overrides --seed.")] = "",
    priors: Annotated[
        str, typer.Option(help="First beliefs: demo (as shipped), none, wrong, or a CSV file.")
    ] = "demo",
    trial_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of customers a month on a randomised trial.")
    ] = 0.02,
    past_trial: Annotated[
        bool, typer.Option(help="Whether a randomised trial ran in the months before the first.")
    ] = True,
    deployed: Annotated[
        Path | None,
        typer.Option(
            help="Artifacts folder whose pipeline is deployed from the start; otherwise one is trained."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the page and the CSV files.")] = OUT,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 where a target of simulation.targets is missed.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the copies of the project here instead of a temporary folder.")
    ] = None,
) -> None:
    """Play the demo business forward and say what BayesPilot is worth beside other policies."""
    console = Console(width=None if sys.stdout.isatty() else 190)
    numbers = [int(each) for each in seeds.split(",") if each.strip()] or [seed]
    settings = [Setting(customers, months, number, priors, trial_share, past_trial) for number in numbers]
    try:
        with tempfile.TemporaryDirectory(prefix="bayespilot-") as aside:
            played = play_all(settings, keep or Path(aside), deployed, console)
    except BayesPilotError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(1) from None
    for each in seeds_of(played):
        print_effects(console, of_seed(played, each)[-1])
    print_totals(console, played)
    files = [*write_results(out, played), write_loop_page(out / "simulation.html", settings, played)]
    for path in files:
        console.print(str(path))
    missed = missed_targets(played) if check else []
    if check:
        console.print(f"Targets missed: {'; '.join(missed) or 'none'}.")
    if missed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
