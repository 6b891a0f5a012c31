"""Runs a Python model of dbt on Apache Spark, from the same file as on DuckDB.

A model asks ``dbt.ref(…)`` for a select and ``session.cursor()`` for a cursor that runs it, and returns Arrow. Here the
cursor is that of a DuckDB in the driver's process. The first statement that names a table fetches it from Spark into
a temporary folder of the driver; DuckDB reads it from there and spills there. What the model returns becomes a table
of Spark.

The models of ``spark_batches`` take their rows in batches on the executors instead; the driver sees none of them.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.utils import is_remote

from models_ml.engines.spark_batches import BATCH_MODELS

PREFIX = "spark_table_"  # of the views of fetched tables: no column or keyword begins like this
DATE = "as_of_date"
LOCAL_MASTER = re.compile(r"local(\[.*\])?")  # not local-cluster, whose executors are processes of their own


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
