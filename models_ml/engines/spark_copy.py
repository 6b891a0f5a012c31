"""Copies the tables of a run from Spark into a DuckDB file, for publishing, reports and the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from models_ml.engines.spark import fetch
from models_ml.files import file_aside
from models_ml.published_tables import ONLY_ROWS, PUBLISHED_TABLES, REPORT_PREFIX
from models_ml.serving.snapshot import NEEDED
from models_ml.warehouse import quoted, sql_text

RUN_TABLES = ("int_run", "int_finished_run")  # which run the tables are of, and whether it has finished


def copy_run(spark: SparkSession, schema: str, file: Path, comments: Mapping[str, Mapping[str, str]]) -> int:
    """Write what publishing, reports and the service read of the latest run; return the number of tables.

    Of tables of which only the run's date is published, only that is copied.

    Parameters
    ----------
    spark : SparkSession
        The session of the target.
    schema : str
        Schema of the project's tables.
    file : Path
        DuckDB file; it replaces an earlier one whole, or that stays.
    comments : mapping
        By table: comments of its columns by name, and of the table itself by the empty name.
    """
    present = {row.tableName for row in spark.sql(f"show tables in {schema}").collect()}
    reports = {name for name in present if name.startswith(REPORT_PREFIX)}
    tables = sorted(present & {*RUN_TABLES, *PUBLISHED_TABLES, *NEEDED, *reports})
    days = (
        [row.as_of_date for row in spark.table(f"{schema}.int_run").collect()] if "int_run" in tables else []
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        file_aside(file) as aside,
        TemporaryDirectory(prefix="bayespilot_spark_") as folder,
        duckdb.connect(str(aside)) as connection,
    ):
        for table in tables:
            rows = spark.table(f"{schema}.{table}")
            if table in ONLY_ROWS:
                rows = rows.where(sf.col("as_of_date").isin(days))
            fetched = Path(folder) / table
            fetched.mkdir()
            fetch(rows, fetched)
            connection.execute(f"create table {table} as from read_parquet({quoted(fetched / '*.parquet')})")
            for column, comment in comments.get(table, {}).items():
                on = f'column {table}."{column}"' if column else f"table {table}"
                if not column or column in rows.columns:
                    connection.execute(f"comment on {on} is {sql_text(comment)}")
        connection.close()  # all of it is in the file before the file takes its name
    return len(tables)
