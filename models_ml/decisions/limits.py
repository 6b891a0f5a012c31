"""What a plan may use (money, contacts per offer and per channel), what these limits cost; and money in whole cents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from models_ml.decisions.policy import Offer, Policy
from models_ml.errors import BayesPilotError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

CENTS = 100.0
_NOISE = 1e-6  # of a cent: 9.25 * 100 may come out as 925.0000000001


@dataclass(frozen=True)
class Limits:
    """Limits of one plan; every limit is finite or infinite, never negative and never missing.

    ``budget`` is money in the unit of the costs. ``offer_capacity`` (k,) and ``channel_capacity`` count contacts,
    ``offer_channel`` (k,) names the channel of each offer. ``offer_names`` (k,) is only used to name prices.
    """

    budget: float
    offer_capacity: Floats
    channel_capacity: Mapping[str, float]
    offer_channel: tuple[str, ...]
    offer_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse limits that are missing, negative or not a number."""
        capacity = np.asarray(self.offer_capacity, dtype=np.float64)
        object.__setattr__(self, "offer_capacity", capacity)
        names = self.offer_names or tuple(f"offer {position}" for position in range(len(capacity)))
        object.__setattr__(self, "offer_names", names)
        if len(self.offer_channel) != len(capacity) or len(names) != len(capacity):
            raise BayesPilotError(
                f"{len(capacity)} offer capacities for {len(self.offer_channel)} offers", where="the limits"
            )
        missing = sorted(set(self.offer_channel) - set(self.channel_capacity))
        if missing:
            raise BayesPilotError(
                "no capacity for the channel of an offer", where="the limits", values=missing
            )
        amounts = {"budget": self.budget, **dict(zip(names, capacity.tolist(), strict=True))}
        amounts |= dict(self.channel_capacity)
        wrong = [f"{name} {amount}" for name, amount in amounts.items() if not amount >= 0]
        if wrong:
            raise BayesPilotError("a limit is negative or not a number", where="the limits", values=wrong)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the offers, by name."""
        return tuple(sorted(set(self.offer_channel)))

    @property
    def channel_capacities(self) -> Floats:
        """Capacity of each of ``channels``, shape (c,)."""
        return np.array([self.channel_capacity[channel] for channel in self.channels])

    @property
    def channel_members(self) -> Bools:
        """Whether an offer uses a channel, shape (c, k)."""
        return np.array(
            [[of == channel for of in self.offer_channel] for channel in self.channels], dtype=bool
        )

    def open_offers(self) -> Bools:
        """Return which offers (k,) have capacity for one more contact, of their own and on their channel."""
        is_full = self.channel_capacities < 1
        return np.asarray((self.offer_capacity >= 1) & ~self.channel_members[is_full].any(axis=0))

    def scaled(self, share: float) -> Limits:
        """Return the same limits for a population ``share`` (≥ 0) times as large.

        Examples
        --------
        >>> half = Limits(100.0, np.array([10.0]), {"email": 8.0}, ("email",)).scaled(0.5)
        >>> half.budget, half.offer_capacity.tolist(), half.channel_capacity
        (50.0, [5.0], {'email': 4.0})
        """
        channels = {channel: capacity * share for channel, capacity in self.channel_capacity.items()}
        return replace(
            self,
            budget=self.budget * share,
            offer_capacity=self.offer_capacity * share,
            channel_capacity=channels,
        )

    def after(self, spend: float, contacts: NDArray[np.int64]) -> Limits:
        """Return what is left after ``spend`` money and ``contacts`` (k,) per offer; never below 0."""
        used = dict.fromkeys(self.channel_capacity, 0.0)
        for position, channel in enumerate(self.offer_channel):
            used[channel] += float(contacts[position])
        channels = {name: max(amount - used[name], 0.0) for name, amount in self.channel_capacity.items()}
        return replace(
            self,
            budget=max(self.budget - spend, 0.0),
            offer_capacity=np.maximum(self.offer_capacity - contacts, 0.0),
            channel_capacity=channels,
        )

    def in_cents(self) -> Limits:
        """Return the same limits with the budget in whole cents, rounded down.

        Examples
        --------
        >>> Limits(9.259, np.array([10.0]), {"email": 8.0}, ("email",)).in_cents().budget
        925.0
        """
        return replace(self, budget=float(cents_down(self.budget)))


def month_limits(policy: Policy, offers: Sequence[Offer]) -> Limits:
    """Return the limits of one whole calendar month, nothing used yet."""
    return Limits(
        budget=policy.monthly_budget,
        offer_capacity=np.array([offer.monthly_capacity for offer in offers], dtype=np.float64),
        channel_capacity={offer.channel: float(offer.channel_capacity) for offer in offers},
        offer_channel=tuple(offer.channel for offer in offers),
        offer_names=tuple(offer.offer for offer in offers),
    )


def read_limits(table: pa.Table, offers: Sequence[Offer], column: str = "available") -> Limits:
    """Read what the month has left from int_month_limits (limit_type, limit_name, …, available), or another column.

    Raises
    ------
    BayesPilotError
        When the budget, an offer or the channel of an offer has no row, two rows, or no amount.
    """
    available: dict[tuple[str, str], float] = {}
    for row in table.select(["limit_type", "limit_name", column]).to_pylist():
        name = "" if row["limit_type"] == "budget" else row["limit_name"]
        key = (row["limit_type"], name)
        if key in available or row[column] is None:
            raise _wrong_limit(f"{row['limit_type']} {row['limit_name']} occurs twice or has no amount")
        available[key] = float(row[column])
    return limits_of(available, offers)


def limits_of(available: Mapping[tuple[str, str], float], offers: Sequence[Offer]) -> Limits:
    """Return limits from amounts by kind and name: ("budget", ""), ("offer", name) and ("channel", name).

    Raises
    ------
    BayesPilotError
        When the budget, an offer or the channel of an offer has no amount.
    """
    needed = [("budget", ""), *(("offer", offer.offer) for offer in offers)]
    needed += [("channel", channel) for channel in sorted({offer.channel for offer in offers})]
    missing = [f"{kind} {name}".strip() for kind, name in needed if (kind, name) not in available]
    if missing:
        raise _wrong_limit(f"no limit for {', '.join(missing)}")
    return Limits(
        budget=available["budget", ""],
        offer_capacity=np.array([available["offer", offer.offer] for offer in offers]),
        channel_capacity={name: amount for (kind, name), amount in available.items() if kind == "channel"},
        offer_channel=tuple(offer.channel for offer in offers),
        offer_names=tuple(offer.offer for offer in offers),
    )


def nearest_cents(money: ArrayLike) -> Floats:
    """Round money to whole cents, halves to even.

    >>> nearest_cents([1.234, -0.006]).tolist()
    [123.0, -1.0]
    """
    return np.rint(np.asarray(money, dtype=np.float64) * CENTS)


def cents_up(money: ArrayLike) -> Floats:
    """Round costs up to whole cents.

    >>> cents_up([9.25, 0.101, 0.0]).tolist()
    [925.0, 11.0, 0.0]
    """
    return np.ceil(np.asarray(money, dtype=np.float64) * CENTS - _NOISE) + 0.0  # never -0.0


def cents_down(money: ArrayLike) -> Floats:
    """Round limits down to whole cents.

    >>> cents_down([9.25, 0.109]).tolist()
    [925.0, 10.0]
    """
    return np.floor(np.asarray(money, dtype=np.float64) * CENTS + _NOISE)


def money(cents: ArrayLike) -> Floats:
    """Return whole cents as money: the double nearest to the decimal amount.

    >>> money([123.0]).tolist()
    [1.23]
    """
    return np.asarray(cents, dtype=np.float64) / CENTS


def _wrong_limit(what: str) -> BayesPilotError:
    return BayesPilotError(what, where="int_month_limits", next_step="dbt build -s +int_month_limits")


@dataclass(frozen=True)
class PlanPrices:
    """What steers the choice beside value and cost: ``money`` is the price of the budget per unit of expected cost.

    Per contact of each offer, in cents: ``capacity`` (k,) is what its capacities would return with other customers,
    ``contact`` (k,) that and the touch price, which is no money.
    """

    money: float
    contact: Floats
    capacity: Floats

    def surplus(self, value_cents: Floats, cost_cents: Floats) -> Floats:
        """Return what each offer is worth beyond the limits that it uses, cents, shape (n, k).

        Examples
        --------
        A contact is worth 500 and costs 100; each unit of money could return 2 elsewhere, each contact 50:

        >>> prices = PlanPrices(2.0, contact=np.array([50.0]), capacity=np.array([40.0]))
        >>> prices.surplus(np.array([[500.0]]), np.array([[100.0]])).tolist()
        [[250.0]]
        """
        return np.asarray(value_cents - self.money * cost_cents - self.contact)


def read_prices(limit_prices: str, offers: Sequence[Offer], touch_price: float) -> PlanPrices:
    """Read ``limit_prices`` of policy_runs; the touch price is part of what steers the choice of a contact.

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
    capacity = [found[offer] + found[channel] for offer, channel in names]
    return PlanPrices(found["budget"], np.array(contact) * CENTS, np.array(capacity) * CENTS)
