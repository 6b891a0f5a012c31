"""Judging fitted pipelines on a date they have not seen: money first, statistics beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.special import logit

from models_ml.decisions.choose import choose_actions
from models_ml.decisions.economics import OfferValues, read_figures, value_figures
from models_ml.decisions.limits import Limits
from models_ml.decisions.policy import DecisionInputs
from models_ml.evaluation.metrics import notice_metrics, score_metrics
from models_ml.evaluation.profit import JudgedProfit, compare_profits, contact_values, expected_maximum_profit
from models_ml.training.calibration import fit_calibrator
from models_ml.training.examples import Examples
from models_ml.training.settings import TrainingSettings


@dataclass(frozen=True)
class Verdict:
    """How one candidate did on the judged date.

    ``choice`` (m,) is its plan over the ``copies`` of `JudgedDate`, ``planned_cost`` the expected cost of that plan;
    ``contact_value`` (n,) is what its contacts were worth for each row, money.
    """

    profit: JudgedProfit
    choice: np.ndarray = field(repr=False, compare=False)  # arrays have no single truth value
    contact_value: np.ndarray = field(repr=False, compare=False)
    planned_cost: float
    metrics: Mapping[str, float]

    @property
    def planned_contacts(self) -> int:
        """Number of contacts that the plan makes."""
        return int((self.choice >= 0).sum())


@dataclass(frozen=True)
class JudgedDate:
    """Customers of the judged date, and the terms on which every candidate is judged.

    ``reference`` values offers at one churn probability for all candidates, ``reference_probability`` (n,), so that no
    candidate is judged by its own probabilities. ``limits`` are those of the population that the rows represent.
    Another pipeline can be judged on the same terms.
    """

    examples: Examples
    inputs: DecisionInputs
    limits: Limits
    reference: OfferValues
    reference_probability: np.ndarray = field(repr=False, compare=False)

    def plan(self, churn_probability: np.ndarray) -> np.ndarray:
        """Return the offer that a pipeline would choose for each of ``copies``, -1 for none, shape (m,).

        Contacts and money are counted over the copies: a holdout of weight ten uses the capacity of ten contacts.
        Otherwise a plan could reach customers that the limits would exclude.
        """
        valuation = value_examples(churn_probability, self.examples, self.inputs)
        plan = choose_actions(
            valuation.expected_value[self.copies],
            valuation.expected_cost[self.copies],
            self._allowed[self.copies],
            limits=self.limits,
            touch_price=self.inputs.policy.touch_price,
            tie_order=np.arange(len(self.copies)),  # copies keep the order of the rows
        )
        return np.asarray(plan.choice)

    def contact_value(self, choice: np.ndarray) -> np.ndarray:
        """Return what the contacts of a plan were worth for each row, money, shape (n,); 0 where none is made.

        A row's weight is shared among its copies, so that rounding to whole copies changes which customers are
        planned, but not the weight of a contact.
        """
        return self._worth(choice, self.examples.has_churned)

    def outcome_variance(self, choice: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how far chance spreads the difference in worth of two plans, money², shape (n,).

        The variance were each row's outcome drawn anew at the reference probability.
        """
        p = self.reference_probability
        everybody, nobody = np.ones(len(p), dtype=bool), np.zeros(len(p), dtype=bool)
        own, others = (self._worth(plan, everybody) - self._worth(plan, nobody) for plan in (choice, other))
        return np.asarray(p * (1 - p) * (own - others) ** 2)

    def _worth(self, choice: np.ndarray, has_churned: np.ndarray) -> np.ndarray:
        weight = self.examples.example_weight
        share = np.where(
            weight >= 1, weight / np.maximum(np.bincount(self.copies, minlength=len(weight)), 1), 1.0
        )
        worth = contact_values(
            choice,
            has_churned[self.copies],
            share[self.copies],
            relative_risk=self.reference.relative_risk[self.copies],
            customer_value=self.reference.customer_value[self.copies],
            expected_cost=self.reference.expected_cost[self.copies],
        )
        return np.bincount(self.copies, worth, len(weight))

    def value_if_contacted(self) -> np.ndarray:
        """Return what contacting each customer with the offer of highest expected value was worth, unweighted.

        Shape (n,); 0 where no offer is allowed.
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
        """Row of each customer in the population that the rows represent, in order, shape (m,)."""
        return whole_copies(self.examples.example_weight)

    @property
    def _allowed(self) -> np.ndarray:
        return self.examples.offers_allowed(len(self.inputs.offers))


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
    inputs: DecisionInputs,
    limits: Limits,
    settings: TrainingSettings,
) -> JudgedDate:
    """Set the terms: one reference churn probability for all candidates; see `reference_probability`.

    Each of ``probabilities`` is (n,), 0 to 1; ``limits`` are those of the population that the rows represent.
    """
    reference = reference_probability(list(probabilities.values()), examples, settings)
    return JudgedDate(examples, inputs, limits, value_examples(reference, examples, inputs), reference)


def value_examples(churn_probability: np.ndarray, examples: Examples, inputs: DecisionInputs) -> OfferValues:
    """Value every offer for every row at the given churn probabilities, shape (n,); missing revenue counts as none."""
    figures = read_figures(examples.table, inputs, "training_examples")
    known = replace(figures, monthly_revenue=np.nan_to_num(figures.monthly_revenue))
    return value_figures(churn_probability, known, inputs)


def reference_probability(
    probabilities: Sequence[np.ndarray], examples: Examples, settings: TrainingSettings
) -> np.ndarray:
    """Return the mean of several churn probabilities, recalibrated to the churn observed on these rows, shape (n,).

    A sigmoid of two parameters is fitted to the outcomes, because the value of a contact depends on the mean
    probability: with the plain mean, a candidate that predicts too much would shift the terms towards its own plan.
    """
    mean = np.mean(np.column_stack(list(probabilities)), axis=1)
    floor = settings.calibration.probability_floor
    log_odds = logit(np.clip(mean, floor, 1 - floor))
    curve = fit_calibrator("sigmoid", log_odds, examples.has_churned, examples.example_weight, floor=floor)
    return curve.apply(log_odds)


def judge(
    probabilities: Mapping[str, np.ndarray], judged_date: JudgedDate, settings: TrainingSettings
) -> dict[str, Verdict]:
    """Judge churn probabilities on the same customers without contact and the same terms.

    Parameters
    ----------
    probabilities : mapping of name to ndarray of shape (n,), 0 to 1
        Candidates, and any other pipelines; their plans are compared with one another.
    """
    choices = {name: judged_date.plan(probability) for name, probability in probabilities.items()}
    values = {name: judged_date.contact_value(choice) for name, choice in choices.items()}
    profits = compare_profits(values, bootstraps=settings.judging.bootstraps, seed=settings.seed)
    return {
        name: Verdict(
            profits[name],
            choices[name],
            values[name],
            judged_date.planned_cost(choices[name]),
            metrics_of(probability, judged_date.examples, settings),
        )
        for name, probability in probabilities.items()
    }


def metrics_of(
    churn_probability: np.ndarray, examples: Examples, settings: TrainingSettings
) -> dict[str, float]:
    """Return ranking and calibration metrics of one pipeline, EMPC at its published parameters, and announced churn."""
    rules = settings.judging
    stands_for = examples.example_weight / examples.example_weight.mean()
    empc = expected_maximum_profit(
        examples.has_churned,
        churn_probability,
        clv=rules.empc_clv * stands_for,
        incentive_cost=rules.empc_incentive_cost * stands_for,
        contact_cost=rules.empc_contact_cost * stands_for,
        alpha=rules.empc_alpha,
        beta=rules.empc_beta,
    )
    notice = notice_metrics(
        examples.has_churned,
        churn_probability,
        has_given_notice=examples.has_given_notice,
        weight=examples.example_weight,
    )
    return (
        score_metrics(
            examples.has_churned,
            churn_probability,
            weight=examples.example_weight,
            bins=rules.calibration_bins,
            lift_share=rules.lift_share,
        )
        | {"empc": empc}
        | notice
    )
