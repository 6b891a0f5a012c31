"""Check the estimates of offer effects where these are known: coverage of intervals, and bias.

    python scripts/effect_study.py --worlds 200

A row misses its target when an offer that does nothing is held for one that does something in more than 9 % of worlds,
when 95 % intervals hold effects drawn from the prior in less than 91 % or more than 99 %, or when estimates are off by
more than 0.3 of their sd on average. The worlds are in scripts/effect_study_world.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from effect_study_world import NULL_OFFER, Scenario, error_along_a_signal, play
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models_ml.effects.effect_settings import load_settings

NULL_COVERAGE = 0.91
PRIOR_COVERAGE = (0.91, 0.99)
LARGEST_MEAN_Z = 0.3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()

SCENARIOS = (
    Scenario(
        "null, churn model off by 0.3 along a signal",
        error=error_along_a_signal(*[0.3] * 4),
        has_null_offer=True,
    ),
    Scenario(
        "null, error differs by compared offer",
        error=error_along_a_signal(0.3, -0.3, 0.3, 0.0),
        has_null_offer=True,
    ),
    Scenario("effects and errors drawn from the prior"),
    Scenario("half of those assigned are reached", reach=0.5),
    Scenario("15 % of controls contacted by others", contamination=0.15),
    Scenario("half reached, 15 % contacted by others", reach=0.5, contamination=0.15),
    Scenario(
        "null, half reached, 15 % contacted by others", reach=0.5, contamination=0.15, has_null_offer=True
    ),
    Scenario("contacts within a week, earlier leavers missed", days_to_contact=7.0),
)


@dataclass(frozen=True)
class Result:
    """One scenario over all worlds: shares and means of the worst and of all coefficients that it is about."""

    scenario: Scenario
    lowest_coverage: float
    coverage: float
    largest_mean_z: float
    mean_z: float

    @property
    def misses(self) -> list[str]:
        """Name the targets that do not hold."""
        found = []
        if self.scenario.has_null_offer:
            if self.lowest_coverage < NULL_COVERAGE:
                found.append("coverage of 0")
        elif not PRIOR_COVERAGE[0] <= self.coverage <= PRIOR_COVERAGE[1]:
            found.append("coverage")
        if abs(self.mean_z) > LARGEST_MEAN_Z:
            found.append("mean z")
        return found


def study(scenario: Scenario, worlds: int, seed: int) -> Result:
    """Play a scenario in many worlds; of a null offer only its own coefficients count."""
    settings, _ = load_settings()
    found = [
        play(scenario, np.random.default_rng([seed, world]), settings)
        for world in track(range(worlds), scenario.name, console=console, transient=True)
    ]
    offers = slice(NULL_OFFER, NULL_OFFER + 1) if scenario.has_null_offer else slice(None)
    covered = np.mean([each.covered[offers] for each in found], axis=0)
    z = np.mean([each.z[offers] for each in found], axis=0)
    return Result(scenario, covered.min(), covered.mean(), float(z.ravel()[np.abs(z).argmax()]), z.mean())


@app.command()
def main(
    worlds: Annotated[int, typer.Option(min=10, help="Worlds per scenario.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the first world.")] = 1,
) -> None:
    """Print coverage and bias of every scenario; exit with 1 where one misses its target."""
    results = [study(scenario, worlds, seed) for scenario in SCENARIOS]
    table = Table(title=f"Offer effects in {worlds} worlds each", box=box.SIMPLE_HEAD)
    table.add_column("scenario", no_wrap=True)
    for heading in ("covers", "lowest", "mean z", "largest", "misses"):
        table.add_column(heading, justify="right")
    for each in results:
        table.add_row(
            each.scenario.name,
            f"{each.coverage:.1%}",
            f"{each.lowest_coverage:.1%}",
            f"{each.mean_z:+.2f}",
            f"{each.largest_mean_z:+.2f}",
            ", ".join(each.misses) or "-",
        )
    console.print(table)
    if any(each.misses for each in results):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
