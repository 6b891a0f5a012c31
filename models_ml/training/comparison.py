"""Comparing candidates on rows already at hand: search, fit, calibrate, judge, choose, keep the evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from models_ml.decisions.limits import Limits
from models_ml.errors import BayesPilotError
from models_ml.evaluation.judged_profit import simplest_within_one_error
from models_ml.evaluation.metrics import threshold_evaluation
from models_ml.training.candidates import CANDIDATES, Hyperparameters
from models_ml.training.diagnostics import CandidateEvidence, Evidence, coefficients, feature_importance
from models_ml.training.examples import Examples, TimeSplit
from models_ml.training.judging import Economics, JudgedDate, Verdict, judge, open_judged_date
from models_ml.training.pipeline import ChurnPipeline, fit_and_calibrate, to_log_odds
from models_ml.training.schema import FeatureEncoder, FeatureSchema
from models_ml.training.search import Found, SearchRows, search
from models_ml.training.settings import TrainingSettings

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Fitted:
    """Fitted pipelines, and per candidate what each calibration method tried did."""

    pipelines: Mapping[str, ChurnPipeline]
    calibration_trials: Mapping[str, tuple[dict[str, Any], ...]]


@dataclass(frozen=True)
class Round:
    """Fitted pipelines of one split, the rows that calibrated them and a hash of all their rows."""

    split: TimeSplit
    pipelines: Mapping[str, ChurnPipeline]
    calibration_trials: Mapping[str, tuple[dict[str, Any], ...]]
    fit_rows: int
    calibration: Examples
    data_fingerprint: str

    @property
    def calibration_rows(self) -> int:
        """Rows of the calibration date."""
        return int(self.calibration.table.num_rows)


def fit_candidates(
    recipes: Mapping[str, Hyperparameters],
    fit: Examples,
    calibrate: Examples,
    schema: FeatureSchema,
    settings: TrainingSettings,
    notify: Notify,
) -> Fitted:
    """Fit and calibrate every candidate with its recipe, on the same rows."""
    fitted = {}
    for name, recipe in recipes.items():
        notify(f"fitting {name} on {fit.table.num_rows:,} rows, calibrating on {calibrate.table.num_rows:,}")
        fitted[name] = fit_and_calibrate(name, fit, calibrate, schema, settings, recipe)
    return Fitted(
        {name: of.pipeline for name, of in fitted.items()},
        {name: of.calibration for name, of in fitted.items()},
    )


def round_of(split: TimeSplit, fitted: Fitted, fit: Examples, calibrate: Examples) -> Round:
    """Keep what was fitted together with where it came from."""
    encoder = next(iter(fitted.pipelines.values())).encoder
    return Round(
        split,
        fitted.pipelines,
        fitted.calibration_trials,
        fit.table.num_rows,
        calibrate,
        fingerprint([fit, calibrate], encoder),
    )


def fingerprint(parts: Sequence[Examples], encoder: FeatureEncoder) -> str:
    """Return a hash of customers, features, labels and weights, in order."""
    return hashlib.sha256(b"".join(_digest(part, encoder) for part in parts)).hexdigest()


def _digest(examples: Examples, encoder: FeatureEncoder) -> bytes:
    parts = (encoder.encode(examples.features), examples.has_churned, examples.example_weight)
    digest = hashlib.sha256("\n".join(examples.table["customer_id"].to_pylist()).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


@dataclass(frozen=True)
class Scored:
    """One pipeline's churn probabilities on the judged rows, before and after calibration, each (n,)."""

    churn_probability: np.ndarray
    uncalibrated_probability: np.ndarray


@dataclass(frozen=True)
class JudgedCandidates:
    """The terms, every candidate's verdict on them, and who was chosen."""

    judged_date: JudgedDate
    verdicts: Mapping[str, Verdict]
    chosen: str


def simplest_first(candidates: Sequence[str], settings: TrainingSettings) -> list[str]:
    """Return the candidates in order of complexity.

    Raises
    ------
    BayesPilotError
        If one is not in the registry or has no section in the settings.
    """
    unknown = [name for name in candidates if name not in CANDIDATES or name not in settings.candidates]
    if unknown or not candidates:
        raise BayesPilotError(
            "unknown candidate",
            where="models_ml/training/settings.toml",
            values=unknown,
            next_step=f"choose among {', '.join(CANDIDATES)}, each with its section in settings.toml",
        )
    return sorted(candidates, key=lambda name: CANDIDATES[name].complexity)


def search_all(
    candidates: Sequence[str],
    rows: SearchRows | None,
    schema: FeatureSchema,
    settings: TrainingSettings,
    notify: Notify,
) -> dict[str, Found]:
    """Search every candidate's hyper-parameters on the same rows."""
    if rows is None:
        notify("keeping the declared hyper-parameters: too few fit dates to search")
    else:
        notify(f"searching hyper-parameters on {rows.fit.table.num_rows:,} rows of the fit dates")
    return {name: search(name, rows, schema, settings) for name in candidates}


def recipes_of(found: Mapping[str, Found]) -> dict[str, Hyperparameters]:
    """Return the chosen hyper-parameters of each candidate."""
    return {name: of.recipe for name, of in found.items()}


def score_all(fitted: Fitted, examples: Examples) -> dict[str, Scored]:
    """Score the judged rows with every pipeline."""
    scored = {}
    for name, pipeline in fitted.pipelines.items():
        probability, raw = pipeline.score(examples.features)
        scored[name] = Scored(probability, expit(to_log_odds(pipeline.estimator, raw)))
    return scored


def judge_candidates(
    scored: Mapping[str, Scored],
    examples: Examples,
    economics: Economics,
    limits: Limits,
    ordered: Sequence[str],
    settings: TrainingSettings,
) -> JudgedCandidates:
    """Judge all candidates in money and choose the simplest within one standard error of the best."""
    probabilities = {name: of.churn_probability for name, of in scored.items()}
    judged_date = open_judged_date(probabilities, examples, economics, limits, settings)
    verdicts = judge(probabilities, judged_date, settings)
    chosen = simplest_within_one_error({name: of.profit for name, of in verdicts.items()}, ordered)
    return JudgedCandidates(judged_date, verdicts, chosen)


def reason_for(chosen: str, verdicts: Mapping[str, Verdict]) -> str:
    """Say in words why a candidate was chosen by judged profit."""
    if len(verdicts) == 1:
        return "the only candidate"
    if not any(verdict.planned_contacts for verdict in verdicts.values()):
        return "no candidate's plan contacts anyone: the simplest"
    profit = verdicts[chosen].profit
    if profit.shortfall == 0:
        return "highest judged profit"
    return (
        f"simplest within one standard error of the best: {profit.shortfall:.2f} below,"
        f" standard error {profit.shortfall_standard_error:.2f}"
    )


def collect_evidence(
    chosen: str,
    fitted: Fitted,
    found: Mapping[str, Found],
    scored: Mapping[str, Scored],
    examples: Examples,
    judged_date: JudgedDate | None,
    settings: TrainingSettings,
) -> Evidence:
    """Keep what reports and challenges need; importance only for the chosen candidate."""
    worth = judged_date.value_if_contacted() if judged_date else None
    nothing = np.zeros(len(examples.has_churned))
    return Evidence(
        has_churned=examples.has_churned,
        weight=examples.example_weight,
        segment=_segment(examples),
        candidates={
            name: CandidateEvidence(
                churn_probability=of.churn_probability,
                uncalibrated_probability=of.uncalibrated_probability,
                contact_value=judged_date.contact_value(judged_date.plan(of.churn_probability))
                if judged_date
                else nothing,
                thresholds=tuple(
                    threshold_evaluation(
                        examples.has_churned,
                        of.churn_probability,
                        settings.judging.thresholds,
                        weight=examples.example_weight,
                        value_if_contacted=worth,
                    )
                ),
                calibration=fitted.calibration_trials[name],
                search=found[name].trials,
            )
            for name, of in scored.items()
        },
        importance={chosen: feature_importance(fitted.pipelines[chosen], examples, settings)},
        coefficients=coefficients(fitted.pipelines),
    )


def _segment(examples: Examples) -> np.ndarray | None:
    if "segment" not in [examples.schema.names[i] for i in examples.schema.categorical]:
        return None
    return np.array(examples.table["segment"].fill_null("").to_pylist(), dtype=object)
