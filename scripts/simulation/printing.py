"""The simulation's tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from simulation.appraisal import OWN
from simulation.loop import Month
from simulation.results import NOBODY, POLICY_ORDER, of_seed, seeds_of, share_of_best, total

CURRENCY = "EUR"
SHOWN = tuple(name for name in POLICY_ORDER if name != NOBODY)


def print_months(console: Console, months: Sequence[Month]) -> None:
    """Print a row a month for one seed: what each policy is truly worth."""
    table = _table(f"Seed {months[0].seed}: true value a month, {CURRENCY} (contacting nobody is worth 0)")
    for name in ("month", "as_of_date", "contacts", "believed", *SHOWN, "share of best", "build s"):
        table.add_column(name, justify="left" if name == "as_of_date" else "right")
    for month in months:
        judged = month.appraisal
        table.add_row(
            str(month.number),
            month.as_of_date,
            f"{judged.contacts:,}",
            _whole(judged.expected),
            *(_whole(judged.values[name]) for name in SHOWN),
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
            *(_whole(month.appraisal.values[OWN]) for month in (own[0], own[-1])),
        )
    console.print(table)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold", pad_edge=False)


def _whole(amount: float) -> str:
    return f"{round(amount):,}"


def _share(part: float) -> str:
    return f"{100 * part:.0f} %"
