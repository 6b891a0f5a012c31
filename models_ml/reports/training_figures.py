"""The figures of a training: how candidates rank, how well probabilities count, what money and features say.

Every function takes the result of a training and returns an inline SVG.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from models_ml.reports.figures import PALETTE, QUIET, axes, svg
from models_ml.reports.training_curves import (
    Curve,
    Reliability,
    precision_recall_points,
    readable_bins,
    reliability,
    roc_points,
)
from models_ml.training.stage import TrainingResult

# Two stand side by side on a wide screen and below each other on a narrow one, legible on both.
WIDTH, HEIGHT = 5.0, 3.9
SMALL = 9.5
_BLUE, _VERMILION = PALETTE[0], PALETTE[1]
_DASHES = ("-", "--", ":", "-.")


class Look(NamedTuple):
    """How a candidate is drawn: never by colour alone."""

    color: str
    linestyle: str
    linewidth: float


def looks(result: TrainingResult) -> dict[str, Look]:
    """Return one look per candidate; the chosen one is the thick line."""
    return {
        name: Look(
            PALETTE[i % len(PALETTE)], _DASHES[i % len(_DASHES)], 2.8 if name == result.chosen else 1.6
        )
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
    return _curves(
        result,
        roc_points,
        ("stayers contacted by mistake", "churners found"),
        "auc",
        ([0, 1], [0, 1]),
    )


def precision_recall(result: TrainingResult) -> str:
    """Draw precision against recall of every candidate on the judged rows."""
    base = float(np.average(result.evidence.has_churned, weights=result.evidence.weight))
    return _curves(
        result,
        precision_recall_points,
        ("churners found (recall)", "churners among contacted (precision)"),
        "average_precision",
        ([0, 1], [base, base]),
    )


def profit_curve(result: TrainingResult, currency: str) -> str:
    """Draw judged profit against the share contacted, the plan of each candidate as a point with its error."""
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.axhline(0, color=QUIET, linewidth=1)
        for name, look in looks(result).items():
            rows = sorted(result.evidence.candidates[name].thresholds, key=lambda row: row["contacted_share"])
            axis.plot(
                [row["contacted_share"] for row in rows],
                [row["profit"] for row in rows],
                label=plain(name),
                **look._asdict(),
            )
            verdict = result.verdicts[name]
            axis.errorbar(
                verdict.planned_contacts / result.judged_rows,
                verdict.profit.profit,
                yerr=verdict.profit.standard_error,
                fmt="o",
                markersize=8 if name == result.chosen else 5,
                markeredgecolor="white",
                color=look.color,
                capsize=4,
                zorder=3,
            )
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda amount, _: f"{amount:,.0f}".replace("-", "−")))
        axis.set(
            xlabel="share of customers contacted",
            ylabel=f"judged profit {f'({currency})' if currency else ''}",
        )
        _legend(figure, axis)
        return svg(figure)


def reliability_bins(result: TrainingResult, *, calibrated: bool = True) -> Reliability:
    """Return the bins of the chosen candidate on the judged rows, after or before calibration."""
    evidence = result.evidence
    chosen = evidence.candidates[result.chosen]
    probability = chosen.churn_probability if calibrated else chosen.uncalibrated_probability
    bins = readable_bins(int(evidence.has_churned.sum()))
    return reliability(evidence.has_churned, probability, evidence.weight, bins)


def reliability_diagram(result: TrainingResult) -> str:
    """Draw forecast against observed churn of the chosen candidate, the range of chance, and customers."""
    found = reliability_bins(result)
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.remove()
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top = 1.06 * float(max(found.mean_probability.max(), found.churn_rate.max(), found.high.max()))
        upper.plot([0, top], [0, top], color=QUIET, linewidth=1.2, linestyle="--")
        upper.fill_between(
            found.mean_probability, found.low, found.high, color=_BLUE, alpha=0.18, linewidth=0,
            label="95 % of a perfect forecast",
        )  # fmt: skip
        for mark, color, rows, label in (
            ("o", _BLUE, ~found.outside, "bin, within"),
            ("D", _VERMILION, found.outside, "bin, outside"),
        ):
            if rows.any():
                upper.plot(
                    found.mean_probability[rows], found.churn_rate[rows], mark, color=color, label=label
                )
        upper.set(ylabel="observed churn", xlim=(0, top), ylim=(0, top))
        upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        lower.vlines(found.mean_probability, 0, found.customers, color=_BLUE, linewidth=3)
        lower.set(xlabel="forecast churn probability", ylabel="customers", ylim=(0, None))
        lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        lower.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _legend(figure, upper)
        return svg(figure)


def before_and_after(result: TrainingResult) -> str:
    """Draw the reliability of the chosen candidate before and after calibration."""
    with axes(WIDTH, HEIGHT) as (figure, axis):
        lines = {
            "before": (reliability_bins(result, calibrated=False), "s--", _VERMILION),
            "after": (reliability_bins(result), "o-", _BLUE),
        }
        top = 1.06 * max(
            float(max(b.mean_probability.max(), b.churn_rate.max())) for b, _, _ in lines.values()
        )
        axis.plot([0, top], [0, top], color=QUIET, linewidth=1.2, linestyle="--")
        for label, (found, style, color) in lines.items():
            axis.plot(
                found.mean_probability, found.churn_rate, style, color=color, label=label, linewidth=1.5,
                markersize=5,
            )  # fmt: skip
        axis.set(xlabel="forecast churn probability", ylabel="observed churn", xlim=(0, top), ylim=(0, top))
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _legend(figure, axis)
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
        axis.plot(*guess, color=QUIET, linewidth=1.2, linestyle="--", label="chance")
        for name, look in looks(result).items():
            curve = points(evidence.has_churned, evidence.candidates[name].churn_probability, evidence.weight)
            value = result.verdicts[name].metrics[metric]
            axis.plot(curve.x, curve.y, label=f"{plain(name)} {value:.3f}", **look._asdict())
        axis.set(xlabel=labels[0], ylabel=labels[1], xlim=(0, 1), ylim=(0, 1.02))
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _legend(figure, axis)
        return svg(figure)


def _legend(figure: Figure, axis: Axes) -> None:
    """Put the legend above the axes, where it hides nothing."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=SMALL)
