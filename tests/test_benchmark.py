"""The benchmarks run at toy size; a test does not judge the measured times."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from benchmark import app
from benchmarks import measures
from benchmarks.features import run_statement
from benchmarks.raw_tables import ENDS_ON
from conftest import Project
from typer.testing import CliRunner

pytestmark = pytest.mark.build


def printed_by(*arguments: str) -> str:
    """Run the script, its builds in forked processes, and return what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "ProjectCopy", Project)
        finished = CliRunner().invoke(app, list(arguments))
    assert finished.exit_code == 0, finished.output
    return finished.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which both benchmarks ran, one after the other."""
    folder = tmp_path_factory.mktemp("benchmark")
    toy = ("--customers", "300", "--events", "6000", "--dates", "4")
    printed = printed_by("features", *toy, "--folder", str(folder))
    printed += printed_by("scoring", "--rows", "3000", "--candidate", "logistic", "--folder", str(folder))
    (folder / "printed.txt").write_text(printed, encoding="utf-8")
    return folder


def test_features_and_scoring_print_their_measures(folder: Path) -> None:
    printed = (folder / "printed.txt").read_text(encoding="utf-8")
    for expected in ("one new date on top", "streamed", "ratio", "peak MB"):
        assert expected in printed
    with duckdb.connect(str(folder / "features.duckdb"), read_only=True) as connection:
        [(dates,)] = connection.execute("select count(distinct as_of_date) from customer_features").fetchall()
    assert f"dbt, {dates - 1} dates at once" in printed, "all but the new one on top"


def test_every_row_is_scored(folder: Path) -> None:
    with duckdb.connect(str(folder / "scoring.duckdb"), read_only=True) as connection:
        counted = connection.execute(
            "select count(*), count(distinct customer_id) from int_churn_predictions"
            " where churn_probability between 0 and 1"
        ).fetchall()
    assert counted == [(3000, 3000)]


def test_the_comparison_finds_a_wrong_feature(folder: Path) -> None:
    warehouse = folder / "features.duckdb"
    rows, different, _ = run_statement(warehouse, ENDS_ON, "1GB")
    assert rows > 50
    assert different == 0
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            f"""
            update customer_features
            set engagement_events_last_90_days = engagement_events_last_90_days + 1
            where as_of_date = date '{ENDS_ON}'
                and customer_id = (
                    select min(customer_id) from customer_features where as_of_date = date '{ENDS_ON}'
                )
            """
        )
    _, different, _ = run_statement(warehouse, ENDS_ON, "1GB")
    assert different == 2, "the wrong row and the right one"


def test_training_and_reasons_are_measured_by_candidate() -> None:
    trained = printed_by("training", "--rows", "2000", "--features", "20", "--candidate", "logistic")
    for expected in ("logistic_regression", "estimator's own fit", "encode, fit, calibrate"):
        assert expected in trained
    explained = printed_by("reasons", "--rows", "200", "--features", "20")
    for candidate in ("logistic_regression", "random_forest", "gradient_boosting"):
        assert candidate in explained
