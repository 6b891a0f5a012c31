"""Runs a Python model of dbt on Apache Spark, from the same file as on DuckDB.

A model asks ``dbt.ref(…)`` for a select and ``session.cursor()`` for a cursor that runs it, and returns Arrow. Here the
cursor is that of a DuckDB in the driver's process. The first statement that names a table fetches it from Spark into
a temporary folder of the driver; DuckDB reads it from there and spills there. What the model returns becomes a table
of Spark.

The rows of `BATCH_MODELS` stay on the executors instead: the same functions of batches as on DuckDB, by ``mapInArrow``.
The driver sees none of their rows. It reads the small tables and the deployed pipeline and sends the pipeline with the
task, so that executors need this package but no file of the driver.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.utils import is_remote

from models_ml.scoring.probabilities import PROBABILITIES_SCHEMA, Scorer, read_scorer
from models_ml.scoring.reasons import REASONS_SCHEMA, Explanation, read_explanation
from models_ml.training.context import PurposeTables

PREFIX = "spark_table_"  # of the views of fetched tables: no column or keyword begins like this
DATE = "as_of_date"
LOCAL_MASTER = re.compile(r"local(\[.*\])?")  # not local-cluster, whose executors are processes of their own

Ref = Callable[[str], str]  # from the name of a model to its name in the metastore
KEY = ["customer_id", "as_of_date"]


def run_model(spark: SparkSession, name: str, compiled_code: str) -> None:
    """Run the compiled code of a model and store what it returns.

    Parameters
    ----------
    spark : SparkSession
        The session of the target.
    name : str
        Name of the model, for errors and for `BATCH_MODELS`.
    compiled_code : str
        The model with the code that dbt appends: it defines ``model``, ``dbtObj`` and the name ``table_to_create``.

    Raises
    ------
    RuntimeError
        If the model fails; the text ends with the error of the model.
    """
    namespace: dict[str, Any] = {"__name__": f"dbt_model_{name}"}
    try:
        exec(compile(compiled_code.strip(), f"<{name}>", "exec"), namespace)
        with DriverSession(spark) as session:
            in_batches = BATCH_MODELS.get(name)
            if in_batches:
                frame = in_batches(spark, session, namespace["dbtObj"](str).ref)
            else:
                frame = as_frame(spark, namespace["model"](namespace["dbtObj"](session.table), session))
            frame.write.format("parquet").saveAsTable(namespace["table_to_create"])
    except Exception as error:
        raise RuntimeError("Python model failed:\n" + traceback.format_exc()) from error


def as_frame(spark: SparkSession, returned: pa.Table | pa.RecordBatchReader) -> DataFrame:
    """Return what a model has returned as a Spark frame of the same types."""
    table = returned.read_all() if isinstance(returned, pa.RecordBatchReader) else returned
    return spark.createDataFrame(table)


class DriverTable:
    """A table of Spark as a model sees it: by its select."""

    def __init__(self, view: str) -> None:
        self._view = view

    def sql_query(self) -> str:
        """Return the select of the table, for a cursor of the same session."""
        return f'select * from "{self._view}"'


class DriverSession:
    """What a model is given for a session: cursors of a DuckDB that fetches tables of Spark when they are named."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._tables: dict[str, str] = {}  # by view
        self._fetched: set[str] = set()

    def __enter__(self) -> DriverSession:
        self._folder = TemporaryDirectory(prefix="bayespilot_spark_", ignore_cleanup_errors=True)
        self._connection = duckdb.connect(
            config={
                "preserve_insertion_order": True,
                "temp_directory": str(Path(self._folder.name) / "spilled"),
                "python_enable_replacements": False,
            }
        )
        self._connection.execute("set TimeZone = 'UTC'")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._folder.cleanup()

    def table(self, name: str) -> DriverTable:
        """Return a table of the metastore, without reading it."""
        view = PREFIX + name.replace(".", "__")
        self._tables[view] = name
        return DriverTable(view)

    def cursor(self) -> DriverCursor:
        """Return a cursor on the DuckDB of the driver."""
        return DriverCursor(self, self._connection.cursor())

    def fetch_named_in(self, statement: str) -> None:
        """Fetch the tables that a statement names and that have not been fetched."""
        for view, name in self._tables.items():
            if view not in self._fetched and f'"{view}"' in statement:
                folder = Path(self._folder.name) / view
                folder.mkdir()
                fetch(self._spark.table(name), folder)
                self._connection.execute(
                    f"create view \"{view}\" as select * from read_parquet('{folder}/*.parquet')"
                )
                self._fetched.add(view)


class DriverCursor:
    """A DuckDB cursor; before a statement runs, the tables that it names are fetched."""

    def __init__(self, session: DriverSession, cursor: duckdb.DuckDBPyConnection) -> None:
        self._session = session
        self._cursor = cursor

    def sql(self, statement: str, **options: Any) -> duckdb.DuckDBPyRelation:  # noqa: ANN401 - DuckDB's own
        """Return the rows of a select, unread."""
        self._session.fetch_named_in(statement)
        return self._cursor.sql(statement, **options)

    def execute(self, statement: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:  # noqa: ANN401 - DuckDB's own
        """Run a statement."""
        self._session.fetch_named_in(statement)
        return self._cursor.execute(statement, parameters)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - DuckDB's own
        return getattr(self._cursor, name)


def fetch(frame: DataFrame, folder: Path) -> None:
    """Write the rows of a frame to Parquet files in an existing folder of the driver, at least one.

    A session of this process writes them itself. From a cluster they come as Arrow, one day of ``as_of_date`` after
    the other where there is one: the memory of the driver holds the rows of one day.
    """
    if _runs_here(frame.sparkSession):
        frame.write.mode("overwrite").parquet(folder.as_uri())
        return
    for part, rows in enumerate(daily_parts(frame)):
        pq.write_table(rows, folder / f"{part:04d}.parquet")


def daily_parts(frame: DataFrame) -> Iterator[pa.Table]:
    """Yield the rows of a frame, at least one part; by day where it has an ``as_of_date``."""
    if dict(frame.dtypes).get(DATE) != "date":
        yield frame.toArrow()
        return
    days = sorted(row[0] for row in frame.select(DATE).where(f"{DATE} is not null").distinct().collect())
    yield frame.where(f"{DATE} is null").toArrow()
    for day in days:
        yield frame.where(f"{DATE} = date '{day}'").toArrow()


def _runs_here(spark: SparkSession) -> bool:
    """Whether the executors are threads of this process, so that a folder of the driver is theirs too."""
    return not is_remote() and LOCAL_MASTER.fullmatch(spark.sparkContext.master) is not None


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
