"""Whether personalising is shown to help, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from models_ml.evaluation import Estimate, PolicyValue
from models_ml.evaluation.intervals import LEVEL
from models_ml.uplift.held_out import Worth
from models_ml.uplift.policies import LEARNED, NOBODY

CUSTOMERS = 1000  # money is said per so many


@dataclass(frozen=True)
class Verdict:
    """``is_shown``: the learned policy earns more than each that treats all alike; ``closest``: the one it beats least.

    ``best_offer`` names the offer for all that is worth most, of those shown to earn more than treating none
    where there are any (``is_earning``); ``earned`` is its value against treating none, None where limits allow
    no offer.
    """

    is_shown: bool
    closest: str
    contrast: PolicyValue | None
    is_same: bool
    best_offer: str
    earned: PolicyValue | None
    is_earning: bool

    def sentence(self, currency: str) -> str:
        """Return the verdict in one or two sentences, money per 1,000 customers."""
        return f"{self._personalising(currency)} {self._one_offer(currency)}".strip()

    def _personalising(self, currency: str) -> str:
        if self.is_same:
            return (
                f"Personalising is not shown to help: in every part of the trial the selection kept “{self.closest}”,"
                " the same for all."
            )
        if self.contrast is None:
            return (
                "Personalising is not shown to help: the learned policy differs from"
                f" “{self.closest}” for too few customers to tell."
            )
        amount = per_thousand(abs(self.contrast.value), currency)
        direction = "more" if self.contrast.value >= 0 else "less"
        measured = (
            f"on customers that it had not seen, the learned policy is worth {amount} per 1,000 customers"
            f" {direction} than “{self.closest}” (95 % interval {interval(self.contrast)})"
        )
        if self.is_shown:
            return f"Personalising is shown to help: {measured}, the closest of the policies that treat all alike."
        return f"Personalising is not shown to help: {measured}."

    def _one_offer(self, currency: str) -> str:
        if self.earned is None:
            return ""
        earns = "shown to earn more" if self.is_earning else "not shown to earn more"
        if self.earned.high < 0:
            earns = "shown to earn less"
        measured = (
            f"{per_thousand(self.earned.value, currency)} per 1,000 customers ({interval(self.earned)})"
        )
        return f"“{self.best_offer}” is {earns} than treating none: {measured}."


def reach_verdict(
    worth: Mapping[str, Worth], contrasts: Mapping[str, PolicyValue | None], same: Sequence[str]
) -> Verdict:
    """Hold the learned policy against each that treats all alike.

    Each must be beaten at the level of its own interval; no correction is needed because all must be (an
    intersection-union test; Berger 1982). An offer for all is shown to earn at the level shared among offers.

    Parameters
    ----------
    worth : mapping of policy to Worth, on held-out customers
    contrasts : mapping of policy to PolicyValue or None
        The learned policy against each that treats all alike.
    same : names of policies that treat every held-out customer as the learned policy does
    """
    missing = [name for name, of in contrasts.items() if of is None]
    closest = (
        same[0] if same else missing[0] if missing else min(contrasts, key=lambda of: _low(contrasts[of]))
    )
    shown = not missing and all(_low(of) > 0 for of in contrasts.values())
    offers = {
        name: of.against_none
        for name, of in worth.items()
        if name not in (NOBODY, LEARNED) and of.against_none is not None
    }
    earning = {name: of for name, of in offers.items() if _low(of, comparisons=len(offers)) > 0}
    candidates = earning or offers
    best = max(candidates, key=lambda name: candidates[name].value, default="")
    return Verdict(shown, closest, contrasts[closest], bool(same), best, offers.get(best), bool(earning))


def per_thousand(money: float, currency: str) -> str:
    """Return money per customer as money per 1,000 customers.

    >>> per_thousand(0.0123, "USD"), per_thousand(-1.5, ""), per_thousand(0.0001, "USD")
    ('12.3 USD', '−1,500', '0.10 USD')
    """
    amount = CUSTOMERS * money
    digits = 0 if abs(amount) >= 100 else 1 if abs(amount) >= 10 else 2
    text = f"{abs(amount):,.{digits}f}"
    sign = "−" if amount < 0 and text.strip("0.,") else ""
    return f"{sign}{text} {currency}".strip()


def interval(estimate: Estimate) -> str:
    """Return the interval of money per customer as money per 1,000 customers."""
    return f"{per_thousand(estimate.low, '')} to {per_thousand(estimate.high, '')}"


def _low(estimate: Estimate | None, comparisons: int = 1) -> float:
    if estimate is None:
        return -float("inf")
    tail = (1.0 - LEVEL) / 2.0 / comparisons
    reach = float(stdtrit(estimate.degrees_of_freedom, 1.0 - tail))
    return estimate.value - reach * estimate.standard_error
