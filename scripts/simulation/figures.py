"""The drawings of the simulation page: value a month, totals, and beliefs drawing near the truth."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes

from models_ml.decisions.references import POLICIES
from models_ml.reports.figures import PALETTE, QUIET, axes, svg
from simulation.appraisal import BEST, OWN
from simulation.beliefs import RiskBelief
from simulation.loop import Month
from simulation.results import NOBODY, POLICY_ORDER, mean_by_month, seeds_of, total

RULES = tuple(name for name in POLICIES if name != NOBODY)
DRAWN = (BEST, OWN, *RULES)
COLOURS = {OWN: PALETTE[0], BEST: PALETTE[6], **dict(zip(RULES, PALETTE[1:6], strict=False))}
EXPECTED = "what BayesPilot expected"


def value_by_month(months: Sequence[Month], currency: str) -> str:
    """Draw what each policy is truly worth a month, averaged over seeds, and what BayesPilot expected."""
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
        expected = [fmean(m.appraisal.expected for m in months if m.number == n) for n in numbers]
        axis.plot(numbers, expected, ":", color=PALETTE[0], label=EXPECTED)
        axis.axhline(0, color=QUIET, linewidth=1)
        _months(axis, numbers)
        axis.set_ylabel(f"true value a month, {currency}")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return svg(figure)


def totals(months: Sequence[Month], currency: str) -> str:
    """Draw what each policy is truly worth over all months: the mean of the seeds, and each seed as a dot."""
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
        axis.set_xlabel("what endless data would say, log-odds")
        axis.set_ylabel("believed, log-odds")
        axis.legend()
        return svg(figure)


def _months(axis: Axes, numbers: Sequence[int]) -> None:
    axis.set_xticks(numbers if len(numbers) <= 12 else numbers[:: len(numbers) // 8])
    axis.set_xlabel("month")
