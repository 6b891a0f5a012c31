"""The figures of a judged date: how candidates rank, and what their plans earn; with the looks they share.

Every function takes the result of a training and returns an inline SVG.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from models_ml.reports.figures import PALETTE, QUIET, axes, svg
from models_ml.reports.training_curves import Curve, precision_recall_points, profit_points, roc_points
from models_ml.training.stage import TrainingResult

# Two stand side by side on a wide screen and below each other on a narrow one, legible on both.
WIDTH, HEIGHT = 5.0, 3.9
SMALL = 10
BLUE, VERMILION = PALETTE[:2]
DIAGONAL: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "linestyle": "--"}
_DASHES = ("--", ":", "-.")
_APART = 0.014  # between the points of plans that contact equally many, share of the axis


class Look(NamedTuple):
    """How a candidate is drawn: never by colour alone."""

    color: str
    linestyle: str
    linewidth: float


def looks(result: TrainingResult) -> dict[str, Look]:
    """Return one look per candidate; the chosen one is the thick, solid line."""
    others = [name for name in result.verdicts if name != result.chosen]
    return {
        name: Look(PALETTE[i % len(PALETTE)], "-", 2.8)
        if name == result.chosen
        else Look(PALETTE[i % len(PALETTE)], _DASHES[others.index(name) % len(_DASHES)], 1.7)
        for i, name in enumerate(result.verdicts)
    }


def plain(name: str) -> str:
    """Return a name as words.

    Examples
    --------
    >>> plain("random_forest")
    'random forest'
    """
    return name.replace("_", " ")


def roc(result: TrainingResult) -> str:
    """Draw the ROC curve of every candidate on the judged rows."""
    labels = ("stayers contacted by mistake", "churners found")
    return _curves(result, roc_points, labels, "auc", ([0, 1], [0, 1]))


def precision_recall(result: TrainingResult) -> str:
    """Draw precision against recall of every candidate on the judged rows."""
    base = float(np.average(result.evidence.has_churned, weights=result.evidence.weight))
    labels = ("churners found (recall)", "contacted who leave (precision)")
    return _curves(result, precision_recall_points, labels, "average_precision", ([0, 1], [base, base]))


def profit_curve(result: TrainingResult, currency: str) -> str:
    """Draw judged profit against the share contacted, the plan of each candidate as a point with its error."""
    worth, weight = result.judged_date.value_if_contacted(), result.evidence.weight
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.axhline(0, color=QUIET, linewidth=1)
        for i, (name, look) in enumerate(looks(result).items()):
            curve = profit_points(result.evidence.candidates[name].churn_probability, weight, worth)
            axis.plot(curve.x, curve.y, label=plain(name), **look._asdict())
            verdict = result.verdicts[name]
            axis.errorbar(
                verdict.planned_contacts / result.evidence.weight.sum()
                + _APART * (i - (len(result.verdicts) - 1) / 2),
                verdict.profit.profit,
                yerr=verdict.profit.standard_error,
                fmt="o",
                markersize=8 if name == result.chosen else 5,
                markeredgecolor="white",
                color=look.color,
                capsize=3,
                zorder=3,
            )
        percent(axis.xaxis)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda amount, _: f"{amount:,.0f}".replace("-", "−")))
        unit = f" ({currency})" if currency else ""
        axis.set(xlabel="share of customers contacted", ylabel=f"judged profit{unit}")
        legend_above(figure, axis)
        return svg(figure)


def _curves(
    result: TrainingResult,
    points: Callable[[np.ndarray, np.ndarray, np.ndarray], Curve],
    labels: tuple[str, str],
    metric: str,
    guess: tuple[list[float], list[float]],
) -> str:
    evidence = result.evidence
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.plot(*guess, label="chance", **DIAGONAL)
        for name, look in looks(result).items():
            probability = evidence.candidates[name].churn_probability
            curve = points(evidence.has_churned, probability, evidence.weight)
            value = result.verdicts[name].metrics[metric]
            axis.plot(curve.x, curve.y, label=f"{plain(name)} {value:.3f}", **look._asdict())
        axis.set(xlabel=labels[0], ylabel=labels[1], xlim=(0, 1), ylim=(0, 1.02))
        percent(axis.xaxis, axis.yaxis)
        legend_above(figure, axis)
        return svg(figure)


def percent(*sides: Axis) -> None:
    """Write the ticks of these axes in per cent."""
    for side in sides:
        side.set_major_formatter(FuncFormatter(lambda part, _: f"{100 * part:.3g} %"))


def legend_above(figure: Figure, axis: Axes, columns: int = 2) -> None:
    """Put the legend above the axes, where it hides nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=SMALL, columnspacing=1)
