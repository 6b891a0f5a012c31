"""The prices of a plan's limits, at which one more customer can be decided without planning again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.knapsack import Floats
from models_ml.decisions.limits import CENTS
from models_ml.decisions.policy import Offer
from models_ml.errors import BayesPilotError


@dataclass(frozen=True)
class PlanPrices:
    """What limits cost: ``money`` per unit of expected cost, ``contact`` (k,) whole cents per contact of each offer."""

    money: float
    contact: Floats

    def surplus(self, value_cents: Floats, cost_cents: Floats) -> Floats:
        """Return what each offer is worth beyond the limits that it uses, cents, shape (n, k).

        Examples
        --------
        A contact is worth 500 and costs 100; each unit of money could return 2 elsewhere, each contact 50:

        >>> PlanPrices(2.0, np.array([50.0])).surplus(np.array([[500.0]]), np.array([[100.0]])).tolist()
        [[250.0]]
        """
        return np.asarray(value_cents - self.money * cost_cents - self.contact)


def read_prices(limit_prices: str, offers: Sequence[Offer], touch_price: float) -> PlanPrices:
    """Read ``limit_prices`` of policy_runs; the touch price is part of what a contact costs.

    Raises
    ------
    BayesPilotError
        If a price is missing.
    """
    found: Mapping[str, float] = json.loads(limit_prices)
    names = [(f"offer {offer.offer}", f"channel {offer.channel}") for offer in offers]
    missing = sorted({"budget", *(name for pair in names for name in pair)} - found.keys())
    if missing:
        raise BayesPilotError(
            "the plan has no price for a limit", where="policy_runs", values=missing, next_step="dbt build"
        )
    contact = [touch_price + found[offer] + found[channel] for offer, channel in names]
    return PlanPrices(found["budget"], np.array(contact) * CENTS)
