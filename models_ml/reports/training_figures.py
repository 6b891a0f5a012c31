"""The figures of the training page: ranking and profit, calibration, dates and search, importance of features.

Every drawing function returns an inline SVG; curves are thinned to what a drawing can show. Arguments as in
`models_ml.evaluation.metrics`: ``has_churned`` ndarray of shape (n,), bool; ``churn_probability`` ndarray of
shape (n,), 0 to 1; ``weight`` ndarray of shape (n,), > 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.stats import binom
from sklearn.metrics import precision_recall_curve, roc_curve

from models_ml.evaluation.metrics import calibration_bins
from models_ml.reports.figures import PALETTE, QUIET, WIDTH, axes, svg
from models_ml.training.diagnostics import FeatureImportance
from models_ml.training.stage import TrainingResult

HEIGHT = 3.9  # inches
SMALL = 10  # points
SHOWN = 10  # features per drawing: the rest explains little
BLUE, VERMILION = PALETTE[:2]
DIAGONAL: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "linestyle": "--"}
_DASHES = ("--", ":", "-.")
_ROLES = {"fit": ("o", BLUE), "calibrate": ("s", PALETTE[4]), "judge": ("D", VERMILION)}
_TICKS = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_APART = 0.014  # between the points of plans that contact equally many, share of the axis

POINTS = 300  # more than a screen shows


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
    labels = ("non-churners contacted", "churners found")
    return _curves(result, roc_points, labels, "auc", ([0, 1], [0, 1]))


def precision_recall(result: TrainingResult) -> str:
    """Draw precision against recall of every candidate on the judged rows."""
    base = float(np.average(result.diagnostics.has_churned, weights=result.diagnostics.weight))
    labels = ("churners found (recall)", "contacted who churn (precision)")
    return _curves(result, precision_recall_points, labels, "average_precision", ([0, 1], [base, base]))


def profit_curve(result: TrainingResult, currency: str) -> str:
    """Draw judged profit against the share contacted, the plan of each candidate as a point with its error."""
    worth, weight = result.judged_date.value_if_contacted(), result.diagnostics.weight
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.axhline(0, color=QUIET, linewidth=1)
        for i, (name, look) in enumerate(looks(result).items()):
            curve = profit_points(result.diagnostics.candidates[name].churn_probability, weight, worth)
            axis.plot(curve.x, curve.y, label=plain(name), **look._asdict())
            verdict = result.verdicts[name]
            axis.errorbar(
                verdict.planned_contacts / result.diagnostics.weight.sum()
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
        unit = f" ({currency})" if currency else ""
        axis.set(xlabel="share of customers contacted", ylabel=f"judged profit{unit}")
        legend_above(figure, axis)
        return svg(figure)


def reliability_bins(
    result: TrainingResult, name: str, *, before: bool = False, coarse: int = 1
) -> Reliability:
    """Return the bins of a candidate on the judged rows, after or before calibration.

    Parameters
    ----------
    coarse : int
        By how much fewer bins than a single curve has, for several curves in one drawing.
    """
    diagnostics = result.diagnostics
    candidate = diagnostics.candidates[name]
    probability = candidate.uncalibrated_probability if before else candidate.churn_probability
    bins = max(5, readable_bins(int(diagnostics.has_churned.sum())) // coarse)
    return reliability(diagnostics.has_churned, probability, diagnostics.weight, bins)


def is_recalibrated(result: TrainingResult) -> bool:
    """Say whether the chosen candidate's probabilities pass through a calibration curve."""
    return bool(result.judged.pipelines[result.chosen].calibrator.method != "none")


def reliability_diagram(result: TrainingResult) -> str:
    """Draw predicted against observed churn of the chosen candidate, the range of chance, and customers."""
    found = reliability_bins(result, result.chosen)
    top = 1.06 * max(float(part.max()) for part in (found.mean_probability, found.churn_rate, found.high))
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.remove()
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        upper.plot([0, top], [0, top], **DIAGONAL)
        band: dict[str, Any] = {"color": BLUE, "alpha": 0.18, "linewidth": 0}
        upper.fill_between(
            found.mean_probability, found.low, found.high, label="95 % range if perfect", **band
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
        lower.set(xlabel="predicted churn probability", ylabel="customers", ylim=(0, None))
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
                label="chosen, uncalibrated", clip_on=False,
            )  # fmt: skip
        axis.set(xlabel="predicted churn probability", ylabel="observed churn")
        _stretch(axis, top=top)
        legend_above(figure, axis)
        return svg(figure)


def time_line(result: TrainingResult) -> str:
    """Draw which dates are used to fit, calibrate and judge, in the judged round and in the refit."""
    rounds = {
        "judged": (result.judged, {"judge": result.judged_rows}),
        "refitted: the same recipe, later": (result.refitted, {}),
    }
    with axes(WIDTH, HEIGHT) as (figure, axis):
        for lane, (title, (fitted, judged)) in zip((1, 0), rounds.items(), strict=True):
            split = fitted.split
            days: dict[str, Any] = {
                "fit": split.fit_on, "calibrate": [split.calibrated_on], "judge": [split.judged_on]
            }  # fmt: skip
            rows = {"fit": fitted.fit_rows, "calibrate": fitted.calibration_rows, **judged}
            for role in rows:
                mark, color = _ROLES[role]
                where = [lane - 0.16] * len(days[role])
                axis.plot(
                    list(days[role]), where, mark, color=color, markersize=10, label=role if lane else None
                )
            counts = ", ".join(f"{role} {count:,}" for role, count in rows.items())
            place: dict[str, Any] = {"transform": axis.get_yaxis_transform()}
            axis.text(0.01, lane + 0.26, title, fontweight="bold", **place)
            axis.text(0.01, lane + 0.09, f"rows: {counts}", fontsize=SMALL, **place)
        axis.set(ylim=(-0.4, 1.5), yticks=[], xlabel="as-of date")
        locator = AutoDateLocator(minticks=3, maxticks=6)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axis.margins(x=0.06)
        figure.legend(loc="outside upper left", ncols=3, fontsize=SMALL)
        return svg(figure)


def search_scores(result: TrainingResult) -> str:
    """Draw the log-loss of every setting that the search tried, the one in use filled."""
    with axes(WIDTH, HEIGHT) as (figure, axis):
        names = list(looks(result))[::-1]
        for lane, name in enumerate(names):
            tried = result.diagnostics.candidates[name].search
            color = looks(result)[name].color
            axis.plot(
                [row["score"] for row in tried], [lane] * len(tried), "o", markerfacecolor="none",
                markeredgecolor=color, markersize=7,
            )  # fmt: skip
            best = [row["score"] for row in tried if row["is_chosen"]]
            axis.plot(best, [lane] * len(best), "D", color=color, markersize=9)
            axis.text(
                0, lane + 0.22, f"{plain(name)}: {len(tried)} tried",
                transform=axis.get_yaxis_transform(), fontsize=SMALL,
            )  # fmt: skip
        axis.set(
            ylim=(-0.4, len(names) - 0.4), yticks=[], xlabel="log-loss on the last fit date (lower is better)"
        )
        axis.margins(x=0.08)
        return svg(figure)


def permutation_importance(shown: Sequence[FeatureImportance]) -> str:
    """Draw the drop of the judged AUC when a feature is shuffled, with its spread."""
    return _bars(
        [row.feature for row in shown],
        [row.permutation for row in shown],
        "drop of the judged AUC when shuffled",
        spread=[row.permutation_sd for row in shown],
    )


def shap_importance(shown: Sequence[FeatureImportance]) -> str:
    """Draw the mean absolute contribution of each feature."""
    return _bars(
        [row.feature for row in shown], [row.shap for row in shown], "mean absolute SHAP value, log-odds"
    )


def coefficients(shown: Sequence[tuple[str, float]]) -> str:
    """Draw coefficients of the logistic regression per standard deviation of their column."""
    return _bars(
        [name for name, _ in shown],
        [value for _, value in shown],
        "log-odds of churn per standard deviation",
    )


def _curves(
    result: TrainingResult,
    points: Callable[[np.ndarray, np.ndarray, np.ndarray], Curve],
    labels: tuple[str, str],
    metric: str,
    guess: tuple[list[float], list[float]],
) -> str:
    diagnostics = result.diagnostics
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.plot(*guess, label="chance", **DIAGONAL)
        for name, look in looks(result).items():
            probability = diagnostics.candidates[name].churn_probability
            curve = points(diagnostics.has_churned, probability, diagnostics.weight)
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


def _bars(
    names: Sequence[str], values: Sequence[float], label: str, spread: Sequence[float] | None = None
) -> str:
    """Draw bars with their names above them: long names fit a narrow screen."""
    with axes(WIDTH, 0.34 * len(names) + 0.8) as (figure, axis):
        lanes = np.arange(len(names))[::-1]
        colors = [BLUE if value >= 0 else VERMILION for value in values]
        axis.barh(lanes, values, height=0.36, color=colors, xerr=spread, ecolor=QUIET, capsize=3)
        for lane, name in zip(lanes, names, strict=True):
            _name(axis, float(lane) + 0.26, name)
        axis.axvline(0, color=QUIET, linewidth=1)
        axis.grid(visible=False, axis="y")
        axis.set(yticks=[], ylim=(-0.5, len(names) - 0.3), xlabel=label)
        return svg(figure)


def _name(axis: Axes, height: float, name: str) -> None:
    axis.text(
        0.0, height, name, transform=axis.get_yaxis_transform(), fontsize=SMALL, va="bottom",
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
    )  # fmt: skip


class Curve(NamedTuple):
    """Points of a line in the order in which it is drawn."""

    x: np.ndarray
    y: np.ndarray


class Reliability(NamedTuple):
    """Quantile bins of churn probability; 95 % of the rates under perfect calibration lie from ``low`` to ``high``."""

    mean_probability: np.ndarray
    churn_rate: np.ndarray
    customers: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """Which bins lie outside the range, bool; under perfect calibration one in twenty does."""
        return (self.churn_rate < self.low) | (self.churn_rate > self.high)


def roc_points(has_churned: np.ndarray, churn_probability: np.ndarray, weight: np.ndarray) -> Curve:
    """Return the ROC curve: the share of non-churners contacted against the share of churners found."""
    false_rate, true_rate, _ = roc_curve(has_churned, churn_probability, sample_weight=weight)
    return thin(Curve(false_rate, true_rate))


def precision_recall_points(
    has_churned: np.ndarray, churn_probability: np.ndarray, weight: np.ndarray
) -> Curve:
    """Return recall against precision, from the riskiest customer alone to all customers."""
    precision, recall, _ = precision_recall_curve(has_churned, churn_probability, sample_weight=weight)
    return thin(Curve(recall[::-1], precision[::-1]))


def profit_points(
    churn_probability: np.ndarray, weight: np.ndarray, value: np.ndarray, points: int = POINTS
) -> Curve:
    """Return the share contacted, riskiest first, against the total value of these contacts.

    Parameters
    ----------
    value : ndarray of shape (n,), money
        Value of contacting each row, unweighted. Equal probabilities are contacted together.

    Examples
    --------
    >>> curve = profit_points(np.array([0.9, 0.5, 0.5, 0.1]), np.ones(4), np.array([8.0, 3.0, -1.0, -4.0]))
    >>> curve.x.tolist(), curve.y.tolist()
    ([0.0, 0.25, 0.75, 1.0], [0.0, 8.0, 10.0, 6.0])
    """
    order = np.argsort(-churn_probability, kind="stable")
    ends = np.append(np.diff(churn_probability[order]) != 0, True)
    contacted = np.cumsum(weight[order])[ends] / weight.sum()
    worth = np.cumsum((weight * value)[order])[ends]
    return thin(Curve(np.append(0.0, contacted), np.append(0.0, worth)), points)


def reliability(
    has_churned: np.ndarray, churn_probability: np.ndarray, weight: np.ndarray, bins: int
) -> Reliability:
    """Return predicted and observed churn per bin, with the range of chance of a bin of that size.

    The range is the binomial one at the bin's mean probability (Bröcker and Smith 2007, consistency bars),
    with the effective number of rows (Σw)² / Σw² where weights differ.

    Examples
    --------
    >>> churned, probability = np.arange(200) % 10 == 0, np.full(200, 0.1)
    >>> found = reliability(churned, probability, np.ones(200), bins=5)
    >>> found.customers.tolist(), found.churn_rate.tolist(), found.outside.tolist()
    ([200], [0.1], [False])
    >>> found.low.tolist(), found.high.tolist()
    ([0.06], [0.145])
    """
    grouped = calibration_bins(has_churned, churn_probability, bins, weight)
    effective = np.round(grouped.effective_rows)
    low, high = (binom.ppf(q, effective, grouped.mean_probability) / effective for q in (0.025, 0.975))
    return Reliability(grouped.mean_probability, grouped.churn_rate, grouped.rows, low, high)


def readable_bins(churners: int) -> int:
    """Return how many bins leave about ten churners in each: 5 to 20.

    Examples
    --------
    >>> readable_bins(30), readable_bins(120), readable_bins(5000)
    (5, 12, 20)
    """
    return int(np.clip(churners // 10, 5, 20))


def thin(curve: Curve, points: int = POINTS) -> Curve:
    """Keep about ``points`` points, evenly spaced along the line, either axis scaled to its range.

    Examples
    --------
    >>> thin(Curve(np.linspace(0, 1, 1001), np.zeros(1001)), points=3).x.tolist()
    [0.0, 0.5, 1.0]
    """
    if len(curve.x) <= points:
        return curve
    steps = sum(np.abs(np.diff(axis)) / (float(np.ptp(axis)) or 1.0) for axis in curve)
    gone = np.concatenate([[0.0], np.cumsum(steps)])
    kept = np.unique(np.searchsorted(gone, np.linspace(0, gone[-1], points) * (1 - 1e-12)))
    kept = np.unique(np.append(kept, len(curve.x) - 1))
    return Curve(curve.x[kept], curve.y[kept])
