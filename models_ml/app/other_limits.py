"""What the plan would be under other limits of the month, beside the present one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.decide import Decisions
from models_ml.decisions.limits import CENTS
from models_ml.decisions.what_if import MonthLimit, WhatIfInputs, decide_again
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Table
from models_ml.reports.policy_figures import limit_words
from models_ml.warehouse import build_command

SLIDER_TOP = 2.0  # times the present limit


@dataclass(frozen=True)
class Comparison:
    """The present plan and another one, with how many customers change.

    ``gained`` are contacted only by the other plan, ``lost`` only by the present one, ``switched`` get another offer.
    """

    present: Decisions
    other: Decisions
    gained: int
    lost: int
    switched: int


def compare(inputs: WhatIfInputs, present: Decisions, amounts: Mapping[MonthLimit, float]) -> Comparison:
    """Decide again with other monthly amounts of some limits, and compare with the present plan."""
    month = inputs.month
    for limit, amount in amounts.items():
        month = month.with_limit(limit, amount)
    other = decide_again(inputs, month)
    was, now = (np.where(plan.is_done, plan.choice, -1) for plan in (present, other))
    return Comparison(
        present,
        other,
        int(((was < 0) & (now >= 0)).sum()),
        int(((was >= 0) & (now < 0)).sum()),
        int(((was >= 0) & (now >= 0) & (was != now)).sum()),
    )


def highest_amount(limit: MonthLimit) -> float:
    """Return the largest amount that a slider offers: twice the present one, whole numbers, at least 10.

    Examples
    --------
    >>> highest_amount(MonthLimit("budget", "EUR", 350.0, 0.0, 0.0))
    700.0
    >>> highest_amount(MonthLimit("offer", "call", 0.0, 0.0, 0.0))
    10.0
    """
    return max(float(np.ceil(SLIDER_TOP * limit.monthly)), 10.0)


def limit_label(limit: MonthLimit, currency: str) -> str:
    """Return what a slider says.

    Examples
    --------
    >>> limit_label(MonthLimit("budget", "EUR", 350.0, 100.0, 0.0), "EUR")
    'budget a month, EUR (100 used by earlier runs)'
    """
    unit = currency if limit.kind == "budget" else "contacts"
    used = f" ({limit.used:,.0f} used by earlier runs)" if limit.used else ""
    return f"{limit_words(limit.kind, limit.name)} a month, {unit}{used}"


def facts(comparison: Comparison, currency: str) -> list[Fact]:
    """Return the headline numbers of the other plan, each with the present one.

    Planned numbers are those of the policy, as on the plan's page; trials are part of what is done.
    """
    other, present = comparison.other.summary, comparison.present.summary
    done, was = (_done(plan) for plan in (comparison.other, comparison.present))
    return [
        Fact(
            "Expected values, summed",
            money(done[1], currency),
            f"now {money(was[1], currency)}; of contacts made, trial included",
        ),
        Fact("Contacts made", f"{done[0]:,}", f"now {was[0]:,}, trial included"),
        Fact("Planned contacts", f"{sum(other.contacts):,}", f"now {sum(present.contacts):,}"),
        Fact("Planned cost", money(other.spend, currency), f"now {money(present.spend, currency)}"),
        Fact("Planned value", money(other.value, currency), f"now {money(present.value, currency)}"),
        Fact(
            "Price of the budget",
            f"{other.budget_price:.2f} {currency}",
            f"now {present.budget_price:.2f} {currency}",
        ),
        Fact(
            "Below the best plan",
            f"at most {share(other.gap, 2)}",
            f"now at most {share(present.gap, 2)}",
        ),
    ]


def _done(decisions: Decisions) -> tuple[int, float]:
    """Return number and expected value, money, of the contacts that are made: trial included, holdouts left out."""
    done = decisions.is_done
    return int(done.sum()), float(decisions.value_cents[done].sum()) / CENTS


def offers_table(inputs: WhatIfInputs, comparison: Comparison, currency: str) -> Table:
    """Return planned contacts by offer, and the prices of their capacities, now and then."""
    before, after = comparison.present.summary, comparison.other.summary
    rows = [
        (
            offer.action_label,
            offer.channel,
            f"{before.contacts[place]:,}",
            f"{after.contacts[place]:,}",
            f"{after.prices.get(f'offer {offer.offer}', 0.0):.2f} {currency}",
            f"{after.prices.get(f'channel {offer.channel}', 0.0):.2f} {currency}",
        )
        for place, offer in enumerate(inputs.decision.offers)
    ]
    columns = (
        "offer",
        "channel",
        "contacts now",
        "contacts then",
        "price of the offer then",
        "price of the channel then",
    )
    return Table(
        columns, rows, "Planned contacts; a price is what one more contact would return beyond its cost"
    )


def policies_table(comparison: Comparison, currency: str) -> Table:
    """Return the expected value of the plan and of simpler policies, now and then."""
    before, after = comparison.present.summary, comparison.other.summary
    rows = [("this plan", money(before.value, currency), money(after.value, currency))]
    rows += [
        (name, money(before.references[name], currency), money(value, currency))
        for name, value in after.references.items()
    ]
    return Table(
        ("policy", "value now", "value then"), rows, "Expected value of simpler policies, net of cost"
    )


def seed_edits(amounts: Mapping[MonthLimit, float], source: str) -> list[str]:
    """Return the lines that say how to keep these limits for good; none where nothing changed."""
    changed = {limit: amount for limit, amount in amounts.items() if amount != limit.monthly}
    files = {"budget": "policy.csv", "offer": "offers.csv", "channel": "channels.csv"}
    lines = [
        f"seeds/{source}/{files[limit.kind]}: "
        + (
            f"monthly_budget {_whole(amount)}"
            if limit.kind == "budget"
            else f"monthly_capacity of {limit.name} {_whole(amount)}"
        )
        for limit, amount in changed.items()
    ]
    return [*lines, build_command(source, "--selector decide")] if lines else []


def _whole(amount: float) -> str:
    """Return an amount with all its digits, as a seed holds it.

    Examples
    --------
    >>> _whole(1_234_567.0), _whole(350.5)
    ('1234567', '350.5')
    """
    return f"{amount:.2f}".rstrip("0").rstrip(".")
