"""Run the demo business for two years on one warehouse, then ask whether it kept its word.

    python scripts/check_months.py --customers 2000 --months 24

Every decision must be in history once; building the latest month again must change nothing; deciding every month
again in an empty warehouse, with the same deployed pipeline and with raw data that know what came later, must
give the same decisions. Seconds per build show how they grow. Two builds a month: about 12 minutes for 24 months
on two idle cores, whatever the size up to some thousand customers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from simulation.business import BuildTime
from simulation.keeping import Kept, changed_by_rebuild, growth, kept, replay
from simulation.loop import Month, Setting, found, play

from models_ml.errors import BayesPilotError


def main(
    customers: Annotated[int, typer.Option(min=100, help="Customers before the first month.")] = 2000,
    months: Annotated[int, typer.Option(min=3, max=36, help="Months to run.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another world.")] = 1,
    trial_share: Annotated[float, typer.Option(min=0, max=1, help="Share of customers on trial.")] = 0.02,
    replayed: Annotated[int, typer.Option(min=0, help="Months to replay; 0 = all of them.")] = 0,
) -> None:
    """Run many months on one warehouse; check history, a second build of the last month, and a replay."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    setting = Setting(customers, months, seed, "demo", trial_share, past_trial=True)
    try:
        with tempfile.TemporaryDirectory(prefix="bayespilot-") as aside:
            broken = check(setting, Path(aside), replayed or months, console)
    except BayesPilotError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(1) from None
    if broken:
        console.print("[red]" + "; ".join(broken))
        raise typer.Exit(1)
    console.print("All of it holds.")


def check(setting: Setting, folder: Path, replayed: int, console: Console) -> list[str]:
    """Run and check; print what was found and return what does not hold, in words."""
    business, world = found(setting, folder / "business")
    played: list[Month] = []
    after: list[Kept] = []
    for month, _ in track(play(setting, business, world), "months", setting.months, console=console):
        played.append(month)
        after.append(kept(business))
    console.print(_table(played, after))
    broken = [
        f"history holds {held.decisions} rows of {held.action_ids} decisions after month {month.number}"
        for month, held in zip(played, after, strict=True)
        if not held.holds_each_once or held.dates != month.number
    ]
    for name, of in (("clock", _clock), ("CPU", _cpu)):
        start, slope = growth([month.build for month in played], of)
        console.print(f"build, {name}: {start:.1f} s in month 2, {slope:+.2f} s with every month")
    changed = changed_by_rebuild(business)
    console.print(f"a second build of the latest month changes: {', '.join(changed) or 'nothing'}")
    broken += [f"a second build changes {name}" for name in changed]
    dates = [month.as_of_date for month in played[:replayed]]
    found_again = list(track(replay(business, dates), "replay", len(dates), console=console))
    for date, differing in found_again:
        if differing:
            broken.append(f"replayed, {differing} rows of {date} differ")
    console.print(
        f"replayed {len(dates)} months: {sum(differing for _, differing in found_again)} rows differ"
    )
    return broken


def _clock(build: BuildTime) -> float:
    return build.seconds


def _cpu(build: BuildTime) -> float:
    return build.cpu_seconds


def _table(played: list[Month], after: list[Kept]) -> Table:
    table = Table(title="Every month on one warehouse", title_justify="left", pad_edge=False)
    for name in ("month", "as_of_date", "customers", "contacts", "rows of history", "build s", "build CPU s"):
        table.add_column(name, justify="left" if name == "as_of_date" else "right")
    for month, held in zip(played, after, strict=True):
        table.add_row(
            str(month.number),
            month.as_of_date,
            f"{month.appraisal.customers:,}",
            f"{month.appraisal.contacts:,}",
            f"{held.decisions:,}",
            f"{month.build.seconds:.1f}",
            f"{month.build.cpu_seconds:.1f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
