"""A simulated retention programme with a known true value per month, for each of the three figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from models_ml.evaluation.programme_value import (
    DOUBLY_ROBUST,
    PICK_HOLDOUT,
    UNIVERSAL_HOLDOUT,
    Enrolled,
    Episodes,
)

MEAN_LOG_ODDS = -3.6  # of leaving within a month: about 4 % leave, as in the bundled demo
CHOSEN_SHARE = 0.12  # of the customers who may be contacted, each month
MONTHLY_DISCOUNT = 1.10 ** (-1 / 12)
VALUE_MONTHS = 12  # over which the margin still to come is counted
LEAVER_MARGIN = 0.5  # of a month's margin that a customer brings who leaves in it
TRIAL_PROPENSITY = 0.5  # of being left alone, in the trial


@dataclass(frozen=True)
class World:
    """A programme: shares of customers (``holdout`` for both holdouts), money per contact, and its effect.

    ``relative_risk`` multiplies the churn probability of the month of a contact, ``lasting_risk`` that of all later
    months; under ``is_postponed`` a customer that a contact kept leaves the month after. A trial of another offer
    takes ``trial_share`` of the customers before the policy chooses.
    """

    customers: int
    months: int
    holdout: float
    relative_risk: float
    contact_cost: float
    lasting_risk: float = 1.0
    is_postponed: bool = False
    trial_share: float = 0.0
    trial_risk: float = 1.0


@dataclass(frozen=True)
class Month:
    """What is known at a month's end, and the true worth that each figure estimates, per unit.

    ``enrolled``, ``episodes`` and ``truth`` speak of the programme so far; ``change``, ``opened`` and
    ``monthly_truth`` of the month alone.
    """

    enrolled: Enrolled
    change: Enrolled
    episodes: Episodes
    opened: Episodes
    truth: dict[str, float]
    monthly_truth: dict[str, float]


@dataclass(frozen=True)
class _Path:
    """Customers under one treatment: who is still there, and discounted margin less costs to date, (n,)."""

    is_there: np.ndarray
    realised: np.ndarray

    def after(self, leaves: np.ndarray, margin: np.ndarray, cost: np.ndarray, discount: float) -> _Path:
        brought = margin * np.where(leaves, LEAVER_MARGIN, 1.0) * self.is_there - cost
        return _Path(self.is_there & ~leaves, self.realised + discount * brought)

    def outcome(self, value: np.ndarray, discount: float) -> np.ndarray:
        """Y without the value at enrolment, shape (n,)."""
        return self.realised + discount * value * self.is_there


@dataclass(frozen=True)
class _Customers:
    """n customers: log-odds of leaving within a month, margin per month, V at enrolment, who is never contacted."""

    log_odds: np.ndarray
    margin: np.ndarray
    value: np.ndarray
    is_untouched: np.ndarray

    @classmethod
    def draw(cls, world: World, random: np.random.Generator) -> _Customers:
        count = world.customers
        log_odds = random.normal(MEAN_LOG_ODDS, 0.8, count)
        margin = np.round(random.lognormal(3.0, 0.8, count), 2)
        value = _margin_to_come(margin, expit(log_odds + random.normal(0.0, 0.3, count)))
        return cls(log_odds, margin, value, random.random(count) < world.holdout)


def play(world: World, random: np.random.Generator) -> Iterator[Month]:
    """Let customers live through the programme twice by the same luck: treated by it, and left alone.

    The difference of both lives is what the programme is worth to each customer. Only one of them is observed: the life
    left alone of the universal holdout, the treated life of all others.
    """
    count = world.customers
    customers = _Customers.draw(world, random)
    treated = alone = _Path(np.ones(count, dtype=bool), np.zeros(count))
    mood, lasting_risk = (
        np.zeros(count),
        np.ones(count),
    )  # log-odds of this month; what earlier contacts left behind
    in_episode, leaves_later = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    enrolled, worth = _enrolled(customers, treated, alone, 1.0), 0.0
    pieces: list[Episodes] = []
    effects: list[np.ndarray] = []
    for month in range(1, world.months + 1):
        discount = MONTHLY_DISCOUNT**month
        mood = 0.7 * mood + random.normal(0.0, 0.5, count)
        churn, luck = expit(customers.log_odds + mood), random.random(count)
        believed = expit(customers.log_odds + mood + random.normal(0.0, 0.35, count))

        # The universal holdout draws arms too: its treated life is the one that it would have had.
        may_be_contacted = treated.is_there & ~in_episode
        action, propensity = _draw(world, believed * customers.value, may_be_contacted, random)
        is_contacted, in_episode = action > 0, propensity < 1.0
        is_opened = in_episode & ~customers.is_untouched
        cost = world.contact_cost * is_contacted

        untouched_churn = np.minimum(churn * lasting_risk, 1.0)
        relative_risk = np.array([1.0, world.relative_risk, world.trial_risk])[action]
        leaves = treated.is_there & ((luck < untouched_churn * relative_risk) | leaves_later)
        if world.is_postponed:
            leaves_later = treated.is_there & is_contacted & (luck < untouched_churn) & ~leaves
        opened = _episodes(is_opened, action, propensity, leaves, customers, believed, cost, world)
        effects.append(_effect(world, customers, untouched_churn, propensity)[is_opened])
        pieces.append(opened)

        treated = treated.after(leaves, customers.margin, cost, discount)
        alone = alone.after(alone.is_there & (luck < churn), customers.margin, np.zeros(count), discount)
        lasting_risk = np.where(is_contacted, np.minimum(lasting_risk, world.lasting_risk), lasting_risk)

        episodes = _joined(pieces)
        enrolled_before, enrolled = enrolled, _enrolled(customers, treated, alone, discount)
        outcomes = (life.outcome(customers.value, discount) for life in (treated, alone))
        worth_before, worth = worth, float(np.subtract(*outcomes).mean())
        yield Month(
            enrolled,
            _change(enrolled_before, enrolled),
            episodes,
            opened,
            {UNIVERSAL_HOLDOUT: worth} | _worth(episodes, np.concatenate(effects)),
            {UNIVERSAL_HOLDOUT: worth - worth_before} | _worth(opened, effects[-1]),
        )


def _effect(
    world: World, customers: _Customers, untouched_churn: np.ndarray, propensity: np.ndarray
) -> np.ndarray:
    """Return the expected money of contacting each customer in its arm, net of cost, shape (n,)."""
    at_stake = (customers.value - LEAVER_MARGIN * customers.margin) * untouched_churn
    relative_risk = np.where(_is_trial(world, propensity), world.trial_risk, world.relative_risk)
    return at_stake * (1.0 - relative_risk) - world.contact_cost


def _margin_to_come(margin: np.ndarray, churn: np.ndarray) -> np.ndarray:
    periods = np.arange(1, VALUE_MONTHS + 1)
    return margin * ((MONTHLY_DISCOUNT * (1.0 - churn))[:, None] ** periods).sum(axis=1)


def _draw(
    world: World, at_stake: np.ndarray, may_be_contacted: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return actions (0 none, 1 the policy's offer, 2 the trial's) and the probability of none, both (n,)."""
    count = len(at_stake)
    trial = may_be_contacted & (random.random(count) < world.trial_share)
    free = may_be_contacted & ~trial
    chosen = free & (at_stake > (np.quantile(at_stake[free], 1.0 - CHOSEN_SHARE) if free.any() else np.inf))
    propensity = np.where(trial, TRIAL_PROPENSITY, np.where(chosen, world.holdout, 1.0))
    is_contacted = random.random(count) >= propensity
    return np.where(is_contacted, np.where(trial, 2, 1), 0), propensity


def _is_trial(world: World, propensity: np.ndarray) -> np.ndarray:
    return (propensity == TRIAL_PROPENSITY) & (world.trial_share > 0)


def _episodes(
    rows: np.ndarray,
    action: np.ndarray,
    propensity: np.ndarray,
    leaves: np.ndarray,
    customers: _Customers,
    believed: np.ndarray,
    cost: np.ndarray,
    world: World,
) -> Episodes:
    margin, value = customers.margin, customers.value
    brought = margin * np.where(leaves, LEAVER_MARGIN, 1.0)
    whole = Episodes(
        customer_id=np.arange(len(rows)),
        is_chosen=~_is_trial(world, propensity),
        is_left_alone=action == 0,
        propensity_no_action=propensity,
        realised=brought - cost,
        to_come=np.where(leaves, 0.0, value - brought),
        at_opening=value,
        predicted_left_alone=-believed * (value - LEAVER_MARGIN * margin),
        has_left=leaves,
        is_contaminated=np.zeros(len(rows), dtype=bool),
    )
    return whole.where(rows)


def _joined(pieces: list[Episodes]) -> Episodes:
    return Episodes(
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in vars(pieces[0])}
    )


def _worth(episodes: Episodes, effect: np.ndarray) -> dict[str, float]:
    """Return the expected worth per episode: of contacts to the chosen, and of all episodes as they were run."""
    as_run = (1.0 - episodes.propensity_no_action) * effect
    return {PICK_HOLDOUT: float(effect[episodes.is_chosen].mean()), DOUBLY_ROBUST: float(as_run.mean())}


def _enrolled(customers: _Customers, treated: _Path, alone: _Path, discount: float) -> Enrolled:
    untouched, value = customers.is_untouched, customers.value
    is_there = np.where(untouched, alone.is_there, treated.is_there)
    return Enrolled(
        is_untouched=untouched,
        realised=np.where(untouched, alone.realised, treated.realised),
        to_come=discount * value * is_there,
        at_enrolment=value,
        has_left=~is_there,
        is_contaminated=np.zeros(len(value), dtype=bool),
    )


def _change(earlier: Enrolled, now: Enrolled) -> Enrolled:
    """Return the month alone: V at its start takes the place of V at enrolment."""
    return replace(now, realised=now.realised - earlier.realised, at_enrolment=earlier.to_come)
