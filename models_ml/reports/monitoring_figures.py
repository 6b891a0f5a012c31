"""The figures of the monitoring page; each takes rows of the monitoring tables and returns an inline SVG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from models_ml.reports.figures import PALETTE, QUIET, WIDTH, axes, svg
from models_ml.reports.monitoring_findings import MonitoringData, Row

HEIGHT = 3.4  # inches
BLUE, VERMILION = PALETTE[:2]
YELLOW, BLACK = PALETTE[4], PALETTE[6]
STATUS_WORDS = {"warn": "moved", "alert": "moved far", "error": "broken: unit or missing values"}
LABELLED_DATES = 6
NO_ACTION = "no_action"


def calibration(rows: Sequence[Row]) -> str:
    """Draw predicted churn and the 95 % interval of observed churn, month by month."""
    months = [f"{row['outcome_month']:%b %Y}" for row in rows]
    places = range(len(rows))
    observed = [row["observed_churn"] for row in rows]
    below = [row["observed_churn"] - row["observed_lower"] for row in rows]
    above = [row["observed_upper"] - row["observed_churn"] for row in rows]
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.errorbar(
            places, observed, yerr=[below, above], fmt="o", color=BLUE, capsize=4, label="observed, 95 %"
        )
        predicted = [row["predicted_churn"] for row in rows]
        axis.plot(places, predicted, "D", color=VERMILION, markersize=8, fillstyle="none", label="predicted")
        axis.set_xlim(-0.6, len(rows) - 0.4)
        _labels(axis, months)
        _per_cent(axis)
        axis.set_ylim(0, 1.2 * max(*predicted, *(row["observed_upper"] for row in rows)))
        axis.set_ylabel("churn without contact")
        axis.legend(loc="upper left", ncols=2)
        return svg(figure)


def score_bins(rows: Sequence[Row]) -> str:
    """Draw the share of customers per score bin, at training and in the latest run."""
    places = range(len(rows))
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.bar(places, [row["share"] for row in rows], color=BLUE, alpha=0.75, label="this run")
        axis.step(
            [-0.5, *(place + 0.5 for place in places)],
            [rows[0]["expected_share"], *(row["expected_share"] for row in rows)],
            color=VERMILION,
            label="at training",
        )
        _labels(axis, [_up_to(row) for row in rows], every=2)
        _per_cent(axis)
        axis.set_xlabel("churn probability up to")
        axis.set_ylabel("share of customers")
        figure.legend(loc="outside upper left", ncols=2)
        return svg(figure)


def moved_over_time(data: MonitoringData) -> str:
    """Draw how many features have moved since training, run by run."""
    dates = [row["as_of_date"] for row in data.performance]
    counts = {status: dict.fromkeys(dates, 0) for status in ("warn", "alert", "error")}
    for row in data.features:
        if row["slice"] == "all" and row["status"] in counts:
            counts[row["status"]][row["as_of_date"]] += 1
    with axes(WIDTH, HEIGHT) as (figure, axis):
        bottom = [0] * len(dates)
        for (status, by_date), color in zip(counts.items(), (YELLOW, VERMILION, BLACK), strict=True):
            heights = list(by_date.values())
            axis.bar(
                range(len(dates)), heights, bottom=bottom, width=0.6, color=color, label=STATUS_WORDS[status]
            )
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        axis.set_xlim(-0.8, len(dates) - 0.2)
        axis.set_ylim(0, max(5, 1.4 * max(bottom)))
        _labels(axis, [day.isoformat() for day in dates])
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel("features")
        axis.legend(loc="upper left", fontsize=9)
        return svg(figure)


def actions_over_time(data: MonitoringData) -> str:
    """Draw planned contacts by offer, run by run."""
    counts: dict[str, dict[date, int]] = defaultdict(dict)
    for row in data.volume:
        if row["measure"] == "planned_action" and row["item"] != NO_ACTION:
            counts[row["item"]][row["as_of_date"]] = row["row_count"]
    dates = sorted({row["as_of_date"] for row in data.volume})
    with axes(WIDTH, HEIGHT) as (figure, axis):
        bottom = [0] * len(dates)
        for number, offer in enumerate(sorted(counts)):
            heights = [counts[offer].get(day, 0) for day in dates]
            axis.bar(
                range(len(dates)), heights, bottom=bottom, width=0.6, color=PALETTE[number % len(PALETTE)],
                label=offer.replace("_", " "), edgecolor="white",
            )  # fmt: skip
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        axis.set_xlim(-0.8, len(dates) - 0.2)
        _labels(axis, [day.isoformat() for day in dates])
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel("planned contacts")
        if counts:
            axis.set_ylim(top=1.35 * max(1, *bottom))
            axis.legend(loc="upper left", ncols=3, fontsize=9)
        return svg(figure)


def value_by_month(rows: Sequence[Row]) -> str:
    """Draw what the policy earned beyond contacting nobody, with its 95 % interval, month by month."""
    values = [row["value"] for row in rows]
    below = [row["value"] - row["value_low"] for row in rows]
    above = [row["value_high"] - row["value"] for row in rows]
    with axes(WIDTH, HEIGHT) as (figure, axis):
        axis.axhline(0, color=QUIET, linewidth=1)
        axis.errorbar(range(len(rows)), values, yerr=[below, above], fmt="o", color=BLUE, capsize=4)
        axis.set_xlim(-0.6, len(rows) - 0.4)
        _labels(axis, [row["period"] for row in rows])
        axis.set_ylabel(f"value, {rows[0]['currency']}")
        return svg(figure)


def _labels(axis: Axes, labels: Sequence[str], every: int | None = None) -> None:
    step = every or max(1, -(-len(labels) // LABELLED_DATES))
    shown = range(0, len(labels), step)
    axis.set_xticks(list(shown), [labels[place] for place in shown], fontsize=9)


def _per_cent(axis: Axes) -> None:
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _up_to(row: Row) -> str:
    return "1" if row["upper_edge"] is None else f"{row['upper_edge']:.2g}"
