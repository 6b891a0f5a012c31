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


def play(world: World, random: np.random.Generator) -> Iterator[Month]:
    """Let a population live through the programme, once treated and once untouched, by the same luck.

    The difference of both lives is what the programme is worth to each customer; only one of them is observed.
    """
    count = world.customers
    base, margin = random.normal(MEAN_LOG_ODDS, 0.8, count), np.round(random.lognormal(3.0, 0.8, count), 2)
    value = _margin_to_come(margin, expit(base + random.normal(0.0, 0.3, count)))
    untouched = random.random(count) < world.holdout
    treated, alone = (_Path(np.ones(count, dtype=bool), np.zeros(count)) for _ in range(2))
    wobble, resting, doomed = np.zeros(count), np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    touched, lasting = np.zeros(count, dtype=bool), np.ones(count)
    pieces: list[Episodes] = []
    effects: list[np.ndarray] = []
    enrolled, before = _enrolled(untouched, treated, alone, value, 1.0), 0.0
    for month in range(1, world.months + 1):
        wobble = 0.7 * wobble + random.normal(0.0, 0.5, count)
        churn, luck = expit(base + wobble), random.random(count)
        believed = expit(base + wobble + random.normal(0.0, 0.35, count))
        action, propensity = _draw(world, believed * value, treated.is_there & ~resting, random)
        risk = np.array([1.0, world.relative_risk, world.trial_risk])
        contacted = action > 0
        cost = world.contact_cost * contacted
        alive_churn = np.minimum(churn * lasting, 1.0)
        leaves = treated.is_there & ((luck < alive_churn * risk[action]) | doomed)
        if world.is_postponed:
            doomed = treated.is_there & contacted & (luck < alive_churn) & ~leaves
        discount = MONTHLY_DISCOUNT**month
        here = propensity < 1.0
        opened = _episodes(
            here & ~untouched, action, propensity, leaves, margin, value, believed, cost, world
        )
        treated = treated.after(leaves, margin, cost, discount)
        alone = alone.after(alone.is_there & (luck < churn), margin, np.zeros(count), discount)
        lasting = np.where(contacted, np.minimum(lasting, world.lasting_risk), lasting)
        touched |= contacted
        resting = here
        kept = (value - LEAVER_MARGIN * margin) * alive_churn
        offered = np.where(_is_trial(world, propensity), world.trial_risk, world.relative_risk)
        rows = here & ~untouched
        effects.append((kept * (1.0 - offered) - world.contact_cost)[rows])
        pieces.append(opened)
        episodes = _joined(pieces)
        effect = np.concatenate(effects)
        worth = float((treated.outcome(value, discount) - alone.outcome(value, discount)).mean())
        earlier, enrolled = enrolled, _enrolled(untouched, treated, alone, value, discount)
        yield Month(
            enrolled,
            _change(earlier, enrolled),
            episodes,
            opened,
            {UNIVERSAL_HOLDOUT: worth} | _worth(episodes, effect),
            {UNIVERSAL_HOLDOUT: worth - before} | _worth(opened, effects[-1]),
        )
        before = worth


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
    margin: np.ndarray,
    value: np.ndarray,
    believed: np.ndarray,
    cost: np.ndarray,
    world: World,
) -> Episodes:
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


def _enrolled(
    untouched: np.ndarray, treated: _Path, alone: _Path, value: np.ndarray, discount: float
) -> Enrolled:
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
