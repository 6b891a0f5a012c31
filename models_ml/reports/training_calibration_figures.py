"""The figures of calibration: whether churn probabilities come true on the judged date.

Axes are square roots: churn is rare, so most customers are near zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from models_ml.reports.figures import axes, svg
from models_ml.reports.training_curves import Reliability, readable_bins, reliability
from models_ml.reports.training_figures import (
    BLUE,
    DIAGONAL,
    HEIGHT,
    VERMILION,
    WIDTH,
    legend_above,
    looks,
    percent,
    plain,
)
from models_ml.training.stage import TrainingResult

_TICKS = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


def reliability_bins(
    result: TrainingResult, name: str, *, before: bool = False, coarse: int = 1
) -> Reliability:
    """Return the bins of a candidate on the judged rows, after or before calibration.

    Parameters
    ----------
    coarse : int
        By how much fewer bins than a single curve has, for several curves in one drawing.
    """
    evidence = result.evidence
    candidate = evidence.candidates[name]
    probability = candidate.uncalibrated_probability if before else candidate.churn_probability
    bins = max(5, readable_bins(int(evidence.has_churned.sum())) // coarse)
    return reliability(evidence.has_churned, probability, evidence.weight, bins)


def is_recalibrated(result: TrainingResult) -> bool:
    """Say whether a curve stands between the chosen candidate's estimator and its probabilities."""
    return bool(result.judged.pipelines[result.chosen].calibrator.method != "none")


def reliability_diagram(result: TrainingResult) -> str:
    """Draw forecast against observed churn of the chosen candidate, the range of chance, and customers."""
    found = reliability_bins(result, result.chosen)
    top = 1.06 * max(float(part.max()) for part in (found.mean_probability, found.churn_rate, found.high))
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.remove()
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        upper.plot([0, top], [0, top], **DIAGONAL)
        band: dict[str, Any] = {"color": BLUE, "alpha": 0.18, "linewidth": 0}
        upper.fill_between(
            found.mean_probability, found.low, found.high, label="95 % of a perfect forecast", **band
        )
        for mark, color, rows, label in (
            ("o", BLUE, ~found.outside, "within"),
            ("D", VERMILION, found.outside, "outside"),
        ):
            if rows.any():
                points = found.mean_probability[rows], found.churn_rate[rows]
                upper.plot(*points, mark, color=color, label=label, clip_on=False, zorder=3)
        upper.set(ylabel="observed churn")
        lower.vlines(found.mean_probability, 0, found.customers, color=BLUE, linewidth=3)
        lower.set(xlabel="forecast churn probability", ylabel="customers", ylim=(0, None))
        lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        _stretch(upper, lower, top=top)
        legend_above(figure, upper, columns=3)
        return svg(figure)


def before_and_after(result: TrainingResult) -> str:
    """Draw the reliability of every candidate, and of the chosen one before calibration, in fewer bins."""
    found = {name: reliability_bins(result, name, coarse=2) for name in result.verdicts}
    raw = reliability_bins(result, result.chosen, before=True, coarse=2)
    ends = [*found.values(), raw] if is_recalibrated(result) else list(found.values())
    top = 1.06 * max(float(max(bins.mean_probability.max(), bins.churn_rate.max())) for bins in ends)
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.plot([0, top], [0, top], **DIAGONAL)
        for name, look in looks(result).items():
            bins = found[name]
            axis.plot(
                bins.mean_probability, bins.churn_rate, marker="o", markersize=4, label=plain(name),
                clip_on=False, **look._asdict(),
            )  # fmt: skip
        if is_recalibrated(result):
            axis.plot(
                raw.mean_probability, raw.churn_rate, "s-", color="black", linewidth=1, markersize=4,
                label="chosen, before", clip_on=False,
            )  # fmt: skip
        axis.set(xlabel="forecast churn probability", ylabel="observed churn")
        _stretch(axis, top=top)
        legend_above(figure, axis)
        return svg(figure)


def _stretch(main: Axes, *below: Axes, top: float) -> None:
    """Scale both sides of the main axes, and the horizontal one of those below, from 0 to ``top``."""
    ticks = [0.0]
    for tick in _TICKS:
        if tick <= top and np.sqrt(tick) - np.sqrt(ticks[-1]) > 0.13 * np.sqrt(top):
            ticks.append(tick)
    for axis in (main, *below):
        axis.set_xscale("function", functions=(_root, np.square))
        axis.set(xlim=(0, top), xticks=ticks)
        percent(axis.xaxis)
    main.set_yscale("function", functions=(_root, np.square))
    main.set(ylim=(0, top), yticks=ticks)
    percent(main.yaxis)


def _root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(values, 0))
