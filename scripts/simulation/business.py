"""The simulated business: a copy of the project with seeds for its size, and the raw tables of its world."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dbt_project_copy import ProjectCopy

from models_ml.errors import BayesPilotError

SOURCE = "demo"
SEEDED_CUSTOMERS = 5_000  # the limits in seeds/demo are those of a business of this size
SHIPPED_PRIORS = "demo"

Row = dict[str, str]


@dataclass(frozen=True)
class FlatPrior:
    """The same belief about every offer: log-odds of churn without signals, and per unit of any signal."""

    intercept_mean: float
    intercept_sd: float
    signal_mean: float
    signal_sd: float
    source: str


FLAT_PRIORS: Mapping[str, FlatPrior] = {
    "none": FlatPrior(-0.05, 0.3, 0.0, 0.4, "weak prior: contacts help a little, or not at all"),
    "wrong": FlatPrior(
        math.log(0.5), 0.3, 0.0, 0.3, "wrong on purpose: every offer halves the odds of leaving"
    ),
}


def write_raw(project: ProjectCopy, tables: Mapping[str, pa.Table], ends_on: np.datetime64) -> None:
    """Write the raw tables and declare the last day of the data, which is the default as_of_date.

    Raises
    ------
    BayesPilotError
        When the source does not declare ``data_ends_on`` once.
    """
    if project.raw_data is None:
        raise BayesPilotError("the business has no folder of raw data", where=str(project.folder))
    project.raw_data.mkdir(exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, project.raw_data / f"{name}.parquet", compression="zstd")
    declaration = project.folder / "dbt_project" / "sources" / SOURCE / "sources.yml"
    text, replaced = re.subn(
        r'data_ends_on: "[^"]*"', f"data_ends_on: \"date '{ends_on}'\"", declaration.read_text()
    )
    if replaced != 1:
        raise BayesPilotError(f"{replaced} lines declare data_ends_on", where=str(declaration))
    declaration.write_text(text)


def write_seeds(project: ProjectCopy, *, customers: int, learning_share: float, priors: str) -> None:
    """Change the copy's seeds: limits in proportion to the number of customers, the trial's share, the priors.

    ``priors`` is ``demo`` (as shipped), a name of ``FLAT_PRIORS``, or the path of a CSV file with the columns
    of ``offer_effect_priors.csv``.
    """
    scale = customers / SEEDED_CUSTOMERS

    def scaled(row: Row, column: str) -> Row:
        return {**row, column: str(round(float(row[column]) * scale))}

    def policy(row: Row) -> Row:
        return scaled(row, "value") if row["parameter"] == "monthly_budget" else row

    rewrite_seed(project, "policy", lambda rows: [policy(row) for row in rows])
    set_policy(project, {"learning_share": learning_share})
    for name in ("offers", "channels"):
        rewrite_seed(project, name, lambda rows: [scaled(row, "monthly_capacity") for row in rows])
    rewrite_seed(project, "offer_effect_priors", lambda rows: prior_rows(priors, rows))


def set_policy(project: ProjectCopy, values: Mapping[str, float]) -> None:
    """Give parameters of the copy's policy.csv other values."""

    def changed(row: Row) -> Row:
        name = row["parameter"]
        return {**row, "value": f"{values[name]:g}"} if name in values else row

    rewrite_seed(project, "policy", lambda rows: [changed(row) for row in rows])


def rewrite_seed(project: ProjectCopy, name: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Replace the rows of one of the copy's seeds by ``change`` of them."""
    path = project.folder / "seeds" / SOURCE / f"{name}.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(rows))


def prior_rows(priors: str, shipped: list[Row]) -> list[Row]:
    """Return the rows of offer_effect_priors.csv for a named set of priors or a file.

    Raises
    ------
    BayesPilotError
        When ``priors`` is neither a name nor a file, or the file has a column that the seed lacks.
    """
    if priors == SHIPPED_PRIORS:
        return shipped
    if priors in FLAT_PRIORS:
        return [_flat(row, FLAT_PRIORS[priors]) for row in shipped]
    if not Path(priors).is_file():
        raise BayesPilotError(
            f"there are no priors {priors!r}",
            next_step=f"name one of {', '.join([SHIPPED_PRIORS, *FLAT_PRIORS])}, or a CSV file",
        )
    with Path(priors).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    unknown = sorted({str(name) for row in rows for name in row} - set(shipped[0]))
    if unknown:
        raise BayesPilotError(
            "offer_effect_priors.csv has no such columns",
            where=priors,
            values=unknown,
            next_step=f"name some of {', '.join(shipped[0])}",
        )
    return rows


def _flat(row: Row, prior: FlatPrior) -> Row:
    is_intercept = row["signal"] == "intercept"
    mean = prior.intercept_mean if is_intercept else prior.signal_mean
    sd = prior.intercept_sd if is_intercept else prior.signal_sd
    unknown = {"acceptance_mean": "", "acceptance_sd": ""}
    return {**row, "mean": f"{mean:.6f}", "sd": f"{sd:.6f}", **unknown, "source": prior.source}
