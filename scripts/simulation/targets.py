"""What a simulation must show: the policy learns, beats simpler rules, and recovers from wrong beliefs."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.appraisal import OWN
from simulation.loop import Month
from simulation.results import NOBODY, mean_by_month, of_seed, seeds_of, total

BEATEN = (NOBODY, "fixed thresholds", "break-even", "top risk")
RECOVERED_BY = 3  # months


def missed_targets(months: Sequence[Month]) -> list[str]:
    """Name what does not hold, in words; empty where all of it does.

    On average over seeds the last month earns more than the first. In every world the total exceeds that of contacting
    nobody and of the three simple rules, and one of the first three months is positive, whatever was believed at first.
    """
    by_month = mean_by_month(months, OWN)
    missed = []
    if len(by_month) > 1 and by_month[-1] <= by_month[0]:
        missed.append(
            f"month {len(by_month)} earns {by_month[-1]:,.0f} on average, month 1 {by_month[0]:,.0f}"
        )
    for seed in seeds_of(months):
        world = of_seed(months, seed)
        own = total(world, OWN)
        missed += [
            f"seed {seed} earns {own:,.0f}, {rule} {total(world, rule):,.0f}"
            for rule in BEATEN
            if own <= total(world, rule)
        ]
        if not any(month.appraisal.values[OWN] > 0 for month in world if month.number <= RECOVERED_BY):
            missed.append(f"seed {seed} has no positive month among the first {RECOVERED_BY}")
    return missed
