"""The page of a simulation: true values of BayesPilot and of other policies, and how its beliefs developed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes

from models_ml.decisions.references import REFERENCE_POLICIES
from models_ml.reports.figures import PALETTE, QUIET, axes, money, share, svg
from models_ml.reports.page import Fact, Figure, Page, Section, Table, write_page
from simulation.beliefs import RiskBelief
from simulation.loop import Month, Setting
from simulation.results import CURRENCY, POLICY_ORDER, mean_by_month, of_seed, seeds_of, share_of_best, total
from simulation.true_value import BEST, NOBODY, OWN

OTHERS = tuple(name for name in POLICY_ORDER if name not in (OWN, BEST, NOBODY))
RULES = tuple(name for name in REFERENCE_POLICIES if name != NOBODY)
DRAWN = (BEST, OWN, *RULES)
COLOURS = {OWN: PALETTE[0], BEST: PALETTE[6], **dict(zip(RULES, PALETTE[1:6], strict=False))}
EXPECTED = "what BayesPilot expected"
PRIORS = {
    "demo": "the priors as shipped",
    "none": "weak priors",
    "wrong": "a wrong flat prior (every offer halves the odds of leaving)",
}
CONDITIONS = (
    "Each month all policies are valued by the hidden truth on the same customers, those that remain after "
    "BayesPilot's earlier contacts, and within the same limits. Counted is what a contact changes within the horizon, "
    "as the plan counts it; what is felt of it later is not. Holdouts and trial cost BayesPilot contacts; every "
    "other policy, “nothing withheld” included, may contact every customer who is not suppressed by a rule."
)


def write_simulation_page(path: Path, settings: Sequence[Setting], months: Sequence[Month]) -> Path:
    """Write the page of one or several simulations that differ in their seed, and return its path."""
    write_page(path, simulation_page(settings, months))
    return path


def simulation_page(settings: Sequence[Setting], months: Sequence[Month]) -> Page:
    """Build the page; drawings of single offers show the beliefs of the first seed."""
    setting, seeds = settings[0], seeds_of(months)
    trial = "a past trial" if setting.past_trial else "no past trial"
    return Page(
        title="Months with BayesPilot, simulated",
        subtitle=(
            f"{setting.customers:,} customers, {setting.months} months, "
            f"{len(seeds)} {'world' if len(seeds) == 1 else 'worlds'}; "
            f"{PRIORS.get(setting.priors, setting.priors)}, {trial}, {share(setting.learning_share)} of money "
            "and contacts for trials"
        ),
        verdict=verdict(months),
        facts=_facts(months),
        sections=[
            Section(
                "True value of each policy",
                [
                    Figure(
                        value_by_month(months, CURRENCY),
                        "True value per month"
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
                "Beliefs about the offers, compared with the truth",
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
                    + ". The band is a 90 % interval from the posterior."
                ),
            ),
            Section("Month by month", [_months_table(of_seed(months, seed)) for seed in seeds]),
        ],
        footer="scripts/simulate_months.py; the hidden truth is known in an invented world only.",
    )


def verdict(months: Sequence[Month]) -> str:
    """Say in one sentence what BayesPilot earned and which policies earned less or more."""
    own = total(months, OWN)
    beaten = [name for name in OTHERS[1:] if own > total(months, name)]
    ahead = [name for name in OTHERS[1:] if own < total(months, name)]
    gain = (
        f"BayesPilot's contacts had a true value of {money(own / len(seeds_of(months)), CURRENCY)} per world"
    )
    best = share_of_best(months)
    gain += f", {share(best, 0)} of that of the best possible plans" if not math.isnan(best) else ""
    more = f", more than {_listed(beaten)}" if beaten else ""
    less = f"; {_listed(ahead)} would have earned more" if ahead else ""
    return f"{gain}{more}{less}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _facts(months: Sequence[Month]) -> list[Fact]:
    seeds, last = seeds_of(months), max(month.number for month in months)
    first_value, last_value = (
        fmean(month.value.by_policy[OWN] for month in months if month.number == number)
        for number in (1, last)
    )
    withheld = math.fsum(month.value.withheld for month in months) / len(seeds)
    return [
        Fact("true value", money(total(months, OWN) / len(seeds), CURRENCY), "per world, all months"),
        Fact(
            "of the best possible gain",
            share(share_of_best(months), 0),
            "plans that know the truth, same limits",
        ),
        Fact("first month", money(first_value, CURRENCY), "mean of the worlds"),
        Fact(f"month {last}", money(last_value, CURRENCY), "mean of the worlds"),
        Fact("withheld", money(withheld, CURRENCY), "true value of the pick-holdouts, per world"),
        Fact("build", f"{fmean(month.build.seconds for month in months[1:] or months):.0f} s", "a month"),
    ]


def _totals_table(months: Sequence[Month]) -> Table:
    names = (OWN, *OTHERS, BEST)
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
            f"{month.value.contacts:,}",
            f"{month.accepted:,}",
            _whole(month.cost),
            _whole(month.value.expected),
            _whole(month.value.by_policy[OWN]),
            _whole(month.value.trial),
            _whole(month.value.by_policy[BEST]),
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


def value_by_month(months: Sequence[Month], currency: str) -> str:
    """Draw the true value of each policy per month, averaged over seeds, and what BayesPilot expected."""
    numbers = sorted({month.number for month in months})
    with axes(width=6.4, height=4.6) as (figure, axis):
        for policy in DRAWN:
            dashed = "--" if policy == BEST else "-"
            axis.plot(
                numbers,
                mean_by_month(months, policy),
                dashed,
                color=COLOURS.get(policy, QUIET),
                label=policy,
                linewidth=3 if policy == OWN else 1.6,
                marker="o" if policy == OWN else None,
            )
        expected = [fmean(m.value.expected for m in months if m.number == n) for n in numbers]
        axis.plot(numbers, expected, ":", color=PALETTE[0], label=EXPECTED)
        axis.axhline(0, color=QUIET, linewidth=1)
        _months(axis, numbers)
        axis.set_ylabel(f"true value per month, {currency}")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return svg(figure)


def totals(months: Sequence[Month], currency: str) -> str:
    """Draw the true value of each policy over all months: the mean of the seeds, and each seed as a dot."""
    seeds = seeds_of(months)
    policies = sorted(
        (name for name in POLICY_ORDER if name != NOBODY), key=lambda policy: total(months, policy)
    )
    with axes(width=6.4, height=4.6) as (figure, axis):
        means = [total(months, policy) / len(seeds) for policy in policies]
        axis.barh(policies, means, color=[COLOURS.get(policy, QUIET) for policy in policies], alpha=0.75)
        for row, policy in enumerate(policies):
            each = [total([m for m in months if m.seed == seed], policy) for seed in seeds]
            axis.plot(each, [row] * len(each), "o", color="black", markersize=3)
        axis.axvline(0, color=QUIET, linewidth=1)
        axis.set_xlabel(f"true value of all months, {currency}")
        axis.grid(axis="y", visible=False)
        return svg(figure)


def risks_by_month(months: Sequence[Month]) -> list[tuple[str, str]]:
    """Draw the average relative risk of each offer over the months of one seed; (offer, drawing) each."""
    offers = [risk.offer for risk in months[0].risks]
    rows = {offer: [_of(month, offer) for month in months] for offer in offers}
    every = [edge for of in rows.values() for risk in of for edge in (risk.low, risk.high, risk.true)]
    return [(offer, _risk(rows[offer], months, (min(every) - 0.02, max(every) + 0.02))) for offer in offers]


def _of(month: Month, offer: str) -> RiskBelief:
    return next(risk for risk in month.risks if risk.offer == offer)


def _risk(risks: Sequence[RiskBelief], months: Sequence[Month], limits: tuple[float, float]) -> str:
    numbers = [month.number for month in months]
    with axes(width=6.4, height=3.2) as (figure, axis):
        low, high = ([getattr(risk, edge) for risk in risks] for edge in ("low", "high"))
        axis.fill_between(numbers, low, high, color=PALETTE[0], alpha=0.15, linewidth=0)
        axis.plot(numbers, [risk.believed for risk in risks], color=PALETTE[0], marker="o", label="believed")
        axis.plot(numbers, [risk.true for risk in risks], "--", color=PALETTE[6], label="true")
        axis.axhline(1, color=QUIET, linewidth=1)
        axis.set_ylim(*limits)
        _months(axis, numbers)
        axis.set_title(risks[0].offer, fontsize=11)
        axis.set_ylabel("relative risk")
        axis.legend(fontsize=9, loc="best")
        return svg(figure)


def coefficients_before_after(months: Sequence[Month]) -> str:
    """Draw every coefficient of offer_effects against its target, in the first and the last month."""
    first, last = min(m.number for m in months), max(m.number for m in months)
    with axes(width=6.4, height=4.6) as (figure, axis):
        ends = np.array([each.target for month in months for each in month.coefficients])
        span = (float(ends.min()) - 0.1, float(ends.max()) + 0.1)
        axis.plot(span, span, color=QUIET, linewidth=1)
        for number, face, colour in ((first, "none", QUIET), (last, PALETTE[0], PALETTE[0])):
            shown = [each for month in months if month.number == number for each in month.coefficients]
            axis.plot(
                [each.target for each in shown],
                [each.mean for each in shown],
                "o",
                markerfacecolor=face,
                markeredgecolor=colour,
                markersize=5,
                alpha=0.8,
                label=f"month {number}",
            )
        axis.set_xlabel("estimate from unlimited trial data, log-odds")
        axis.set_ylabel("believed, log-odds")
        axis.legend()
        return svg(figure)


def _months(axis: Axes, numbers: Sequence[int]) -> None:
    axis.set_xticks(numbers if len(numbers) <= 12 else numbers[:: len(numbers) // 8])
    axis.set_xlabel("month")
