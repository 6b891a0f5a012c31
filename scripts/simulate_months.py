"""Simulate months of the demo business with BayesPilot, and value every month by the hidden truth.

    python scripts/simulate_months.py --customers 20000 --months 6 --seeds 1,2,3,4,5 --priors none

Each month is decided, its actions are executed in the world, and the world's reaction is the next month's input. Each
seed gets a world and a copy of the project in a temporary folder; this project's warehouse and deployed pipeline do
not change. Each month every policy is valued on the same customers, those that remain after BayesPilot's earlier
contacts, and within the same limits; what is felt of a contact after the horizon does not count. With --check the exit
code is 1 where the policy did not learn, did not beat the simple rules or did not recover from wrong beliefs
(simulation.results.missed_targets).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from option_values import whole_numbers
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from simulation.loop import Month, Setting, simulate
from simulation.page import write_simulation_page
from simulation.results import (
    CURRENCY,
    POLICY_ORDER,
    missed_targets,
    of_seed,
    seeds_of,
    share_of_best,
    total,
    write_results,
)
from simulation.true_value import NOBODY, OWN

from models_ml.errors import BayesPilotError

OUT = Path("reports/demo/simulation")
SHOWN = tuple(name for name in POLICY_ORDER if name != NOBODY)


def simulate_all(
    settings: Sequence[Setting], work: Path, deployed: Path | None, console: Console, *, with_dbt: bool
) -> list[Month]:
    """Run one simulation per setting, each in its own folder below ``work``; one that fails is said and left out."""
    months: list[Month] = []
    with Progress(console=console, transient=True) as progress:
        steps = progress.add_task("months", total=sum(setting.months for setting in settings))
        for setting in settings:
            progress.update(steps, description=f"seed {setting.seed}")
            folder = work / f"seed_{setting.seed}"
            try:
                months += simulate(
                    setting, folder, lambda _: progress.advance(steps), deployed, with_dbt=with_dbt
                )
            except BayesPilotError as error:
                console.print(str(error), style="red", markup=False, highlight=False)
                continue
            print_months(console, of_seed(months, setting.seed))
    return months


def main(
    customers: Annotated[
        int, typer.Option(min=100, help="Customers that signed up before the first month.")
    ] = 2000,
    months: Annotated[int, typer.Option(min=1, max=36, help="Months to simulate.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random world.")] = 1,
    seeds: Annotated[str, typer.Option(help="Several worlds, such as 1,2,3; overrides --seed.")] = "",
    priors: Annotated[
        str,
        typer.Option(help="Priors of the offers' effects: demo (as shipped), none, wrong, or a CSV file."),
    ] = "demo",
    learning_share: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the month's money and contacts for trials.")
    ] = 0.1,
    past_trial: Annotated[
        bool, typer.Option(help="Whether a randomised trial ran in the months before the first.")
    ] = True,
    deployed: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Artifacts folder whose pipeline is deployed from the start; otherwise one is trained.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the page and the CSV files.")] = OUT,
    with_dbt: Annotated[
        bool,
        typer.Option(
            "--dbt/--fast", help="Build every month with dbt, or only the first: same decisions, in seconds."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a target is missed.")] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the copies of the project here instead of a temporary folder.")
    ] = None,
) -> None:
    """Simulate months of the demo business and compare BayesPilot's true value with that of other policies.

    Prints tables, and writes a page and three CSV files. Exits with 1 where a world fails; the others are shown.
    """
    if check and months == 1:
        raise typer.BadParameter("--check compares the last month with the first", param_hint="--months")
    console = Console(width=None if sys.stdout.isatty() else 190)
    numbers = whole_numbers(seeds, "--seeds") if seeds else [seed]
    settings = [Setting(customers, months, number, priors, learning_share, past_trial) for number in numbers]
    with tempfile.TemporaryDirectory(prefix="bayespilot-") as aside:
        simulated = simulate_all(settings, keep or Path(aside), deployed, console, with_dbt=with_dbt)
    if not simulated:
        raise typer.Exit(1)
    for each in seeds_of(simulated):
        print_effects(console, of_seed(simulated, each)[-1])
    print_totals(console, simulated)
    files = [
        *write_results(out, simulated),
        write_simulation_page(out / "simulation.html", settings, simulated),
    ]
    for path in files:
        console.print(str(path))
    missed = missed_targets(simulated) if check else []
    if check:
        console.print(f"Targets missed: {'; '.join(missed) or 'none'}.")
    left_out = sorted(set(numbers) - set(seeds_of(simulated)))
    if left_out:
        console.print(f"Left out, because they failed: seeds {', '.join(map(str, left_out))}.")
    if missed or left_out:
        raise typer.Exit(1)


def print_months(console: Console, months: Sequence[Month]) -> None:
    """Print a row a month for one seed: what each policy is truly worth."""
    table = _table(f"Seed {months[0].seed}: true value a month, {CURRENCY} (contacting nobody is worth 0)")
    for name in ("month", "as_of_date", "contacts", "believed", *SHOWN, "share of best", "build s"):
        table.add_column(name, justify="left" if name == "as_of_date" else "right")
    for month in months:
        value = month.value
        table.add_row(
            str(month.number),
            month.as_of_date,
            f"{value.contacts:,}",
            _whole(value.expected),
            *(_whole(value.by_policy[name]) for name in SHOWN),
            _share(share_of_best([month])),
            f"{month.build.seconds:.0f}",
        )
    console.print(table)


def print_effects(console: Console, month: Month) -> None:
    """Print the believed relative risk of each offer beside the true one, after one month."""
    table = _table(f"Seed {month.seed}, {month.as_of_date}: average relative risk, believed and true")
    for name in ("offer", "believed", "90 % interval", "true"):
        table.add_column(name, justify="left" if name == "offer" else "right")
    for risk in month.risks:
        table.add_row(
            risk.offer, f"{risk.believed:.3f}", f"{risk.low:.3f} to {risk.high:.3f}", f"{risk.true:.3f}"
        )
    console.print(table)


def print_totals(console: Console, months: Sequence[Month]) -> None:
    """Print a row a seed: totals per policy, and the share of the best possible plan's gain."""
    table = _table(f"True value of all months, {CURRENCY}")
    for name in ("seed", *SHOWN, "share of best", "first month", "last month"):
        table.add_column(name, justify="right")
    for seed in seeds_of(months):
        own = of_seed(months, seed)
        table.add_row(
            str(seed),
            *(_whole(total(own, name)) for name in SHOWN),
            _share(share_of_best(own)),
            *(_whole(month.value.by_policy[OWN]) for month in (own[0], own[-1])),
        )
    console.print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold", pad_edge=False)


def _whole(amount: float) -> str:
    return f"{round(amount):,}"


def _share(part: float) -> str:
    return f"{100 * part:.0f} %"


if __name__ == "__main__":
    typer.run(main)
