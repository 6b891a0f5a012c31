"""Whether a trial was randomised with the stated probabilities: each test asks the data, none asks for trust.

Where arm a was drawn with probability e(a) whatever the features x, 1{arm = a} / e(a) has the mean 1, and so has
its product with any function of x made without the row, over the mean of that function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier

from models_ml.errors import BayesPilotError
from models_ml.training.candidates import one_thread
from models_ml.training.leakage import LeakageLimits, find_suspects
from models_ml.training.schema import FeatureEncoder, fit_encoder
from models_ml.uplift.settings import UpliftSettings
from models_ml.uplift.trial import CONTROL, WHERE, Floats, Trial, stratified_folds

_HALVES = 2
_LEAVES, _TREES = 7, 30  # enough to find any shape of dependence; a test, not an estimate
_MISSING = 0.5  # of a rank: in the middle


@dataclass(frozen=True)
class ArmBalance:
    """One arm: rows, its share, the share stated, the mean outcome, and how well features predict the arm.

    ``probability`` is that of features predicting the arm at least so well by chance, Bonferroni over the arms.
    """

    label: str
    rows: int
    share: float
    stated_share: float
    mean_outcome: float
    probability: float


def check_randomisation(trial: Trial, settings: UpliftSettings) -> list[ArmBalance]:
    """Return how balanced the arms are, the control first.

    Raises
    ------
    BayesPilotError
        If the propensities contradict the shares of the arms, features predict the arm, or a feature alone
        gives the outcome away.
    """
    _check_shares(trial, settings.trial.false_alarm)
    part = _sample(trial, settings)
    encoder = fit_encoder(part.features, part.schema, settings.columns.categories_at_most)
    matrix = encoder.encode(part.features)
    _check_leaks(part, settings.leakage)
    found = _dependence(part, matrix, settings)
    _check_dependence(part, found, matrix, encoder, settings.trial.false_alarm)
    counts = np.bincount(trial.arm)
    means = np.bincount(trial.arm, trial.outcome) / counts
    # The mean stated probability of an arm over all rows: Σ over its rows of e · 1/e, over Σ of 1/e.
    stated = counts / np.bincount(trial.arm, 1.0 / trial.propensity)
    return [
        ArmBalance(label, int(n), n / len(trial), float(e), float(mean), float(p))
        for label, n, e, mean, p in zip(trial.arms, counts, stated, means, found, strict=True)
    ]


def _sample(trial: Trial, settings: UpliftSettings) -> Trial:
    most = settings.trial.balance_rows_at_most
    if len(trial) <= most:
        return trial
    rows = np.random.default_rng(settings.seed).choice(len(trial), most, replace=False)
    return trial.part(np.sort(rows))


def _check_shares(trial: Trial, false_alarm: float) -> None:
    bound = -ndtri(false_alarm / 2 / len(trial.arms))
    wrong = []
    for position, label in enumerate(trial.arms):
        drawn = (trial.arm == position) / trial.propensity
        error = drawn.std() / np.sqrt(len(trial))
        if abs(drawn.mean() - 1.0) > bound * error:
            wrong.append(f"{label}: mean of 1/propensity {drawn.mean():.3f} instead of 1")
    if wrong:
        raise BayesPilotError(
            "the stated propensities contradict the shares of the arms",
            where="propensity",
            values=wrong,
            next_step="give the probability with which each arm was drawn; every row must have had a chance of each",
        )


def _check_leaks(trial: Trial, limits: LeakageLimits) -> None:
    """Refuse features that give the outcome away: they were recorded after it, or are the outcome."""
    happened = trial.outcome > 0
    suspects = find_suspects(trial.features, trial.schema, happened, limits=limits)
    if suspects:
        raise BayesPilotError(
            "a feature alone tells the outcome, or has another value in every row",
            where=WHERE,
            values=[suspect.feature for suspect in suspects],
            next_step="leave it out (--exclude on the command line); features must be known before the assignment",
        )


def _dependence(trial: Trial, matrix: Floats, settings: UpliftSettings) -> Floats:
    """Return per arm the probability that features predict it at least so well by chance, (k + 1,).

    Boosted trees are fitted on one half to tell the arm from the others, weighted by 1 / propensity, and scored on
    the other half.
    """
    # Trees read the codes of categories as numbers, which costs them a few more splits. One direction only: the
    # statistics of two halves that learn from each other agree by chance, which would double the variance.
    fit = stratified_folds([trial.arm], _HALVES, settings.seed) == 0
    other = trial.part(np.flatnonzero(~fit))
    found = np.ones(len(trial.arms))
    tested = range(len(trial.arms)) if len(trial.offers) > 1 else (CONTROL,)
    for position in tested:
        estimator = HistGradientBoostingClassifier(
            max_iter=_TREES, max_leaf_nodes=_LEAVES, early_stopping=False, random_state=settings.seed
        )
        with one_thread():
            estimator.fit(matrix[fit], trial.arm[fit] == position, 1.0 / trial.propensity[fit])
            score = estimator.decision_function(matrix[~fit])
        statistic = _statistic(other, position, score - score.mean())
        found[position] = min(1.0, len(tested) * float(ndtr(-statistic)))
    return np.full(len(trial.arms), found[CONTROL]) if len(trial.offers) == 1 else found


def _statistic(trial: Trial, position: int, score: Floats) -> float:
    """Return the t statistic of the mean of (1{arm} / propensity − 1) · score; 0 where scores are all alike."""
    moved = ((trial.arm == position) / trial.propensity - 1.0) * score
    error = moved.std() / np.sqrt(len(moved))
    return float(moved.mean() / error) if error > 0 else 0.0


def _check_dependence(
    trial: Trial, found: Floats, matrix: Floats, encoder: FeatureEncoder, false_alarm: float
) -> None:
    wrong = np.flatnonzero(found < false_alarm)
    if not len(wrong):
        return
    position = int(wrong[np.argmin(found[wrong])])
    strengths = {
        feature.feature: max(
            abs(_statistic(trial, position, score - score.mean())) for score in _single_scores(column)
        )
        for feature, column in zip(encoder.schema.features, matrix.T, strict=True)
    }
    strongest = sorted(strengths, key=lambda name: -strengths[name])[:5]
    raise BayesPilotError(
        f"the treatment is not randomised as stated: features predict arm {trial.arms[position]!r}",
        where=WHERE,
        values=strongest,
        next_step=(
            "leave out features that were recorded after the assignment; where the chance of an arm differed"
            " between rows, give it as a column (propensity)"
        ),
    )


def _single_scores(column: Floats) -> list[Floats]:
    """Return functions of one feature: its rank, how far from the middle, and whether it is missing."""
    missing = np.isnan(column)
    rank = np.full(len(column), _MISSING)
    if (~missing).any():
        rank[~missing] = rankdata(column[~missing]) / (~missing).sum()
    return [rank, np.abs(rank - 0.5), missing.astype(np.float64)]
