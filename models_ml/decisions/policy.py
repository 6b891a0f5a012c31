"""Policy, offers and offer effects as typed, checked values; every number comes from the seeds.

`DecisionInputs` holds the three together: what deciding needs beside the customers and the limits. Bounds of policy
parameters and seed columns are read from the YAML files that dbt reads them from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from models_ml.decisions.offer_beliefs import (
    AcceptanceModel,
    EffectBeliefs,
    constant_acceptance,
    read_acceptance,
    read_beliefs,
)
from models_ml.decisions.retention_curves import RetentionCurves
from models_ml.errors import BayesPilotError

# A trial draws among k offers and no action: with k ≤ 19 a weight 1 / propensity is at most 20.
MAXIMUM_OFFERS = 19
SEED_FOLDER = "seeds/<source>"

# The patterns of the macro text_patterns.
NAME = re.compile(r"[a-z][a-z0-9_]*")
TEXT = re.compile(r"(?s)[^\s\xA0](.*[^\s\xA0])?")
KINDS = {
    "name": "a name of lower-case letters, digits and underscores that begins with a letter",
    "true_or_false": "true or false",
    "integer": "a whole number",
    "number": "a finite number",
}
PARAMETERS_FOLDER = Path(__file__).parents[2] / "dbt_project" / "models" / "parameters"


@dataclass(frozen=True)
class Offer:
    """One offer of ``offers.csv``: what is given, how, at what cost.

    ``contact_cost`` and ``incentive_cost`` are SQL expressions, money per contact and per acceptance, and
    ``eligible_when`` is a SQL condition: dbt evaluates them for each customer, here they are part of the policy's
    version. ``acceptance_rate`` is the share of all contacted customers who accept, including those who would have
    stayed, as believed before it is measured. ``monthly_capacity`` and ``channel_capacity`` count contacts per calendar
    month: of the offer, and of all offers on its channel together.
    """

    offer: str
    action_label: str
    channel: str
    contact_cost: str
    incentive_cost: str
    acceptance_rate: float
    monthly_capacity: int
    channel_capacity: int
    lock_out_days: int
    eligible_when: str


@dataclass(frozen=True)
class Policy:
    """The parameters of ``policy.csv`` after overrides by variables: one field per column of int_policy_parameters."""

    churn_definition: str
    horizon_days: int
    at_risk_days: int
    training_dates: int
    training_step_days: int
    minimum_history_days: int
    payment_grace_days: int
    resume_grace_days: int
    trusted_features: str
    currency: str
    margin_rate: float
    value_horizon_days: int
    annual_discount_rate: float
    monthly_budget: float
    pacing: str
    touch_price: float
    cool_down_days: int
    action_valid_days: int
    sync_days: int
    minimum_customer_value: float
    universal_holdout_share: float
    pick_holdout_share: float
    learning_share: float
    offer_effect_correlation: float
    randomisation_salt: str
    review_from: float
    escalate_from: float
    headline_figure: str

    @property
    def label_days(self) -> int:
        """Days until a label is known: the horizon, and the pause after which a customer who returns has not left."""
        return self.horizon_days + self.resume_grace_days


@dataclass(frozen=True)
class DecisionInputs:
    """What decides besides the customers and the limits."""

    policy: Policy
    offers: tuple[Offer, ...]
    effects: EffectBeliefs
    acceptance: AcceptanceModel
    curves: RetentionCurves


def read_decision_inputs(
    policy: pa.Table,
    offers: pa.Table,
    effects: pa.Table,
    covariances: pa.Table,
    curves: RetentionCurves,
    acceptance: pa.Table | None = None,
) -> DecisionInputs:
    """Read int_policy_parameters, int_offers, offer_effects, offer_effect_covariances and int_measured_acceptance.

    Without ``acceptance``, the rates of the seed hold for all customers. ``curves`` say how long
    customers stay.

    Raises
    ------
    BayesPilotError
        As `read_policy`, `read_offers`, `read_beliefs` and `read_acceptance`.
    """
    terms, read = read_policy(policy), read_offers(offers)
    names = [offer.offer for offer in read]
    rates = constant_acceptance({offer.offer: offer.acceptance_rate for offer in read})
    return DecisionInputs(
        terms,
        read,
        read_beliefs(effects, covariances, names, terms.offer_effect_correlation),
        rates if acceptance is None else read_acceptance(acceptance, names),
        curves,
    )


def read_policy(table: pa.Table) -> Policy:
    """Read the one row of int_policy_parameters.

    Raises
    ------
    BayesPilotError
        When there is not exactly one row, or a parameter is missing, out of bounds or contradicts another.
    """
    rows = table.to_pylist()
    if len(rows) != 1:
        raise BayesPilotError(
            f"int_policy_parameters has {len(rows)} rows where one is needed",
            where=f"{SEED_FOLDER}/policy.csv",
            next_step="dbt build -s int_policy_parameters",
        )
    bounds = policy_bounds()
    policy = Policy(
        **{
            f.name: _seed_value(
                "policy.csv", f"parameter {f.name}", rows[0], f.name, str(f.type), bounds[f.name]
            )
            for f in fields(Policy)
        }
    )
    for name, bound in bounds.items():
        if bound.less_than and getattr(policy, name) >= getattr(policy, bound.less_than):
            smaller, larger = getattr(policy, name), getattr(policy, bound.less_than)
            what = f"{smaller:g} must be less than {bound.less_than}, {larger:g}"
            raise _refused("policy.csv", f"parameter {name}", what)
    return policy


def read_offers(table: pa.Table) -> tuple[Offer, ...]:
    """Read int_offers in order of ``offer_position``.

    Raises
    ------
    BayesPilotError
        When there is no offer or more than 19, one occurs twice, or a value is missing or out of bounds.
    """
    rows = sorted(table.to_pylist(), key=lambda row: row["offer_position"])
    if not 1 <= len(rows) <= MAXIMUM_OFFERS:
        what = f"{len(rows)} offers, where 1 to {MAXIMUM_OFFERS} are possible"
        raise BayesPilotError(
            what, where=f"{SEED_FOLDER}/offers.csv", next_step="correct the seed, then run dbt build"
        )
    bounds = {**seed_bounds("offers"), "channel_capacity": seed_bounds("channels")["monthly_capacity"]}
    offers: list[Offer] = []
    capacities: dict[str, int] = {}
    for position, row in enumerate(rows):
        name = f"offer {row.get('offer') or f'in row {position + 1}'}"
        offer = Offer(
            **{
                f.name: _seed_value("offers.csv", name, row, f.name, str(f.type), bounds[f.name])
                for f in fields(Offer)
            }
        )
        if offer.offer == "no_action":
            raise _refused("offers.csv", name, "the name no_action is reserved")
        if offer.offer in [other.offer for other in offers] or row["offer_position"] != position:
            raise _refused("offers.csv", name, "the offer occurs twice")
        if capacities.setdefault(offer.channel, offer.channel_capacity) != offer.channel_capacity:
            raise _refused("channels.csv", f"channel {offer.channel}", "the channel has two capacities")
        offers.append(offer)
    return tuple(offers)


def _refused(file: str, row: str, what: str) -> BayesPilotError:
    """Build the error that names the seed file, its row and what is wrong with it."""
    return BayesPilotError(
        f"{SEED_FOLDER}/{file}, {row}: {what}", next_step="correct the row, then run dbt build"
    )


def _seed_value(
    file: str, row: str, table_row: Mapping[str, Any], name: str, kind: str, bounds: Bounds
) -> Any:  # noqa: ANN401
    """Return one value as the dataclass declares it, or say which seed row to correct."""
    value = table_row.get(name)
    if value is None:
        raise _refused(file, row, f"{name} is missing")
    if kind == "str":
        if not bounds.admits_text(str(value)):
            raise _refused(file, row, f"{name} {str(value)!r} must be {bounds.words()}")
        return str(value)
    number = float(value)
    if not bounds.admits_number(number):
        raise _refused(file, row, f"{name} {number:g} must be {bounds.words() or 'a finite number'}")
    if kind == "int" and number != int(number):
        raise _refused(file, row, f"{name} {number:g} must be a whole number")
    return int(number) if kind == "int" else number


@dataclass(frozen=True)
class Bounds:
    """What a value must be; ``int_policy_parameters.yml`` explains the fields, None does not bound.

    ``type`` is what the text of a seed must stand for: a key of `KINDS`, None for any text.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    also: float | None = None
    one_of: tuple[str, ...] | None = None
    length: int | None = None
    less_than: str | None = None
    required: bool | None = None
    optional: bool | None = None
    type: str | None = None

    def admits_number(self, value: float) -> bool:
        """Tell whether a number lies within the bounds; infinities and NaN never do.

        Examples
        --------
        >>> share = Bounds(also=0, minimum=0.05, maximum=0.95)
        >>> [share.admits_number(value) for value in (0, 0.01, 0.05, 0.95, 1)]
        [True, False, True, True, False]
        """
        if not math.isfinite(value):
            return False
        if self.also is not None and value == self.also:
            return True
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def admits_text(self, value: str) -> bool:
        """Tell whether a text lies within the bounds.

        Examples
        --------
        >>> Bounds(length=3).admits_text("EUR"), Bounds(one_of=("none", "linear")).admits_text("fast")
        (True, False)
        >>> Bounds(required=True).admits_text(" "), Bounds(type="name").admits_text("Call me")
        (False, False)
        """
        return (
            (self.one_of is None or value in self.one_of)
            and (self.length is None or len(value) == self.length)
            and (not self.required or TEXT.fullmatch(value) is not None)
            and (self.type != "name" or NAME.fullmatch(value) is not None)
        )

    def words(self) -> str:
        """Return the bounds in words, as what a value must be.

        Examples
        --------
        >>> Bounds(also=0, minimum=0.05, maximum=0.95).words()
        '0, or at least 0.05 and at most 0.95'
        """
        parts = [
            ("one of {}", self.one_of and ", ".join(self.one_of)),
            ("{} letters", self.length),
            ("a text without blanks at its ends", self.required),
            (KINDS.get(self.type or ""), self.type),
            ("at least {:g}", self.minimum),
            ("at most {:g}", self.maximum),
            ("greater than {:g}", self.above),
            ("less than {:g}", self.below),
        ]
        bounded = " and ".join(text.format(value) for text, value in parts if text and value is not None)
        bounded = f"empty, or {bounded}" if self.optional else bounded
        return bounded if self.also is None else f"{self.also:g}, or {bounded}"


@cache
def policy_bounds() -> Mapping[str, Bounds]:
    """Return the bounds of each policy parameter, in the order of ``int_policy_parameters``."""
    return _declared("int_policy_parameters.yml", "models", "int_policy_parameters")


@cache
def seed_bounds(seed: str) -> Mapping[str, Bounds]:
    """Return the bounds of each column of a seed; a column without bounds admits every value."""
    return _declared("seeds.yml", "seeds", seed)


def _declared(file: str, kind: str, name: str) -> dict[str, Bounds]:
    path = PARAMETERS_FOLDER / file
    try:
        nodes = yaml.safe_load(path.read_text(encoding="utf-8"))[kind]
        columns = next(node["columns"] for node in nodes if node["name"] == name)
        return {column["name"]: _bounds(column.get("config", {}).get("meta", {})) for column in columns}
    except (OSError, KeyError, StopIteration, TypeError) as error:
        raise BayesPilotError(
            f"the bounds of {name} cannot be read: {error!r}",
            where=str(path),
            next_step="restore the file, or correct the meta of its columns",
        ) from error


def _bounds(meta: Mapping[str, Any]) -> Bounds:
    choices = meta.get("one_of")
    return Bounds(**{**meta, "one_of": None if choices is None else tuple(choices)})
