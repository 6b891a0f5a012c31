"""Learn from a randomised trial which customers should get which offer, and what that is worth.

The verdict says in words that a person can act on whether personalising is shown to help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from models_ml.decisions.limits import Limits
from models_ml.decisions.references import first_come
from models_ml.evaluation import Estimate, PolicyValue
from models_ml.evaluation.intervals import LEVEL
from models_ml.training.frames import Frame, as_table, feature_columns
from models_ml.training.schema import FeatureSchema
from models_ml.uplift.held_out import (
    HeldOut,
    QiniCurve,
    Worth,
    are_the_same,
    contrast,
    qini_curve,
    run_held_out,
    worth_of,
)
from models_ml.uplift.learners import LEARNERS, EffectModel, LearnerInputs
from models_ml.uplift.policies import (
    LEARNED,
    NOBODY,
    Notify,
    Selection,
    checked_learners,
    checked_limits,
    net_gains,
    planned_choice,
    select_policy,
    uniform_policies,
)
from models_ml.uplift.randomisation import ArmBalance, check_randomisation
from models_ml.uplift.settings import UpliftSettings, load_settings
from models_ml.uplift.trial import Amount, Cost, Floats, Money, Propensity, Trial, read_trial

CUSTOMERS = 1000  # money is said per so many
TOO_FEW = "too few customers to tell"
THE_SAME = "0, the same policy"


@dataclass(frozen=True)
class Verdict:
    """``is_shown``: the learned policy earns more than each that treats all alike; ``closest``: the one it beats least.

    ``best_offer`` names the offer for all that is worth most, of those shown to earn more than treating none
    where there are any (``is_earning``); ``earned`` is its value against treating none, None where limits allow
    no offer, or too few customers tell what one earns.
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


@dataclass(frozen=True)
class LearnedPolicy:
    """A policy learned from a trial, with what it and the policies that treat all alike are worth.

    Attributes
    ----------
    trial : Trial
    arms : list of ArmBalance
        Rows, shares and mean outcomes, the control first.
    selection : Selection
        How the policy was chosen on the whole trial; ``selection.chosen`` names it.
    model : EffectModel or None
        Fitted on the whole trial; None where the chosen policy treats all alike.
    worth : mapping of policy to Worth
        On customers held out from the whole procedure, money per customer; `LEARNED` is the procedure itself.
    contrasts : mapping of policy to PolicyValue or None
        The learned policy against each that treats all alike; None where they are the same or hardly differ.
    verdict : Verdict
        Whether personalising is shown to help, in words.
    qini : QiniCurve
    held_out : HeldOut
    """

    trial: Trial
    arms: Sequence[ArmBalance]
    selection: Selection
    model: EffectModel | None
    worth: Mapping[str, Worth]
    contrasts: Mapping[str, PolicyValue | None]
    verdict: Verdict
    qini: QiniCurve
    held_out: HeldOut
    limits: Limits
    money: Money
    settings: UpliftSettings

    def not_estimated(self, name: str, other: str) -> str:
        """Return why the difference of two policies has no estimate: they are the same, or differ for too few."""
        return THE_SAME if are_the_same(self.held_out, name, other) else TOO_FEW

    def choose(self, frame: Frame, limits: Limits | None = None) -> np.ndarray:
        """Return the arm that each row of a frame should get, labels of shape (n,).

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            With the columns of the schema, and those of value and cost where these are columns.
        limits : Limits, optional
            Of these customers; none without.
        """
        table = as_table(frame)
        value, cost = self.money.read(table, self.trial.offers)
        features = feature_columns(table, self.trial.schema)
        new = replace(
            self.trial,
            features=features,
            arm=np.zeros(table.num_rows, dtype=np.int64),
            outcome=np.zeros(table.num_rows),
            propensity=np.ones(table.num_rows),
            value=value,
            cost=cost,
        )
        allowed = checked_limits(limits, self.trial)
        effects = None if self.model is None else self.model.effects(features)
        return np.array(self.trial.arms, dtype=object)[self._chosen_arm(new, effects, allowed)]

    def planned_arm(self) -> np.ndarray:
        """Return the arm that the chosen policy gives each row of the trial, (n,)."""
        effects = None if self.model is None else self.model.effects(self.trial.features)
        return self._chosen_arm(self.trial, effects, self.limits)

    def _chosen_arm(self, trial: Trial, effects: Floats | None, limits: Limits) -> np.ndarray:
        if effects is not None:
            return 1 + planned_choice(net_gains(trial, effects), trial.cost[:, 1:], limits)
        names = list(uniform_policies(trial, limits))
        position = names.index(self.selection.chosen) - 1
        if position < 0:
            return np.zeros(len(trial), dtype=np.int64)
        # The same for all: as many as the limits allow, in a random order, the expensive ones as likely as the cheap.
        lot = np.random.default_rng(self.settings.seed).permutation(len(trial))
        served = lot[first_come(trial.cost[:, 1:], lot, np.full(len(trial), position), limits)]
        chosen = np.zeros(len(trial), dtype=np.int64)
        chosen[served] = 1 + position
        return chosen


def learn_policy(
    frame: Frame,
    schema: FeatureSchema,
    *,
    treatment: str,
    control: object,
    outcome: str,
    value: Amount,
    cost: Cost,
    propensity: Propensity = None,
    limits: Limits | None = None,
    learners: Sequence[str] | None = None,
    seed: int | None = None,
    settings: UpliftSettings | None = None,
    notify: Notify = lambda message: None,
) -> LearnedPolicy:
    """Learn from a randomised trial which customers should get which offer.

    Policies that treat all alike (treat none, one offer for all) compete with learned ones: T-learners,
    DR-learners, an effect posterior. On inner folds the simplest within one standard error of the best is
    chosen. What that whole procedure is worth is measured part by part, each part by what was learned and selected
    on the parts before it. Personalising is called helpful only if it earns more there than *each* policy that
    treats all alike, each by a 95 % interval; so that a trial without any difference passes in at most 2.5 %.

    Parameters
    ----------
    frame : pandas, polars or pyarrow frame
        One row per customer of the trial; rows keep their order.
    schema : FeatureSchema
        Columns known before the assignment, with their roles; see `models_ml.training.feature_schema`.
    treatment : str
        Column of arms: the control and one or more offers.
    control : label
        The arm that got nothing.
    outcome : str
        Column of 0 and 1, or of an amount such as money; never missing.
    value : float or str
        Money per unit of outcome, negative where the outcome is a loss (churn): a number or a column.
    cost : float, str, or mapping of offer to either
        Money per contact, at least 0, in the unit of ``value``.
    propensity : float, str or mapping of arm to float, optional
        Probability of the offer (one offer), of each arm, or the column with the probability of the arm that the
        row got. Without it the observed shares of the arms are used: the same chance for every row.
    limits : Limits, optional
        Budget and capacities for as many customers as the frame has rows; the plan is then made by
        `choose_actions` under them, and one offer for all means: for as many as they allow, drawn by lot.
    learners : names in `models_ml.uplift.learners.LEARNERS`, optional
    seed : int, optional
        Of folds, learners and bootstraps; that of the settings without.
    settings : UpliftSettings, ``settings.toml`` without
    notify : callable, told in words what is done

    Raises
    ------
    BayesPilotError
        If a column is missing or holds what it must not, an arm is missing or too small, the trial is not
        randomised as stated, or a feature gives the outcome away.

    Examples
    --------
    The offer helps customers of plan "a" and harms those of plan "b":

    >>> import numpy as np, pandas as pd
    >>> from models_ml.training import feature_schema
    >>> random = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"arm": random.choice(["call", "none"], 4000)})
    >>> frame["plan"] = random.choice(["a", "b"], 4000)
    >>> gain = np.where(frame["plan"] == "a", 0.2, -0.2) * (frame["arm"] == "call")
    >>> frame["stayed"] = random.random(4000) < 0.5 + gain
    >>> learned = learn_policy(
    ...     frame, feature_schema({"plan": "categorical"}), treatment="arm", control="none",
    ...     outcome="stayed", value=100.0, cost=1.0, propensity=0.5, learners=["effect_posterior"],
    ... )
    >>> learned.verdict.is_shown, learned.choose(pd.DataFrame({"plan": ["a", "b"]})).tolist()
    (True, ['call', 'none'])
    """
    chosen_settings = load_settings() if settings is None else settings
    if seed is not None:
        chosen_settings = replace(chosen_settings, seed=seed)
    money = Money(value, cost)
    trial = read_trial(
        frame,
        schema,
        treatment=treatment,
        control=control,
        outcome=outcome,
        propensity=propensity,
        money=money,
        settings=chosen_settings.trial,
    )
    names = checked_learners(learners, trial)
    given = checked_limits(limits, trial)
    notify("checking the randomisation")
    arms = check_randomisation(trial, chosen_settings)
    held_out = run_held_out(trial, names, given, chosen_settings, notify)
    notify("selecting on the whole trial")
    selection = select_policy(trial, names, given, chosen_settings, fold_seed=0, notify=lambda message: None)
    model = None
    if selection.chosen in LEARNERS:
        model = LEARNERS[selection.chosen].fit(LearnerInputs(trial, chosen_settings))
    worth = {name: worth_of(held_out, name, NOBODY, chosen_settings) for name in held_out.policies}
    alike = [name for name in held_out.policies if name != LEARNED]
    contrasts = {name: contrast(held_out, LEARNED, name, chosen_settings) for name in alike}
    same = [name for name in alike if are_the_same(held_out, LEARNED, name)]
    return LearnedPolicy(
        trial=trial,
        arms=arms,
        selection=selection,
        model=model,
        worth=worth,
        contrasts=contrasts,
        verdict=reach_verdict(worth, contrasts, same),
        qini=qini_curve(held_out.ranked_gain, held_out.rank, chosen_settings.qini, chosen_settings.seed),
        held_out=held_out,
        limits=given,
        money=money,
        settings=chosen_settings,
    )
