"""The training stage: search, fit, calibrate, judge, choose; then refit the chosen candidate a horizon later.

`compare_candidates` is the driver, on rows of any origin. `train` runs it on the warehouse, reading through an
`ExampleReader` and writing nothing; `models_ml.training.candidate_training` runs it on a frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from models_ml.decisions.limits import month_limits
from models_ml.decisions.policy import DecisionInputs, Policy
from models_ml.errors import BayesPilotError
from models_ml.evaluation.metrics import row_log_loss, threshold_evaluation
from models_ml.evaluation.profit import JudgedProfit, compare_profits, simplest_within_one_error
from models_ml.training.candidates import CANDIDATES, Hyperparameters
from models_ml.training.contact_weights import read_examples
from models_ml.training.diagnostics import (
    CandidateDiagnostics,
    TrainingDiagnostics,
    coefficients,
    feature_importance,
)
from models_ml.training.examples import (
    DateCount,
    DateRules,
    ExampleReader,
    Examples,
    TimeSplit,
    check_classes,
    check_date_count,
    judged_split,
    refit_split,
)
from models_ml.training.judging import JudgedDate, Verdict, judge, metrics_of, open_judged_date
from models_ml.training.leakage import check_names, screen
from models_ml.training.pipeline import ChurnPipeline, fit_and_calibrate, to_log_odds
from models_ml.training.schema import FeatureEncoder, FeatureSchema
from models_ml.training.search import SearchResult, SearchRows, search, search_dates
from models_ml.training.settings import TrainingSettings

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Roles:
    """Reads the rows of each role when it is called, so that only rows in use take memory.

    ``search`` returns None where hyper-parameters cannot be searched. ``judge`` also returns the share, by weight,
    that its rows are of all customers at risk on their date.
    """

    search: Callable[[], SearchRows | None]
    fit: Callable[[], Examples]
    calibrate: Callable[[], Examples]
    judge: Callable[[], tuple[Examples, float]]


@dataclass(frozen=True)
class Fitted:
    """Pipelines fitted on the same rows, the rows that calibrated them and a hash of all their rows.

    ``calibration_trials`` holds one row per candidate and calibration method tried.
    """

    pipelines: Mapping[str, ChurnPipeline]
    calibration_trials: Mapping[str, tuple[dict[str, Any], ...]]
    fit_rows: int
    calibration: Examples
    data_fingerprint: str

    @property
    def calibration_rows(self) -> int:
        """Rows of the calibration date."""
        return int(self.calibration.table.num_rows)


@dataclass(frozen=True)
class Round(Fitted):
    """What was fitted, and the dates of its rows."""

    split: TimeSplit


@dataclass(frozen=True)
class Gain:
    """What candidates are chosen by without decision inputs: a number for each row, the more the better.

    ``of`` takes churn probabilities, shape (n,), and the examples of the same rows; ``best`` names the highest total.
    """

    best: str
    of: Callable[[np.ndarray, Examples], np.ndarray]


def _log_likelihood(churn_probability: np.ndarray, examples: Examples) -> np.ndarray:
    return -examples.example_weight * row_log_loss(examples.has_churned, churn_probability)


LOG_LOSS = Gain("lowest log-loss", _log_likelihood)


@dataclass(frozen=True)
class Comparison:
    """Every candidate on the judged rows, and the one chosen.

    ``totals`` are what they were compared by. Without decision inputs ``verdicts`` is empty and ``judged_date`` None.
    """

    chosen: str
    reason: str
    fitted: Fitted
    recipes: Mapping[str, Hyperparameters]
    metrics: Mapping[str, Mapping[str, float]]
    totals: Mapping[str, JudgedProfit]
    verdicts: Mapping[str, Verdict]
    judged_date: JudgedDate | None
    judged_share: float
    diagnostics: TrainingDiagnostics


@dataclass(frozen=True)
class TrainingResult:
    """What the stage found: verdicts, the chosen candidate and the refitted pipeline.

    ``recipes`` holds the hyper-parameters of every candidate, the refit's included. ``judged_date`` can judge
    another pipeline (the deployed one, for example) on the same customers and terms. ``diagnostics`` is for reports.
    """

    judged: Round
    verdicts: Mapping[str, Verdict]
    judged_rows: int
    judged_churners: int
    judged_share: float
    chosen: str
    reason: str
    recipes: Mapping[str, Hyperparameters]
    judged_date: JudgedDate
    diagnostics: TrainingDiagnostics
    refitted: Round
    refit_metrics: Mapping[str, float]
    score_edges: tuple[float, ...]

    @property
    def pipeline(self) -> ChurnPipeline:
        """The pipeline to deploy."""
        return self.refitted.pipelines[self.chosen]


def train(
    reader: ExampleReader,
    inputs: DecisionInputs,
    settings: TrainingSettings,
    *,
    candidates: Sequence[str],
    notify: Notify,
    run_categories: Mapping[str, Collection[str | None]] | None = None,
) -> TrainingResult:
    """Run the stage on the warehouse; ``run_categories`` are those of each categorical feature at the run's date.

    Raises
    ------
    BayesPilotError
        If a candidate is unknown, the matured dates cannot fit, calibrate and judge, or a feature is too good to be
        true.
    """
    counts, label_days = reader.date_counts(), inputs.policy.label_days
    dates = [count.as_of_date for count in counts]
    check_date_count(dates, date_rules(inputs.policy))
    split, later = judged_split(dates, label_days), refit_split(dates, label_days)
    check_classes(counts, split, inputs.policy.churn_definition)
    check_classes(counts, later, inputs.policy.churn_definition)
    notify(_dates_in_words(split))
    roles = _warehouse_roles(reader, counts, split, label_days, settings)
    check_names(reader.schema, "has_churned")
    trusted = [name.strip() for name in inputs.policy.trusted_features.split(",")]
    screen(roles.judge()[0], settings.leakage, trusted, run_categories)
    compared = compare_candidates(
        roles, reader.schema, settings, inputs=inputs, candidates=candidates, notify=notify
    )
    chosen, judged_date = compared.chosen, compared.judged_date
    assert judged_date is not None, "with decision inputs candidates are judged"

    notify(_dates_in_words(later))
    later_roles = _warehouse_roles(reader, counts, later, label_days, settings)
    recipe = {chosen: compared.recipes[chosen]}
    refitted = fit_candidates(
        recipe, later_roles.fit(), later_roles.calibrate(), reader.schema, settings, notify
    )
    probability = refitted.pipelines[chosen].score(refitted.calibration.features)[0]
    return TrainingResult(
        judged=Round(**vars(compared.fitted), split=split),
        verdicts=compared.verdicts,
        judged_rows=judged_date.examples.table.num_rows,
        judged_churners=int(judged_date.examples.has_churned.sum()),
        judged_share=compared.judged_share,
        chosen=chosen,
        reason=compared.reason,
        recipes=compared.recipes,
        judged_date=judged_date,
        diagnostics=compared.diagnostics,
        refitted=Round(**vars(refitted), split=later),
        refit_metrics=metrics_of(probability, refitted.calibration, settings),
        score_edges=_edges(probability, settings.judging.score_bins),
    )


def date_rules(policy: Policy) -> DateRules:
    """Return the parameters of the policy that say which days are training dates."""
    return DateRules(
        label_days=policy.label_days,
        grace_days=policy.resume_grace_days,
        step_days=policy.training_step_days,
        dates_at_most=policy.training_dates,
        minimum_history_days=policy.minimum_history_days,
    )


def compare_candidates(
    roles: Roles,
    schema: FeatureSchema,
    settings: TrainingSettings,
    *,
    inputs: DecisionInputs | None,
    candidates: Sequence[str],
    notify: Notify,
    gain: Gain = LOG_LOSS,
) -> Comparison:
    """Search, fit, calibrate and judge every candidate, and choose one.

    With ``inputs`` the candidate with the highest judged profit is chosen, else the one with the highest ``gain``;
    in both cases the simplest within one standard error of the best.

    Raises
    ------
    BayesPilotError
        If a candidate is unknown.
    """
    ordered = simplest_first(candidates, settings)
    searches = _search_all(ordered, roles.search(), schema, settings, notify)
    recipes = {name: of.recipe for name, of in searches.items()}
    fitted = fit_candidates(recipes, roles.fit(), roles.calibrate(), schema, settings, notify)
    examples, share = roles.judge()
    notify(f"judging on {examples.table.num_rows:,} customers")
    scored = {name: _score(pipeline, examples) for name, pipeline in fitted.pipelines.items()}
    probabilities = {name: of.churn_probability for name, of in scored.items()}
    verdicts: Mapping[str, Verdict] = {}
    judged_date = None
    if inputs is None:
        metrics = {name: metrics_of(of, examples, settings) for name, of in probabilities.items()}
        totals = compare_profits(
            {name: gain.of(probability, examples) for name, probability in probabilities.items()},
            bootstraps=settings.judging.bootstraps,
            seed=settings.seed,
        )
        chosen = simplest_within_one_error(totals, ordered)
        is_best = totals[chosen].shortfall == 0
        reason = gain.best if is_best else f"simplest within one standard error of the {gain.best}"
    else:
        limits = month_limits(inputs.policy, inputs.offers).scaled(share)
        judged_date = open_judged_date(probabilities, examples, inputs, limits, settings)
        verdicts = judge(probabilities, judged_date, settings)
        metrics = {name: dict(verdict.metrics) for name, verdict in verdicts.items()}
        totals = {name: verdict.profit for name, verdict in verdicts.items()}
        chosen = simplest_within_one_error(totals, ordered)
        reason = reason_for(chosen, verdicts)
    diagnostics = TrainingDiagnostics(
        has_churned=examples.has_churned,
        weight=examples.example_weight,
        segment=_segment(examples),
        candidates=_candidate_diagnostics(
            fitted, searches, scored, examples, judged_date, verdicts, settings
        ),
        importance={chosen: feature_importance(fitted.pipelines[chosen], examples, settings)},
        coefficients=coefficients(fitted.pipelines),
    )
    return Comparison(
        chosen, reason, fitted, recipes, metrics, totals, verdicts, judged_date, share, diagnostics
    )


def simplest_first(candidates: Sequence[str], settings: TrainingSettings) -> list[str]:
    """Return the candidates in order of complexity.

    Raises
    ------
    BayesPilotError
        If one is not in the registry or has no section in the settings.
    """
    if isinstance(candidates, str):
        candidates = [candidates]
    unknown = [name for name in candidates if name not in CANDIDATES or name not in settings.candidates]
    if unknown or not candidates:
        raise BayesPilotError(
            "unknown candidate" if unknown else "no candidate is named",
            where="models_ml/training/settings.toml",
            values=unknown,
            next_step=f"choose among {', '.join(CANDIDATES)}, each with its section in settings.toml",
        )
    return sorted(candidates, key=lambda name: CANDIDATES[name].complexity)


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
    encoder = next(iter(fitted.values())).pipeline.encoder
    return Fitted(
        {name: of.pipeline for name, of in fitted.items()},
        {name: of.calibration for name, of in fitted.items()},
        fit.table.num_rows,
        calibrate,
        fingerprint([fit, calibrate], encoder),
    )


def fingerprint(parts: Sequence[Examples], encoder: FeatureEncoder) -> str:
    """Return a hash of customers (where rows name them), features, labels and weights, in order."""
    return hashlib.sha256(b"".join(_digest(part, encoder) for part in parts)).hexdigest()


def reason_for(chosen: str, verdicts: Mapping[str, Verdict]) -> str:
    """Return why a candidate was chosen by judged profit, in words."""
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


def search_rows(
    reader: ExampleReader, split: TimeSplit, horizon_days: int, settings: TrainingSettings
) -> SearchRows | None:
    """Return the rows of a search, all from the fit dates; None where these are too few."""
    dates = search_dates(split.fit_on, horizon_days)
    if dates is None:
        return None
    rules = settings.search
    return SearchRows(
        read_examples(reader, dates[0], rules.fit_rows_at_most, settings),
        read_examples(reader, [dates[1]], rules.validation_rows_at_most, settings),
    )


@dataclass(frozen=True)
class _Scored:
    """Churn probabilities of one pipeline on the judged rows, before and after calibration, each (n,)."""

    churn_probability: np.ndarray
    uncalibrated_probability: np.ndarray


def _warehouse_roles(
    reader: ExampleReader,
    counts: Sequence[DateCount],
    split: TimeSplit,
    horizon_days: int,
    settings: TrainingSettings,
) -> Roles:
    """Return how the rows of each role are read."""

    def judge() -> tuple[Examples, float]:
        count = next(count for count in counts if count.as_of_date == split.judged_on)
        examples = read_examples(reader, [count.as_of_date], settings.rows.judged_at_most, settings)
        return examples, float(examples.example_weight.sum()) / count.all_rows

    return Roles(
        search=lambda: search_rows(reader, split, horizon_days, settings),
        fit=lambda: read_examples(reader, split.fit_on, settings.rows.fit_at_most, settings),
        calibrate=lambda: read_examples(
            reader, [split.calibrated_on], settings.rows.calibration_at_most, settings
        ),
        judge=judge,
    )


def _dates_in_words(split: TimeSplit) -> str:
    dates = f"fitting up to {max(split.fit_on)}, calibrating on {split.calibrated_on}"
    return f"{dates}, judging on {split.judged_on}" if split.judged_on else dates


def _search_all(
    candidates: Sequence[str],
    rows: SearchRows | None,
    schema: FeatureSchema,
    settings: TrainingSettings,
    notify: Notify,
) -> dict[str, SearchResult]:
    """Search every candidate's hyper-parameters on the same rows."""
    if rows is None:
        notify("keeping the declared hyper-parameters: too few fit dates to search")
    else:
        notify(f"searching hyper-parameters on {rows.fit.table.num_rows:,} rows of the fit dates")
    return {name: search(name, rows, schema, settings) for name in candidates}


def _score(pipeline: ChurnPipeline, examples: Examples) -> _Scored:
    probability, raw = pipeline.score(examples.features)
    return _Scored(probability, expit(to_log_odds(pipeline.estimator, raw)))


def _candidate_diagnostics(
    fitted: Fitted,
    searches: Mapping[str, SearchResult],
    scored: Mapping[str, _Scored],
    examples: Examples,
    judged_date: JudgedDate | None,
    verdicts: Mapping[str, Verdict],
    settings: TrainingSettings,
) -> dict[str, CandidateDiagnostics]:
    value_if_contacted = judged_date.value_if_contacted() if judged_date else None
    return {
        name: CandidateDiagnostics(
            churn_probability=of.churn_probability,
            uncalibrated_probability=of.uncalibrated_probability,
            contact_value=verdicts[name].contact_value if verdicts else np.zeros(len(of.churn_probability)),
            thresholds=tuple(
                threshold_evaluation(
                    examples.has_churned,
                    of.churn_probability,
                    settings.judging.thresholds,
                    weight=examples.example_weight,
                    value_if_contacted=value_if_contacted,
                )
            ),
            calibration=fitted.calibration_trials[name],
            search=searches[name].trials,
        )
        for name, of in scored.items()
    }


def _segment(examples: Examples) -> np.ndarray | None:
    if "segment" not in [examples.schema.names[i] for i in examples.schema.categorical]:
        return None
    return np.array(examples.table["segment"].fill_null("").to_pylist(), dtype=object)


def _digest(examples: Examples, encoder: FeatureEncoder) -> bytes:
    digest = hashlib.sha256()
    if "customer_id" in examples.table.column_names:
        digest.update("\n".join(map(str, examples.table["customer_id"].to_pylist())).encode())
    for part in (encoder.encode(examples.features), examples.has_churned, examples.example_weight):
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _edges(churn_probability: np.ndarray, bins: int) -> tuple[float, ...]:
    inner = np.quantile(churn_probability, np.linspace(0, 1, bins + 1)[1:-1])
    return tuple(float(edge) for edge in np.round(inner, 9))
