r"""Trials: which customers are assigned an offer or nothing by chance, to learn what offers do.

Three steps, with p_0 the churn probability if left alone, V_i the customer's value, and sd(b_o·z_i) how uncertain the
effect of offer o on customer i is:

1. Inclusion. A customer is included with a probability proportional to

       w_i = p_0·(1 − p_0) · V_i · max_o sd(b_o·z_i),

   the sd of the money that the least known offer would keep. The factor is the largest for which the expected cost and
   contacts of the trial fit its limits (the learning budget). It is multiplied by min(1, (s̄ / full_use_sd)²), where s̄
   is the mean of max_o sd(b_o·z_i) with weights p_0·(1 − p_0)·V_i: a trial fades as effects become known. An outcome
   reduces a variance σ² by a share that is proportional to σ², and its cost stays the same.
2. Assignment. Chance gives an included customer one of the allowed offers, or nothing, each with at least
   ``smallest_share``. The rest of the probability is spread so that the same money says most: an offer gets it in
   proportion to sd(b_o·z_i) / √cost_io (Neyman 1934, *Journal of the Royal Statistical Society* 97), nothing by the
   root of the sum of their squares, because it is compared with all of them (Dunnett 1955, *Journal of the American
   Statistical Association* 50).
3. Withdrawal. Limits hold on average only. An assigned offer that they cannot carry is withdrawn: its customer is not
   contacted, but stays in the arm.

Draws in [0, 1) come in from stable hashes; nothing here draws a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models_ml.decisions.limits import Limits
from models_ml.decisions.offer_beliefs import Floats
from models_ml.decisions.settings import TrialSettings
from models_ml.errors import BayesPilotError

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

SMALLEST_COST_SHARE = (
    0.01  # of the customer's most expensive offer: what costs nothing is not assigned without end
)


@dataclass(frozen=True)
class TrialCandidates:
    """n customers that a trial may draw.

    Attributes
    ----------
    churn_probability : ndarray of shape (n,)
        In [0, 1], if left alone.
    customer_value : ndarray of shape (n,)
        Money ≥ 0.
    effect_sd : ndarray of shape (n, k)
        sd(b_o·z_i), log-odds: how little is known of what the offer does to the customer.
    expected_cost : ndarray of shape (n, k)
        Money per contact.
    allowed : ndarray of bool of shape (n, k)
        Offers that may be made; a row without any stays out of the trial.
    """

    churn_probability: Floats
    customer_value: Floats
    effect_sd: Floats
    expected_cost: Floats
    allowed: Bools


@dataclass(frozen=True)
class Trial:
    """Which customers are on trial and what chance assigned, for n customers and k offers.

    Attributes
    ----------
    inclusion_probability : ndarray of shape (n,)
    arm_probability : ndarray of shape (n, k + 1)
        Given inclusion: of each offer and, last, of nothing; rows add up to 1, or to 0 where nothing is allowed.
    is_included : ndarray of bool of shape (n,)
    assigned : ndarray of int of shape (n,)
        Position of the assigned offer; −1 for nothing, and for customers not included.
    is_withdrawn : ndarray of bool of shape (n,)
        Assigned an offer that the limits cannot carry: not contacted, but still a member of that arm.
    """

    inclusion_probability: Floats
    arm_probability: Floats
    is_included: Bools
    assigned: Integers
    is_withdrawn: Bools

    @property
    def propensity(self) -> Floats:
        """Probability of the assignment given inclusion, shape (n,); 1 for customers not included."""
        chosen = self.arm_probability[np.arange(len(self.assigned)), self.assigned]  # −1 is the last column
        return np.where(self.is_included, chosen, 1.0)

    @property
    def propensity_no_action(self) -> Floats:
        """Probability of nothing given inclusion, shape (n,); 1 for customers not included."""
        return np.where(self.is_included, self.arm_probability[:, -1], 1.0)


def trial_inclusion(
    candidates: TrialCandidates,
    limits: Limits,
    inclusion_draw: Floats,
    offer_draw: Floats,
    settings: TrialSettings,
) -> Trial:
    """Choose the customers on trial and assign offers, before anything is planned.

    Parameters
    ----------
    candidates : TrialCandidates
    limits : Limits
        What the trial may use: the learning share of what the month has, money in the unit of ``expected_cost``.
    inclusion_draw, offer_draw : ndarray of shape (n,)
        In [0, 1), from two different hashes.
    settings : TrialSettings

    Raises
    ------
    BayesPilotError
        When one customer has more offers than ``smallest_share`` leaves room for.

    Examples
    --------
    Two customers with the same signals and much room: the one with more at stake is included first.

    >>> candidates = TrialCandidates(np.array([0.5, 0.1]), np.array([100.0, 100.0]), np.full((2, 1), 0.3),
    ...                              np.full((2, 1), 4.0), np.ones((2, 1), bool))
    >>> limits = Limits(2.0, np.array([9]), {"email": 9}, ("email",), ("a",))
    >>> draw = np.array([0.5, 0.5])
    >>> found = trial_inclusion(candidates, limits, draw, np.array([0.2, 0.2]), TrialSettings(0.05, 0.3))
    >>> found.inclusion_probability.round(4).tolist(), found.arm_probability.round(2).tolist()
    ([0.7353, 0.2647], [[0.5, 0.5], [0.5, 0.5]])
    >>> found.is_included.tolist(), found.assigned.tolist(), found.is_withdrawn.tolist()
    ([True, False], [0, -1], [True, False])
    """
    at_stake = candidates.churn_probability * (1.0 - candidates.churn_probability) * candidates.customer_value
    allowed = _within_capacity(candidates, at_stake, limits, settings.smallest_share)
    sd = np.where(allowed, candidates.effect_sd, 0.0)
    arm_probability = arm_probabilities(sd, candidates.expected_cost, allowed, settings.smallest_share)
    widest = sd.max(axis=1, initial=0.0)
    weight = at_stake * widest
    usable = at_stake * allowed.any(axis=1)
    mean_sd = weight.sum() / usable.sum() if usable.sum() > 0 else 0.0
    factor = _largest_factor(weight, arm_probability[:, :-1], candidates.expected_cost, limits)
    factor *= min(1.0, (mean_sd / settings.full_use_sd) ** 2)
    probability = np.minimum(factor * weight, 1.0)
    is_included = inclusion_draw < probability
    assigned = np.where(is_included, _assigned(arm_probability, offer_draw), -1)
    return Trial(
        probability,
        arm_probability,
        is_included,
        assigned,
        withdrawn(
            assigned, inclusion_draw / np.maximum(probability, 1e-300), candidates.expected_cost, limits
        ),
    )


def _within_capacity(
    candidates: TrialCandidates, at_stake: Floats, limits: Limits, smallest_share: float
) -> Bools:
    """Leave scarce offers to the customers where they would say most, so that they do not hold back the whole trial.

    An offer without the capacity for all that the money alone would include stays allowed, in order of what is at stake
    and unknown under it, for as many as that capacity carries; so do the offers of a scarce channel.
    """
    allowed = np.array(candidates.allowed)
    members = [
        (np.arange(allowed.shape[1]) == at, float(room)) for at, room in enumerate(limits.offer_capacity)
    ]
    members += [
        (np.array([name == channel for name in limits.offer_channel]), float(room))
        for channel, room in limits.channel_capacity.items()
    ]
    # Twice: what a scarce offer leaves to the others lets the money include more, which uses more of those before it.
    for offers, room in members * 2:
        sd = np.where(allowed, candidates.effect_sd, 0.0)
        arms = arm_probabilities(sd, candidates.expected_cost, allowed, smallest_share)[:, :-1]
        weight = at_stake * sd.max(axis=1, initial=0.0)
        money = (arms * candidates.expected_cost).sum(axis=1)
        possible = np.flatnonzero(weight > 0)
        if not len(possible):
            break
        order = possible[np.argsort(-weight[possible], kind="stable")]
        factor = _factor_for(weight[order], money[order], limits.budget)
        use = np.minimum(factor * weight, 1.0) * arms[:, offers].sum(axis=1)
        if use.sum() <= room:
            continue
        says = at_stake * np.where(offers, sd, 0.0).max(axis=1, initial=0.0)
        first = np.argsort(-says, kind="stable")
        fits = np.cumsum(use[first]) <= room
        allowed[np.ix_(first[~fits], np.flatnonzero(offers))] = False
    return allowed


def arm_probabilities(sd: Floats, cost: Floats, allowed: Bools, smallest_share: float) -> Floats:
    """Return the probability of each offer and, last, of nothing, given inclusion, shape (n, k + 1).

    Parameters
    ----------
    sd, cost : ndarray of shape (n, k)
        Of the effect, log-odds; money per contact. An offer cheaper than a hundredth of the customer's most expensive
        one counts as that.
    allowed : ndarray of bool of shape (n, k)
    smallest_share : float
        Of each allowed offer and of nothing.

    Examples
    --------
    Ten per cent each are certain. The other 70 % follow sd / √cost, 3 and 4, and 5 for nothing:

    >>> arm_probabilities(np.array([[6.0, 4.0]]), np.array([[4.0, 1.0]]), np.ones((1, 2), bool), 0.1).round(3).tolist()
    [[0.275, 0.333, 0.392]]
    """
    arms = np.column_stack([allowed, allowed.any(axis=1)])
    count = arms.sum(axis=1, keepdims=True)
    if count.max(initial=0) * smallest_share > 1.0:
        raise BayesPilotError(
            f"{count.max() - 1} offers are too many for a trial that gives each at least {smallest_share:g}",
            where="models_ml/decisions/settings.toml, trial.smallest_share",
            next_step="lower the share, or allow fewer offers per customer in offers.csv",
        )
    money = np.where(allowed, cost, 0.0)
    largest = money.max(axis=1, keepdims=True, initial=0.0)
    money = np.maximum(money, SMALLEST_COST_SHARE * np.where(largest > 0, largest, 1.0))
    offers = np.where(allowed, sd, 0.0) / np.sqrt(money)
    weight = np.column_stack([offers, np.sqrt(np.square(offers).sum(axis=1))])
    total = weight.sum(axis=1, keepdims=True)
    evenly = arms / np.maximum(count, 1)
    spread = np.where(total > 0, weight / np.where(total > 0, total, 1.0), evenly)
    return np.asarray(np.where(arms, smallest_share + (1.0 - smallest_share * count) * spread, 0.0))


def _largest_factor(weight: Floats, offer_probability: Floats, cost: Floats, limits: Limits) -> float:
    """Return the largest factor at which Σ min(1, factor·w)·use stays within every limit."""
    uses = [((offer_probability * cost).sum(axis=1), limits.budget)]
    uses += [(offer_probability[:, offer], float(room)) for offer, room in enumerate(limits.offer_capacity)]
    for channel, room in limits.channel_capacity.items():
        on_channel = np.array([name == channel for name in limits.offer_channel])
        uses.append((offer_probability[:, on_channel].sum(axis=1), float(room)))
    possible = weight > 0
    if not possible.any():
        return 0.0
    order = np.argsort(-weight[possible], kind="stable")
    sorted_weight = weight[possible][order]
    return min(_factor_for(sorted_weight, use[possible][order], room) for use, room in uses)


def _factor_for(weight: Floats, use: Floats, room: float) -> float:
    """Return the largest factor for one limit; ``weight`` falls, so that the first rows reach 1 first."""
    if room <= 0.0 and use.sum() > 0.0:
        return 0.0
    certain = np.concatenate([[0.0], np.cumsum(use)[:-1]])  # rows before this one are included for certain
    rest = np.cumsum((weight * use)[::-1])[::-1]
    full_at = 1.0 / weight  # at this factor, this row is included for certain
    used = certain + full_at * rest
    if used[-1] <= room:
        return float(full_at[-1])
    first = int(np.argmax(used > room))
    return float((room - certain[first]) / rest[first])


def _assigned(arm_probability: Floats, offer_draw: Floats) -> Integers:
    """Return the arm in whose interval of the draw it falls, −1 for nothing (the last interval)."""
    upper = np.cumsum(arm_probability[:, :-1], axis=1)
    drawn = offer_draw[:, None] < upper
    return np.where(drawn.any(axis=1), drawn.argmax(axis=1), -1)


def withdrawn(assigned: Integers, order: Floats, cost: Floats, limits: Limits) -> Bools:
    """Tell which assigned offers the limits cannot carry, in the given order; a smaller one after it may still fit.

    Parameters
    ----------
    assigned : ndarray of int of shape (n,)
        Position of the offer, −1 for nothing.
    order : ndarray of shape (n,)
        Offers are admitted from the smallest on; must not depend on the assignment.
    cost : ndarray of shape (n, k)
    limits : Limits

    Examples
    --------
    >>> limits = Limits(5.0, np.array([9, 1]), {"email": 9}, ("email", "email"), ("a", "b"))
    >>> cost = np.array([[4.0, 1.0]] * 4)
    >>> withdrawn(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4]), cost, limits).tolist()
    [False, True, False, True]
    """
    refused = np.zeros(len(assigned), dtype=bool)
    money, rooms = limits.budget, np.array(limits.offer_capacity, dtype=np.float64)
    channels = {name: float(room) for name, room in limits.channel_capacity.items()}
    rows = np.flatnonzero(assigned >= 0)
    for row in rows[np.argsort(order[rows], kind="stable")]:
        offer = assigned[row]
        channel = limits.offer_channel[offer]
        fits = cost[row, offer] <= money and rooms[offer] >= 1 and channels.get(channel, np.inf) >= 1
        if fits:
            money -= float(cost[row, offer])
            rooms[offer] -= 1
            channels[channel] = channels.get(channel, np.inf) - 1
        refused[row] = not fits
    return refused
