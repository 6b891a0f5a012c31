"""Python models whose rows stay on the executors of Spark.

The same functions of batches as on DuckDB, by ``mapInArrow``. The driver reads the small tables and the deployed
pipeline and sends the pipeline with the task, so that executors need this package but no file of the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema

from models_ml.scoring.probabilities import PROBABILITIES_SCHEMA, Scorer, read_scorer
from models_ml.scoring.reasons import REASONS_SCHEMA, Explanation, read_explanation
from models_ml.training.context import PurposeTables

if TYPE_CHECKING:
    from models_ml.engines.spark import DriverSession

Ref = Callable[[str], str]  # from the name of a model to its name in the metastore
KEY = ["customer_id", "as_of_date"]


def churn_predictions(spark: SparkSession, session: DriverSession, ref: Ref) -> DataFrame:
    """Return ``int_churn_predictions``; empty where the run is."""
    scorer = read_scorer(session.cursor(), _purpose_tables(session, ref))
    return _mapped(spark, _of_run(spark, ref, scorer), scorer, PROBABILITIES_SCHEMA)


def trial_probabilities(spark: SparkSession, session: DriverSession, ref: Ref) -> DataFrame:
    """Return ``int_trial_probabilities``; empty where no trial has matured, whatever is deployed."""
    assigned = spark.table(ref("int_trial_assignments"))
    needed = assigned.select("customer_id", sf.col("scored_on").alias("as_of_date")).distinct()
    scorer = read_scorer(session.cursor(), _purpose_tables(session, ref)) if needed.take(1) else None
    rows = None
    if scorer is not None:
        features = spark.table(ref("customer_features")).select(*scorer.columns)
        rows = features.join(needed, KEY, "left_semi").select(*scorer.columns)
    return _mapped(spark, rows, scorer, PROBABILITIES_SCHEMA)


def churn_reasons(spark: SparkSession, session: DriverSession, ref: Ref) -> DataFrame:
    """Return ``int_churn_reasons``; empty where the run is."""
    population = session.table(ref("int_feature_population")).sql_query()
    explanation = read_explanation(session.cursor(), _purpose_tables(session, ref), population)
    return _mapped(spark, _of_run(spark, ref, explanation), explanation, REASONS_SCHEMA)


BATCH_MODELS: dict[str, Callable[[SparkSession, DriverSession, Ref], DataFrame]] = {
    "int_churn_predictions": churn_predictions,
    "int_churn_reasons": churn_reasons,
    "int_trial_probabilities": trial_probabilities,
}


def _purpose_tables(session: DriverSession, ref: Ref) -> PurposeTables:
    return PurposeTables(
        int_run=session.table(ref("int_run")).sql_query(),
        int_policy_parameters=session.table(ref("int_policy_parameters")).sql_query(),
        int_feature_schema=session.table(ref("int_feature_schema")).sql_query(),
    )


def _of_run(spark: SparkSession, ref: Ref, function: Scorer | Explanation | None) -> DataFrame | None:
    """Return the features at the run's date; nothing where the run is empty."""
    if function is None:
        return None
    features = spark.table(ref("customer_features"))
    return features.where(sf.col("as_of_date") == sf.lit(function.as_of_date)).select(*function.columns)


def _mapped(
    spark: SparkSession, rows: DataFrame | None, function: Scorer | Explanation | None, schema: pa.Schema
) -> DataFrame:
    """Return what a function of batches makes of rows, with its declared schema."""
    declared = from_arrow_schema(schema)
    if rows is None or function is None:
        return spark.createDataFrame([], declared)

    def batches(given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return function(given)

    return rows.mapInArrow(batches, declared)
