"""The champion in the challenge: whether it can compete, and what it would have predicted on the judged date.

It is judged on data that it has not seen. Where every row that fitted or calibrated the deployed pipeline lies a
horizon or more before the judged date, its own scores count. Otherwise its recipe, fitted on the judged split like
every candidate, is judged in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from models_ml.deployment.challenge import (
    ContactValues,
    Contest,
    Guardrail,
    Judged,
    Selection,
    calibrated_outcomes,
    measure_guardrails,
    select_against,
    select_same,
    select_unopposed,
)
from models_ml.deployment.deployed import DEPLOYED, read_deployed, read_record, unpickle
from models_ml.deployment.record import DeploymentRecord, misfits
from models_ml.errors import BayesPilotError
from models_ml.evaluation.profit import probability_better
from models_ml.training.candidates import CANDIDATES
from models_ml.training.contact_weights import read_examples
from models_ml.training.context import Purpose
from models_ml.training.examples import ExampleReader
from models_ml.training.judging import open_judged_date
from models_ml.training.pipeline import ChurnPipeline, fit_pipeline
from models_ml.training.settings import TrainingSettings
from models_ml.training.stage import TrainingResult


@dataclass(frozen=True)
class Champion:
    """What is deployed, able to compete."""

    record: DeploymentRecord
    pipeline: ChurnPipeline


@dataclass(frozen=True)
class NoChampion:
    """Nothing competes: nothing is deployed (``because`` is empty), or the deployed pipeline cannot compete."""

    version: str | None
    because: str


@dataclass(frozen=True)
class Challenger:
    """A training's winner: its version and pickled bytes' hash, and what it was trained with."""

    version: str
    sha256: str
    result: TrainingResult
    reader: ExampleReader
    settings: TrainingSettings


def find_champion(folder: Path, purpose: Purpose) -> Champion | NoChampion:
    """Load what is deployed; a pipeline that cannot be read, is damaged or does not fit cannot compete."""
    version = None
    try:
        record = read_record(folder)
        version = record.pipeline_version if record else None
        deployed = read_deployed(folder, purpose.source)
        if deployed is None:
            return NoChampion(None, "")
        record, content = deployed
        found = misfits(record, purpose)
        if found:
            return NoChampion(version, f"the champion does not fit any more ({'; '.join(found)})")
        return Champion(record, unpickle(content, folder / f"{DEPLOYED}.pkl"))
    except BayesPilotError as error:
        return NoChampion(version, f"the champion cannot be loaded ({str(error).splitlines()[0]})")


def challenge(challenger: Challenger, champion: Champion | NoChampion) -> Selection:
    """Decide whether the winner of a training is deployed."""
    if isinstance(champion, NoChampion):
        return _unopposed(challenger, champion)
    record = champion.record
    if record.pipeline_version == challenger.version and record.sha256 == challenger.sha256:
        return select_same(challenger.version)
    judged_as = how_judged(champion.record, challenger.result)
    if judged_as == "deployed":
        examples = challenger.result.judged_date.examples
        return _opposed(challenger, record, champion.pipeline.score(examples.features)[0], "as deployed")
    stand_in = stand_in_for(record, challenger)
    if stand_in is None:
        because = "the champion has seen the judged date, and its recipe cannot be fitted any more"
        return _unopposed(challenger, NoChampion(record.pipeline_version, because))
    return _opposed(challenger, record, stand_in, "its recipe, fitted without the judged date")


def how_judged(record: DeploymentRecord, result: TrainingResult) -> str:
    """Return "deployed" where the deployed pipeline has not seen the judged date, else "recipe".

    A label of date d is known on d + horizon; the calibration date is the last that a pipeline has seen.
    """
    known_on = date.fromisoformat(record.refitted["calibrated_on"]) + timedelta(days=record.horizon_days)
    judged_on = result.judged.split.judged_on
    return "deployed" if judged_on is not None and known_on <= judged_on else "recipe"


def stand_in_for(record: DeploymentRecord, challenger: Challenger) -> np.ndarray | None:
    """Return the churn probability of the champion's recipe fitted on the judged split, shape (n,).

    None where the candidate, or one of its hyper-parameters, is no longer known.
    """
    result, settings = challenger.result, challenger.settings
    name, recipe = record.candidate, record.recipe
    if name in result.recipes and dict(result.recipes[name]) == recipe:
        return result.diagnostics.candidates[name].churn_probability
    declared = settings.candidates.get(name)
    if name not in CANDIDATES or declared is None or declared.keys() != recipe.keys():
        return None
    fit = read_examples(challenger.reader, result.judged.split.fit_on, settings.rows.fit_at_most, settings)
    pipeline = fit_pipeline(name, fit, result.judged.calibration, challenger.reader.schema, settings, recipe)
    return pipeline.score(result.judged_date.examples.features)[0]


def _unopposed(challenger: Challenger, champion: NoChampion) -> Selection:
    rails = measure_guardrails(
        _judged(challenger.result), None, challenger.settings.promotion, lambda *_: 0.0
    )
    return select_unopposed(challenger.version, champion.version, champion.because, rails)


def _opposed(
    challenger: Challenger, record: DeploymentRecord, probability: np.ndarray, judged_as: str
) -> Selection:
    bounds = challenger.settings.promotion
    contacts = contact_values_of(challenger.result, probability, challenger.settings)

    def better(one: np.ndarray, other: np.ndarray, outcome_variance: np.ndarray) -> float:
        settings = challenger.settings
        return probability_better(
            one,
            other,
            bootstraps=settings.judging.bootstraps,
            seed=settings.seed,
            outcome_variance=float(outcome_variance.sum()),
        )

    contest = Contest(
        champion_version=record.pipeline_version,
        gain=float(contacts.challenger.sum() - contacts.champion.sum()),
        probability_better=better(contacts.challenger, contacts.champion, contacts.outcome_variance),
        probability_worse=better(contacts.champion, contacts.challenger, contacts.outcome_variance),
        judged_as=judged_as,
        is_refresh=is_refresh(record, challenger.result),
        is_stale=days_newer(record, challenger.result) >= bounds.stale_after_days,
    )
    rails: tuple[Guardrail, ...] = measure_guardrails(_judged(challenger.result), contacts, bounds, better)
    return select_against(challenger.version, contest, rails, bounds)


def contact_values_of(
    result: TrainingResult, champion_probability: np.ndarray, settings: TrainingSettings
) -> ContactValues:
    """Return the value of the contacts of both plans, by terms to which both contribute.

    The reference churn probability is the mean of this training's candidates and the champion: with the candidates
    alone, a training of a single candidate would be judged by its own probabilities.
    """
    judged = result.judged_date
    probabilities = {name: of.churn_probability for name, of in result.diagnostics.candidates.items()}
    together = {**probabilities, "the champion": champion_probability}
    terms = open_judged_date(together, judged.examples, judged.inputs, judged.limits, settings)
    winner = result.verdicts[result.chosen]
    champion_choice = terms.plan(champion_probability)
    return ContactValues(
        terms.contact_value(winner.choice),
        terms.contact_value(champion_choice),
        terms.outcome_variance(winner.choice, champion_choice),
        winner.planned_contacts,
        int((champion_choice >= 0).sum()),
    )


def is_refresh(record: DeploymentRecord, result: TrainingResult) -> bool:
    """Say whether the winner is the champion's own recipe, on data at least as new."""
    same = record.candidate == result.chosen and record.recipe == dict(result.recipes[result.chosen])
    return same and days_newer(record, result) >= 0


def days_newer(record: DeploymentRecord, result: TrainingResult) -> int:
    """Return by how many days the winner was calibrated later than the champion."""
    return (result.refitted.split.calibrated_on - date.fromisoformat(record.refitted["calibrated_on"])).days


def _judged(result: TrainingResult) -> Judged:
    judged = result.diagnostics
    probability = judged.candidates[result.chosen].churn_probability
    return Judged(judged.has_churned, judged.weight, judged.segment, probability, calibrated_outcomes(result))
