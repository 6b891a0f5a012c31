"""The training stage, start to end: judge the candidates, choose one, refit it a horizon later.

Reads through an `ExampleReader`, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.limits import month_limits
from models_ml.training.candidates import Hyperparameters
from models_ml.training.comparison import (
    Fitted,
    Notify,
    Round,
    collect_evidence,
    fit_candidates,
    judge_candidates,
    reason_for,
    recipes_of,
    round_of,
    score_all,
    search_all,
    simplest_first,
)
from models_ml.training.diagnostics import Evidence
from models_ml.training.examples import (
    DateCount,
    ExampleReader,
    Examples,
    TimeSplit,
    check_classes,
    judged_split,
    refit_split,
)
from models_ml.training.judging import Economics, JudgedDate, Verdict, metrics_of
from models_ml.training.pipeline import ChurnPipeline
from models_ml.training.search import SearchRows, search_dates
from models_ml.training.settings import TrainingSettings

__all__ = ["Notify", "Round", "TrainingResult", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """What the stage found: verdicts, the chosen candidate and the refitted pipeline.

    ``recipes`` holds the hyper-parameters of every candidate, the refit's included. ``judged_date`` judges any
    further pipeline (the deployed one, say) on the same customers and terms. ``evidence`` is for reports.
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
    evidence: Evidence
    refitted: Round
    refit_metrics: Mapping[str, float]
    score_edges: tuple[float, ...]

    @property
    def pipeline(self) -> ChurnPipeline:
        """The pipeline to deploy."""
        return self.refitted.pipelines[self.chosen]


def train(
    reader: ExampleReader,
    economics: Economics,
    settings: TrainingSettings,
    *,
    candidates: Sequence[str],
    notify: Notify,
) -> TrainingResult:
    """Run the stage.

    Raises
    ------
    BayesPilotError
        If a candidate is unknown, or the matured dates cannot fit, calibrate and judge.
    """
    ordered = simplest_first(candidates, settings)
    horizon = economics.policy.horizon_days
    counts = reader.date_counts()
    split, later = _splits(counts, horizon)
    rows = search_rows(reader, split, horizon, settings)
    found = search_all(ordered, rows, reader.schema, settings, notify)
    recipes = recipes_of(found)
    fitted_round = _fit_round(reader, split, recipes, settings, notify)
    examples, share = _read_judged(reader, counts, split, settings)
    notify(f"judging on {split.judged_on}: {examples.table.num_rows:,} customers")
    fitted = Fitted(fitted_round.pipelines, fitted_round.calibration_trials)
    scored = score_all(fitted, examples)
    limits = month_limits(economics.policy, economics.offers).scaled(share)
    judged = judge_candidates(scored, examples, economics, limits, ordered, settings)
    chosen, terms = judged.chosen, judged.judged_date

    refitted = _fit_round(reader, later, {chosen: recipes[chosen]}, settings, notify)
    probability = refitted.pipelines[chosen].score(refitted.calibration.features)[0]
    return TrainingResult(
        judged=fitted_round,
        verdicts=judged.verdicts,
        judged_rows=examples.table.num_rows,
        judged_churners=int(examples.has_churned.sum()),
        judged_share=share,
        chosen=chosen,
        reason=reason_for(chosen, judged.verdicts),
        recipes=recipes,
        judged_date=terms,
        evidence=collect_evidence(chosen, fitted, found, scored, examples, terms, settings),
        refitted=refitted,
        refit_metrics=metrics_of(probability, refitted.calibration, settings),
        score_edges=_edges(probability, settings.judging.score_bins),
    )


def _splits(counts: Sequence[DateCount], horizon_days: int) -> tuple[TimeSplit, TimeSplit]:
    """Return the dates of the judged round and of the refit; every role has churners and stayers."""
    dates = [count.as_of_date for count in counts]
    splits = judged_split(dates, horizon_days), refit_split(dates, horizon_days)
    for split in splits:
        check_classes(counts, split)
    return splits


def search_rows(
    reader: ExampleReader, split: TimeSplit, horizon_days: int, settings: TrainingSettings
) -> SearchRows | None:
    """Return the rows of a search, all from the fit dates; None where these are too few."""
    dates = search_dates(split.fit_on, horizon_days)
    if dates is None:
        return None
    rules = settings.search
    return SearchRows(
        reader.read(dates[0], rules.fit_rows_at_most),
        reader.read([dates[1]], rules.validation_rows_at_most),
    )


def _fit_round(
    reader: ExampleReader,
    split: TimeSplit,
    recipes: Mapping[str, Hyperparameters],
    settings: TrainingSettings,
    notify: Notify,
) -> Round:
    fit = reader.read(split.fit_on, settings.rows.fit_at_most)
    calibrate = reader.read([split.calibrated_on], settings.rows.calibration_at_most)
    notify(f"fitting up to {max(split.fit_on)}, calibrating on {split.calibrated_on}")
    fitted = fit_candidates(recipes, fit, calibrate, reader.schema, settings, notify)
    return round_of(split, fitted, fit, calibrate)


def _read_judged(
    reader: ExampleReader, counts: Sequence[DateCount], split: TimeSplit, settings: TrainingSettings
) -> tuple[Examples, float]:
    """Return the judged rows and for which share they stand, by weight, of everybody at risk on that date."""
    count = next(count for count in counts if count.as_of_date == split.judged_on)
    examples = reader.read([count.as_of_date], settings.rows.judged_at_most)
    return examples, float(examples.example_weight.sum()) / count.all_rows


def _edges(churn_probability: np.ndarray, bins: int) -> tuple[float, ...]:
    inner = np.quantile(churn_probability, np.linspace(0, 1, bins + 1)[1:-1])
    return tuple(float(edge) for edge in np.round(inner, 9))
