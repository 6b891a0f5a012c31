"""The training stage, start to end: judge the candidates, choose one, refit it a horizon later.

Reads through an `ExampleReader`, writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_ml.decisions.limits import month_limits
from models_ml.errors import BayesPilotError
from models_ml.evaluation.judged_profit import simplest_within_one_error
from models_ml.training.candidates import CANDIDATES
from models_ml.training.encoding import FeatureEncoder
from models_ml.training.examples import ExampleReader, Examples
from models_ml.training.judging import Economics, Verdict, judge, metrics_of
from models_ml.training.pipeline import ChurnPipeline, fit_pipeline
from models_ml.training.settings import TrainingSettings
from models_ml.training.splits import DateCount, TimeSplit, check_classes, judged_split, refit_split

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """Fitted pipelines of one split, the rows that calibrated them and a hash of all their rows."""

    split: TimeSplit
    pipelines: Mapping[str, ChurnPipeline]
    fit_rows: int
    calibration: Examples
    data_fingerprint: str

    @property
    def calibration_rows(self) -> int:
        """Rows of the calibration date."""
        return int(self.calibration.table.num_rows)


@dataclass(frozen=True)
class TrainingResult:
    """What the stage found: verdicts, the chosen candidate and the refitted pipeline."""

    judged: Round
    verdicts: Mapping[str, Verdict]
    judged_rows: int
    judged_churners: int
    judged_share: float
    chosen: str
    reason: str
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
    simplest_first = _known(candidates, settings)
    horizon = economics.policy.horizon_days
    counts = reader.date_counts()
    dates = [count.as_of_date for count in counts]
    split = judged_split(dates, horizon)
    later = refit_split(dates, horizon)
    check_classes(counts, split)
    check_classes(counts, later)

    judged = _fit_round(reader, split, simplest_first, settings, notify)
    examples, share = _read_judged(reader, counts, split, settings)
    notify(f"judging on {split.judged_on}: {examples.table.num_rows:,} customers")
    verdicts = judge(
        {name: pipeline.score(examples.features)[0] for name, pipeline in judged.pipelines.items()},
        examples,
        economics,
        settings,
        limits=month_limits(economics.policy, economics.offers).scaled(share),
    )
    chosen = simplest_within_one_error({n: v.profit for n, v in verdicts.items()}, simplest_first)

    refitted = _fit_round(reader, later, [chosen], settings, notify)
    probability = refitted.pipelines[chosen].score(refitted.calibration.features)[0]
    return TrainingResult(
        judged=judged,
        verdicts=verdicts,
        judged_rows=examples.table.num_rows,
        judged_churners=int(examples.has_churned.sum()),
        judged_share=share,
        chosen=chosen,
        reason=_reason(chosen, verdicts),
        refitted=refitted,
        refit_metrics=metrics_of(probability, refitted.calibration, settings),
        score_edges=_edges(probability, settings.judging.score_bins),
    )


def _known(candidates: Sequence[str], settings: TrainingSettings) -> list[str]:
    unknown = [name for name in candidates if name not in CANDIDATES or name not in settings.candidates]
    if unknown or not candidates:
        raise BayesPilotError(
            "unknown candidate",
            where="models_ml/training/settings.toml",
            values=unknown,
            next_step=f"choose among {', '.join(CANDIDATES)}, each with its section in settings.toml",
        )
    return sorted(candidates, key=lambda name: CANDIDATES[name].complexity)


def _fit_round(
    reader: ExampleReader,
    split: TimeSplit,
    candidates: Sequence[str],
    settings: TrainingSettings,
    notify: Notify,
) -> Round:
    fit = reader.read(split.fit_on, settings.rows.fit_at_most)
    calibrate = reader.read([split.calibrated_on], settings.rows.calibration_at_most)
    pipelines = {}
    for name in candidates:
        notify(
            f"fitting {name} on {fit.table.num_rows:,} rows up to {max(split.fit_on)},"
            f" calibrating on {split.calibrated_on}"
        )
        pipelines[name] = fit_pipeline(name, fit, calibrate, reader.schema, settings)
    encoder = pipelines[candidates[0]].encoder
    digest = hashlib.sha256(_digest(fit, encoder) + _digest(calibrate, encoder)).hexdigest()
    return Round(split, pipelines, fit.table.num_rows, calibrate, digest)


def _read_judged(
    reader: ExampleReader, counts: Sequence[DateCount], split: TimeSplit, settings: TrainingSettings
) -> tuple[Examples, float]:
    """Return the judged rows and which share they are of everybody at risk on that date."""
    count = next(count for count in counts if count.as_of_date == split.judged_on)
    examples = reader.read([count.as_of_date], settings.rows.judged_at_most)
    return examples, examples.table.num_rows / count.all_rows


def _digest(examples: Examples, encoder: FeatureEncoder) -> bytes:
    parts = (encoder.encode(examples.features), examples.has_churned, examples.example_weight)
    digest = hashlib.sha256("\n".join(examples.table["customer_id"].to_pylist()).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _edges(churn_probability: np.ndarray, bins: int) -> tuple[float, ...]:
    inner = np.quantile(churn_probability, np.linspace(0, 1, bins + 1)[1:-1])
    return tuple(float(edge) for edge in np.round(inner, 9))


def _reason(chosen: str, verdicts: Mapping[str, Verdict]) -> str:
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
