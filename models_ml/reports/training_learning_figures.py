"""The figures of how a training learned: dates, settings tried, what the chosen candidate leans on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from models_ml.reports.figures import PALETTE, QUIET, axes, svg
from models_ml.reports.training_figures import BLUE, HEIGHT, SMALL, VERMILION, WIDTH, looks, plain
from models_ml.training.evidence import FeatureImportance
from models_ml.training.stage import TrainingResult

SHOWN = 10  # features per drawing: the rest explains little
_ROLES = {"fit": ("o", BLUE), "calibrate": ("s", PALETTE[4]), "judge": ("D", VERMILION)}


def time_line(result: TrainingResult) -> str:
    """Draw which month ends taught, calibrated and judged, in the judged round and in the refit."""
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
        axis.set(ylim=(-0.4, 1.5), yticks=[], xlabel="as-of date (month end)")
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
            tried = result.evidence.candidates[name].search
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
        [row.feature for row in shown], [row.shap for row in shown], "mean |SHAP|, log-odds of churn"
    )


def coefficients(shown: Sequence[tuple[str, float]]) -> str:
    """Draw coefficients of the logistic regression per standard deviation of their column."""
    return _bars(
        [name for name, _ in shown],
        [value for _, value in shown],
        "log-odds of churn per standard deviation",
    )


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
