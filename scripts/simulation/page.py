"""The page of a simulation: what BayesPilot earned beside other policies, and how it learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Figure, Page, Section, Table, write_page
from simulation.appraisal import BEST, OWN
from simulation.figures import coefficients_before_after, risks_by_month, totals, value_by_month
from simulation.loop import Month, Setting
from simulation.results import NOBODY, POLICY_ORDER, of_seed, seeds_of, share_of_best, total

CURRENCY = "EUR"
RIVALS = tuple(name for name in POLICY_ORDER if name not in (OWN, BEST, NOBODY))
PRIORS = {
    "demo": "the priors as shipped",
    "none": "priors that know nothing",
    "wrong": "a wrong flat prior (every offer halves the odds of leaving)",
}
CONDITIONS = (
    "Each month all policies are valued by the hidden truth on the same customers, those that BayesPilot's own "
    "earlier contacts left behind, and within the same limits. BayesPilot pays for its holdouts and its trial; "
    "every other policy, “nothing withheld” included, may contact everyone whom no rule suppresses."
)


def write_loop_page(path: Path, settings: Sequence[Setting], months: Sequence[Month]) -> Path:
    """Write the page of one or several simulations that differ in their seed, and return its path."""
    write_page(path, loop_page(settings, months))
    return path


def loop_page(settings: Sequence[Setting], months: Sequence[Month]) -> Page:
    """Build the page; the beliefs of the first seed stand for all in the drawings of single offers."""
    setting, seeds = settings[0], seeds_of(months)
    trial = "a past trial" if setting.past_trial else "no past trial"
    return Page(
        title="BayesPilot played forward",
        subtitle=(
            f"{setting.customers:,} customers, {setting.months} months, "
            f"{len(seeds)} {'world' if len(seeds) == 1 else 'worlds'}; "
            f"{PRIORS.get(setting.priors, setting.priors)}, {trial}, {share(setting.trial_share)} of customers "
            "a month on trial"
        ),
        verdict=verdict(months),
        facts=_facts(months),
        sections=[
            Section(
                "What each policy is truly worth",
                [
                    Figure(
                        value_by_month(months, CURRENCY),
                        "True value a month"
                        + (", mean of the worlds." if len(seeds) > 1 else ".")
                        + " Contacting nobody is worth 0. Dotted: what BayesPilot expected of its own contacts.",
                    ),
                    Figure(
                        totals(months, CURRENCY), "All months. Bars: mean of the worlds; dots: each world."
                    ),
                    _totals_table(months),
                ],
                intro=CONDITIONS,
            ),
            Section(
                "How beliefs about the offers draw near the truth",
                [
                    *(
                        Figure(drawing, f"{offer}: average relative risk; below 1 the offer keeps customers.")
                        for offer, drawing in risks_by_month(of_seed(months, seeds[0]))
                    ),
                    Figure(
                        coefficients_before_after(months),
                        f"Every coefficient of offer_effects; mean distance from the line {_distance(months)}.",
                    ),
                ],
                intro=(
                    "Average over the customers who may get the offer"
                    + (f" (world {seeds[0]})" if len(seeds) > 1 else "")
                    + ". The band is a 90 % interval from the posterior; it takes coefficients as independent "
                    "and so is wider than the joint posterior."
                ),
            ),
            Section("Month by month", [_months_table(of_seed(months, seed)) for seed in seeds]),
        ],
        footer="scripts/simulate_months.py; the hidden truth is known in an invented world only.",
    )


def verdict(months: Sequence[Month]) -> str:
    """Say in one sentence what BayesPilot earned and whom it beat."""
    own = total(months, OWN)
    beaten = [name for name in RIVALS[1:] if own > total(months, name)]
    ahead = [name for name in RIVALS[1:] if name not in beaten]
    gain = f"BayesPilot's contacts were truly worth {money(own / len(seeds_of(months)), CURRENCY)} a world"
    best = share_of_best(months)
    gain += (
        f", {share(best, 0)} of what the best possible plans would have gained"
        if not math.isnan(best)
        else ""
    )
    more = f", more than {_listed(beaten)}" if beaten else ""
    less = f"; {_listed(ahead)} would have earned more" if ahead else ""
    return f"{gain}{more}{less}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _facts(months: Sequence[Month]) -> list[Fact]:
    seeds, last = seeds_of(months), max(month.number for month in months)
    first_value, last_value = (
        fmean(month.appraisal.values[OWN] for month in months if month.number == number)
        for number in (1, last)
    )
    withheld = math.fsum(month.appraisal.withheld for month in months) / len(seeds)
    return [
        Fact("true value", money(total(months, OWN) / len(seeds), CURRENCY), "a world, all months"),
        Fact("of the best possible gain", share(share_of_best(months), 0), "told the truth, same limits"),
        Fact("first month", money(first_value, CURRENCY), "mean of the worlds"),
        Fact(f"month {last}", money(last_value, CURRENCY), "mean of the worlds"),
        Fact("withheld", money(withheld, CURRENCY), "true value of the pick-holdouts, a world"),
        Fact("build", f"{fmean(month.build.seconds for month in months[1:] or months):.0f} s", "a month"),
    ]


def _totals_table(months: Sequence[Month]) -> Table:
    names = (OWN, *RIVALS, BEST)
    rows = []
    for seed in seeds_of(months):
        own = of_seed(months, seed)
        rows.append([str(seed), *(_whole(total(own, name)) for name in names), share(share_of_best(own), 0)])
    return Table(("world", *names, "share of best"), rows, f"True value of all months, {CURRENCY}")


def _months_table(months: Sequence[Month]) -> Table:
    rows = [
        [
            str(month.number),
            month.as_of_date,
            f"{month.appraisal.contacts:,}",
            f"{month.accepted:,}",
            _whole(month.cost),
            _whole(month.appraisal.expected),
            _whole(month.appraisal.values[OWN]),
            _whole(month.appraisal.trial),
            _whole(month.appraisal.values[BEST]),
            share(share_of_best([month]), 0),
            f"{month.build.seconds:.0f}",
        ]
        for month in months
    ]
    columns = ("month", "as_of_date", "contacts", "accepted", "cost", "expected", "true value", "of it trial")
    return Table(
        (*columns, BEST, "share of best", "build s"), rows, f"World {months[0].seed}; money in {CURRENCY}"
    )


def _whole(amount: float) -> str:
    return money(amount, "").rstrip()


def _distance(months: Sequence[Month]) -> str:
    first, last = min(m.number for m in months), max(m.number for m in months)
    far = [
        fmean(abs(each.mean - each.target) for m in months if m.number == n for each in m.coefficients)
        for n in (first, last)
    ]
    return f"{far[0]:.3f} in month {first}, {far[1]:.3f} in month {last}"
