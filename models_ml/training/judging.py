"""Judging fitted pipelines on a date that taught them nothing: money first, statistics beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logit

from models_ml.decisions.choose import choose_actions
from models_ml.decisions.economics import Valuation, value_offers
from models_ml.decisions.limits import Limits
from models_ml.decisions.policy import Offer, OfferEffects, Policy
from models_ml.evaluation.judged_profit import JudgedProfit, compare_profits, contact_values
from models_ml.evaluation.maximum_profit import expected_maximum_profit
from models_ml.evaluation.metrics import score_metrics
from models_ml.training.calibration import fit_calibrator
from models_ml.training.examples import Examples
from models_ml.training.settings import TrainingSettings


@dataclass(frozen=True)
class Economics:
    """What money terms the plans are made and judged with."""

    policy: Policy
    offers: tuple[Offer, ...]
    effects: OfferEffects

    def value(self, churn_probability: np.ndarray, examples: Examples) -> Valuation:
        """Value every offer for every row at the given churn probabilities."""
        return value_offers(
            churn_probability,
            examples.monthly_revenue,
            examples.signals,
            policy=self.policy,
            offers=self.offers,
            effects=self.effects,
        )


@dataclass(frozen=True)
class Verdict:
    """How one candidate did on the judged date; contacts and cost are those of everybody the rows stand for."""

    profit: JudgedProfit
    planned_contacts: int
    planned_cost: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class JudgedDate:
    """Customers of the judged date, and the money terms that every candidate is judged with.

    ``reference`` values offers at one churn probability for all, so that no candidate grades itself; ``limits``
    are those of everybody whom these customers stand for. Any further pipeline can be judged beside the
    candidates on the same terms.
    """

    examples: Examples
    economics: Economics
    limits: Limits
    reference: Valuation

    def plan(self, churn_probability: np.ndarray) -> np.ndarray:
        """Return the offer that a pipeline would choose for each of ``copies``, -1 for none, shape (m,).

        Slots and money are counted over the copies: a holdout that stands for ten customers uses ten slots,
        or else a plan could reach down to customers whom the limits never let it reach.
        """
        valuation = self.economics.value(churn_probability, self.examples)
        plan = choose_actions(
            valuation.expected_value[self.copies],
            valuation.expected_cost[self.copies],
            self._allowed[self.copies],
            limits=self.limits,
            touch_price=self.economics.policy.touch_price,
            tie_order=np.arange(len(self.copies)),  # copies keep the order of the rows
        )
        return np.asarray(plan.choice)

    def contact_value(self, choice: np.ndarray) -> np.ndarray:
        """Return what the contacts of a plan were worth for each row, money, shape (n,); 0 where none is made.

        A row's weight is shared among its copies, so that rounding to whole copies changes who is planned,
        never what a contact counts.
        """
        weight = self.examples.example_weight
        share = np.where(
            weight >= 1, weight / np.maximum(np.bincount(self.copies, minlength=len(weight)), 1), 1.0
        )
        worth = contact_values(
            choice,
            self.examples.has_churned[self.copies],
            share[self.copies],
            relative_risk=self.reference.relative_risk[self.copies],
            customer_value=self.reference.customer_value[self.copies],
            expected_cost=self.reference.expected_cost[self.copies],
        )
        return np.bincount(self.copies, worth, len(weight))

    def value_if_contacted(self) -> np.ndarray:
        """Return what contacting each customer was worth, unweighted, with the offer worth most to expect.

        Shape (n,); 0 where no offer is allowed: nobody can contact them.
        """
        expected = np.where(self._allowed, self.reference.expected_value, -np.inf)
        best = np.where(self._allowed.any(axis=1), expected.argmax(axis=1), -1)
        return contact_values(
            best,
            self.examples.has_churned,
            np.ones(len(best)),
            relative_risk=self.reference.relative_risk,
            customer_value=self.reference.customer_value,
            expected_cost=self.reference.expected_cost,
        )

    def planned_cost(self, choice: np.ndarray) -> float:
        """Return the expected cost of a plan, money."""
        planned = np.flatnonzero(choice >= 0)
        return float(self.reference.expected_cost[self.copies[planned], choice[planned]].sum())

    @cached_property
    def copies(self) -> np.ndarray:
        """Row of each customer in the population that the rows stand for, in order, shape (m,)."""
        return whole_copies(self.examples.example_weight)

    @property
    def _allowed(self) -> np.ndarray:
        return self.examples.offers_allowed(len(self.economics.offers))


def whole_copies(weight: np.ndarray) -> np.ndarray:
    """Return each row's position as often as its weight says, shape (m,): m is Σ weight, rounded.

    Fractions are carried from row to row (systematic sampling; Cochran 1977, *Sampling Techniques*, chapter 8),
    so that the copies of any stretch of rows number its weight to within one.

    Examples
    --------
    >>> whole_copies(np.array([1.0, 1.5, 1.5, 3.0])).tolist()
    [0, 1, 2, 2, 3, 3, 3]
    """
    ends = np.floor(np.cumsum(weight) + 1e-9).astype(np.int64)  # sums of decimals may end just below a whole
    return np.repeat(np.arange(len(weight)), np.diff(ends, prepend=0))


def open_judged_date(
    probabilities: Mapping[str, np.ndarray],
    examples: Examples,
    economics: Economics,
    limits: Limits,
    settings: TrainingSettings,
) -> JudgedDate:
    """Set the terms: one reference churn probability for all candidates; see `reference_probability`.

    Each of ``probabilities`` is (n,), 0 to 1; ``limits`` are those of everybody whom the rows stand for.
    """
    reference = reference_probability(list(probabilities.values()), examples, settings)
    return JudgedDate(examples, economics, limits, economics.value(reference, examples))


def reference_probability(
    probabilities: Sequence[np.ndarray], examples: Examples, settings: TrainingSettings
) -> np.ndarray:
    """Return the mean of several churn probabilities, levelled to the churn seen on these rows, shape (n,).

    The level comes from what happened (a sigmoid, two numbers), because the value of a contact depends on it:
    with the plain mean, a candidate that predicts too much would pull the terms towards its own plan.
    """
    mean = np.mean(np.column_stack(list(probabilities)), axis=1)
    floor = settings.calibration.probability_floor
    log_odds = logit(np.clip(mean, floor, 1 - floor))
    level = fit_calibrator("sigmoid", log_odds, examples.has_churned, examples.example_weight, floor=floor)
    return level.apply(log_odds)


def judge(
    probabilities: Mapping[str, np.ndarray], judged_date: JudgedDate, settings: TrainingSettings
) -> dict[str, Verdict]:
    """Judge churn probabilities on the same untouched customers and the same terms.

    Parameters
    ----------
    probabilities : mapping of name to ndarray of shape (n,), 0 to 1
        Candidates, or any others beside them; their plans and shortfalls are compared with one another.
    """
    choices = {name: judged_date.plan(probability) for name, probability in probabilities.items()}
    profits = compare_profits(
        {name: judged_date.contact_value(choice) for name, choice in choices.items()},
        bootstraps=settings.judging.bootstraps,
        seed=settings.seed,
    )
    return {
        name: Verdict(
            profits[name],
            int((choices[name] >= 0).sum()),
            judged_date.planned_cost(choices[name]),
            metrics_of(probabilities[name], judged_date.examples, settings),
        )
        for name in probabilities
    }


def metrics_of(
    churn_probability: np.ndarray, examples: Examples, settings: TrainingSettings
) -> dict[str, float]:
    """Return ranking and calibration metrics of one pipeline, and the published profit yardstick, EMPC."""
    rules = settings.judging
    copies = whole_copies(examples.example_weight)
    empc = expected_maximum_profit(
        examples.has_churned[copies],
        churn_probability[copies],
        clv=rules.empc_clv,
        incentive_cost=rules.empc_incentive_cost,
        contact_cost=rules.empc_contact_cost,
        alpha=rules.empc_alpha,
        beta=rules.empc_beta,
    )
    return score_metrics(
        examples.has_churned,
        churn_probability,
        weight=examples.example_weight,
        bins=rules.calibration_bins,
        lift_share=rules.lift_share,
    ) | {"empc": empc}
