"""Compare the churn probabilities of the first pipeline of a generated business with its hidden truth.

    python scripts/check_forecasts.py --customers 50000 --seed 11

Builds features and trains in a temporary folder, three minutes for 50,000 customers. The probabilities are those of the
last day, by the selected candidate as it was judged. Mean predicted over mean true churn should be near 1, within what
the churners of the date that calibrates leave to chance; the correlation says how well customers are told apart.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import duckdb
import joblib
import numpy as np
import typer
from dbt_project_copy import ProjectCopy
from generate_churn_data import raw_chunks, write_parquet
from rich.console import Console

from models_ml.errors import BayesPilotError

TRAINED = (
    "--exclude-resource-types",
    "test",
    "unit_test",
    "--select",
    "+deployed_pipeline",
    "+pipeline_candidates",
)
ANY_PIPELINE = ("--vars", "{allow_miscalibrated: true}")  # one that chance makes look wrong, too


def last_day(project: ProjectCopy, raw_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return churn probabilities of the last day, by the selected candidate as it was judged and in truth.

    Both have shape (n,), customers at risk in the order of their ids.
    """
    [candidate] = project.read("select candidate from pipeline_candidates where is_selected")[
        "candidate"
    ].to_pylist()
    pipeline = joblib.load(project.folder / "models_ml/artifacts/demo/candidates" / f"{candidate}.pkl")
    with duckdb.connect(str(project.warehouse()), read_only=True) as connection:
        rows = connection.sql(
            "select features.*, truth.churn_probability as true_probability"
            f" from customer_features as features inner join read_parquet('{raw_data / 'truth.parquet'}') as truth"
            " on features.customer_id = truth.customer_id::varchar and features.as_of_date = truth.as_of_date"
            " where truth.offer = 'no_action' order by features.customer_id"
        ).to_arrow_table()
    predicted, _ = pipeline.score(rows.select(list(pipeline.encoder.schema.names)))
    return predicted, rows["true_probability"].to_numpy()


def agreement(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return mean predicted over mean true churn, and the correlation of the logarithms."""
    return float(predicted.mean() / true.mean()), float(np.corrcoef(np.log(predicted), np.log(true))[0, 1])


def main(
    customers: Annotated[int, typer.Option(min=500, help="Size of the business.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random world.")] = 11,
    months: Annotated[int, typer.Option(min=7, max=72, help="Months of history.")] = 24,
) -> None:
    """Print how the forecasts of one world agree with its truth."""
    console = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory() as folder, console.status("building features and training"):
            raw = Path(folder) / "raw"
            write_parquet(raw_chunks(customers=customers, months=months, seed=seed, clean=False), raw)
            project = ProjectCopy.create(Path(folder) / "project", raw)
            project.build(*TRAINED, *ANY_PIPELINE)
            ratio, correlation = agreement(*last_day(project, raw))
            [warning] = project.read("select calibration_warning from deployed_pipeline")[0].to_pylist()
    except BayesPilotError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    typer.echo(f"{customers:,} customers, seed {seed}: predicted over true churn of the last day {ratio:.3f}")
    typer.echo(f"correlation of the logarithms {correlation:.3f}")
    typer.echo(warning or "The pipeline passed its check of calibration.")


if __name__ == "__main__":
    typer.run(main)
