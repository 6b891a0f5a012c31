"""Train and compare churn pipelines on any frame: no warehouse, no files, nothing deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.limits import month_limits
from models_ml.evaluation.judged_profit import JudgedProfit, compare_profits, simplest_within_one_error
from models_ml.evaluation.metrics import row_log_loss
from models_ml.training.candidates import CANDIDATES, Hyperparameters
from models_ml.training.comparison import (
    Notify,
    Scored,
    collect_evidence,
    fit_candidates,
    judge_candidates,
    reason_for,
    recipes_of,
    score_all,
    search_all,
    simplest_first,
)
from models_ml.training.diagnostics import Evidence
from models_ml.training.examples import Examples
from models_ml.training.frames import Columns, Frame, RowsOrDates, feature_columns, read_roles
from models_ml.training.judging import Economics, JudgedDate, metrics_of
from models_ml.training.pipeline import ChurnPipeline
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import TrainingSettings, load_settings


@dataclass(frozen=True)
class ComparedCandidates:
    """Fitted, calibrated pipelines and how they compare on the judged rows.

    ``profits`` and ``judged_date`` are None without economics. ``metrics`` are those of
    `models_ml.evaluation.metrics.score_metrics`, and ``empc``.
    """

    chosen: str
    reason: str
    pipelines: Mapping[str, ChurnPipeline]
    recipes: Mapping[str, Hyperparameters]
    metrics: Mapping[str, Mapping[str, float]]
    profits: Mapping[str, JudgedProfit] | None
    evidence: Evidence
    judged_date: JudgedDate | None

    def churn_probability(self, frame: Frame, candidate: str | None = None) -> np.ndarray:
        """Return churn probabilities of a frame with the schema's columns, by the chosen candidate or another.

        Returns
        -------
        ndarray of shape (rows,), 0 to 1
        """
        pipeline = self.pipelines[candidate or self.chosen]
        return pipeline.score(feature_columns(frame, pipeline.encoder.schema))[0]


def train_candidates(
    frame: Frame,
    schema: FeatureSchema,
    *,
    label: str,
    fit: RowsOrDates,
    calibrate: RowsOrDates,
    judge: RowsOrDates,
    date: str | None = None,
    horizon_days: int | None = None,
    weight: str | None = None,
    economics: Economics | None = None,
    candidates: Sequence[str] = tuple(CANDIDATES),
    settings: TrainingSettings | None = None,
    notify: Notify = lambda message: None,
) -> ComparedCandidates:
    """Fit candidates on one part of a frame, calibrate them on a later one, compare them on the latest.

    With ``economics`` the candidate with the highest judged profit is chosen, else the one with the lowest
    log-loss; either way the simplest within one standard error of the best. Hyper-parameters are searched
    where ``date`` is given and the fit dates span a horizon; else the declared ones hold.

    Parameters
    ----------
    frame : pandas, polars or pyarrow frame
        One row per customer, or per customer and date; rows keep their order.
    schema : FeatureSchema
        Which columns teach, in which role; see `feature_schema`. Missing values are allowed in features.
    label : str
        Column of 0 and 1 (or bool), 1 = churned within the horizon; never missing.
    fit, calibrate, judge : mask, date or dates
        Rows of each role: booleans of shape (rows,), or values of the column ``date``. No row in two roles.
    date : str, optional
        Column of as-of dates.
    horizon_days : int, optional
        Days in which churn is judged; needed with ``date``. Roles must lie at least this far apart.
    weight : str, optional
        Column of weights > 0 (1 / propensity of having been left alone); 1 without.
    economics : Economics, optional
        Policy, offers and effects. The frame then also needs ``monthly_revenue`` (money per 30 days),
        ``offers_allowed`` (bit k set where offer k is allowed) and ``signal_<name>`` per signal of the effects.
        Limits of a month are those of the judged rows.
    candidates : names in the registry `models_ml.training.candidates.CANDIDATES`
    settings : TrainingSettings, ``settings.toml`` without
    notify : callable, told in words what is done

    Raises
    ------
    BayesPilotError
        If a column is missing or of another kind, a label is unknown, a role is empty or of one class, rows
        have two roles or lie too close in time, or a candidate is unknown.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from models_ml.training import feature_schema, train_candidates
    >>> random = np.random.default_rng(0)
    >>> days = pd.to_datetime(["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"]).date
    >>> frame = pd.DataFrame({"day": np.repeat(days, 300), "silent_days": random.integers(0, 90, 1200)})
    >>> frame["plan"] = random.choice(["basic", "pro"], 1200)
    >>> risk = 1 / (1 + np.exp(3 - 0.05 * frame["silent_days"] + 1.0 * (frame["plan"] == "pro")))
    >>> frame["left"] = random.random(1200) < risk
    >>> schema = feature_schema({"silent_days": "numeric", "plan": "categorical"}, {"silent_days": 1})
    >>> compared = train_candidates(
    ...     frame, schema, label="left", date="day", horizon_days=28,
    ...     fit=days[:2], calibrate=days[2], judge=days[3],
    ...     candidates=["logistic_regression", "gradient_boosting"],
    ... )
    >>> compared.chosen, compared.metrics["logistic_regression"]["auc"] > 0.7
    ('logistic_regression', True)
    >>> new = pd.DataFrame({"silent_days": [5, 80], "plan": ["pro", "basic"]})
    >>> low, high = compared.churn_probability(new)
    >>> bool(low < 0.1 < 0.5 < high)
    True
    """
    chosen_settings = load_settings() if settings is None else settings
    ordered = simplest_first(candidates, chosen_settings)
    columns = _columns(label, weight, economics)
    given = {"fit": fit, "calibrate": calibrate, "judge": judge}
    roles = read_roles(frame, schema, columns, given, date, horizon_days, chosen_settings)
    found = search_all(ordered, roles.search, schema, chosen_settings, notify)
    recipes = recipes_of(found)
    fitted = fit_candidates(recipes, roles.fit, roles.calibrate, schema, chosen_settings, notify)
    scored = score_all(fitted, roles.judge)
    chosen, reason, metrics, profits, judged_date = _compare(
        scored, roles.judge, economics, ordered, chosen_settings
    )
    evidence = collect_evidence(chosen, fitted, found, scored, roles.judge, judged_date, chosen_settings)
    return ComparedCandidates(
        chosen, reason, fitted.pipelines, recipes, metrics, profits, evidence, judged_date
    )


def _columns(label: str, weight: str | None, economics: Economics | None) -> Columns:
    if economics is None:
        return Columns(label, weight, (), ())
    signals = economics.effects.signals
    money = ("monthly_revenue", "offers_allowed", *(f"signal_{name}" for name in signals))
    return Columns(label, weight, money, tuple(signals))


def _compare(
    scored: Mapping[str, Scored],
    examples: Examples,
    economics: Economics | None,
    ordered: Sequence[str],
    settings: TrainingSettings,
) -> tuple[str, str, dict[str, Mapping[str, float]], dict[str, JudgedProfit] | None, JudgedDate | None]:
    if economics is None:
        probabilities = {name: of.churn_probability for name, of in scored.items()}
        chosen, reason = _by_log_loss(probabilities, examples, ordered, settings)
        metrics = {name: metrics_of(of, examples, settings) for name, of in probabilities.items()}
        return chosen, reason, dict(metrics), None, None
    limits = month_limits(economics.policy, economics.offers)
    judged = judge_candidates(scored, examples, economics, limits, ordered, settings)
    profits = {name: verdict.profit for name, verdict in judged.verdicts.items()}
    found = {name: verdict.metrics for name, verdict in judged.verdicts.items()}
    return judged.chosen, reason_for(judged.chosen, judged.verdicts), found, profits, judged.judged_date


def _by_log_loss(
    probabilities: Mapping[str, np.ndarray],
    examples: Examples,
    ordered: Sequence[str],
    settings: TrainingSettings,
) -> tuple[str, str]:
    """Choose the simplest within one standard error of the lowest log-loss; a loss is a negative worth."""
    worth = {
        name: -examples.example_weight * row_log_loss(examples.has_churned, probability)
        for name, probability in probabilities.items()
    }
    compared = compare_profits(worth, bootstraps=settings.judging.bootstraps, seed=settings.seed)
    chosen = simplest_within_one_error(compared, ordered)
    lowest = compared[chosen].shortfall == 0
    return (
        chosen,
        "lowest log-loss" if lowest else "simplest within one standard error of the lowest log-loss",
    )
