"""Judging fitted pipelines on a date that taught them nothing: money first, statistics beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.economics import Valuation, value_offers
from models_ml.decisions.limits import Limits
from models_ml.decisions.parameters import Offer, OfferEffects, Policy
from models_ml.decisions.policy import choose_actions
from models_ml.evaluation.judged_profit import JudgedProfit, compare_profits, contact_values
from models_ml.evaluation.maximum_profit import expected_maximum_profit
from models_ml.evaluation.metrics import score_metrics
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
    """How one candidate did on the judged date."""

    profit: JudgedProfit
    planned_contacts: int
    planned_cost: float
    metrics: Mapping[str, float]


def judge(
    probabilities: Mapping[str, np.ndarray],
    examples: Examples,
    economics: Economics,
    settings: TrainingSettings,
    *,
    limits: Limits,
) -> dict[str, Verdict]:
    """Judge every candidate's churn probabilities on the same untouched customers.

    Parameters
    ----------
    probabilities : mapping of candidate to ndarray of shape (n,), 0 to 1
    limits : Limits
        Already scaled to the rows judged.
    """
    mean_probability = np.mean(np.column_stack(list(probabilities.values())), axis=1)
    reference = economics.value(mean_probability, examples)
    choices = {
        name: _plan(economics.value(probability, examples), examples, economics, limits)
        for name, probability in probabilities.items()
    }
    profits = compare_profits(
        {
            name: contact_values(
                choice,
                examples.has_churned,
                examples.example_weight,
                relative_risk=reference.relative_risk,
                customer_value=reference.customer_value,
                expected_cost=reference.expected_cost,
            )
            for name, choice in choices.items()
        },
        bootstraps=settings.judging.bootstraps,
        seed=settings.seed,
    )
    return {
        name: Verdict(
            profits[name],
            int((choices[name] >= 0).sum()),
            _cost(choices[name], reference.expected_cost),
            metrics_of(probabilities[name], examples, settings)
            | {"empc": _empc(probabilities[name], examples, economics, reference, settings)},
        )
        for name in probabilities
    }


def metrics_of(
    churn_probability: np.ndarray, examples: Examples, settings: TrainingSettings
) -> dict[str, float]:
    """Return ranking and calibration metrics of one pipeline."""
    return score_metrics(
        examples.has_churned,
        churn_probability,
        weight=examples.example_weight,
        bins=settings.judging.calibration_bins,
        lift_share=settings.judging.lift_share,
    )


def _plan(valuation: Valuation, examples: Examples, economics: Economics, limits: Limits) -> np.ndarray:
    plan = choose_actions(
        valuation.expected_value,
        valuation.expected_cost,
        examples.offers_allowed(len(economics.offers)),
        limits=limits,
        touch_price=economics.policy.touch_price,
        tie_order=np.arange(len(valuation.customer_value)),  # rows of one date stand in order of customer_id
    )
    return np.asarray(plan.choice)


def _cost(choice: np.ndarray, expected_cost: np.ndarray) -> float:
    rows = np.flatnonzero(choice >= 0)
    return float(expected_cost[rows, choice[rows]].sum())


def _empc(
    churn_probability: np.ndarray,
    examples: Examples,
    economics: Economics,
    reference: Valuation,
    settings: TrainingSettings,
) -> float:
    """EMPC at the source's mean customer value and mean offer costs; NaN where an incentive costs more."""
    clv = float(np.mean(reference.customer_value))
    incentive = float(np.mean([offer.incentive_cost for offer in economics.offers]))
    if clv <= incentive:
        return float("nan")
    return expected_maximum_profit(
        examples.has_churned,
        churn_probability,
        clv=clv,
        incentive_cost=incentive,
        contact_cost=float(np.mean([offer.contact_cost for offer in economics.offers])),
        alpha=settings.judging.empc_alpha,
        beta=settings.judging.empc_beta,
    )
