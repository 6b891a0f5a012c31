"""What macros of the project ask of the engine beside SQL."""

from __future__ import annotations

from pathlib import Path

from dbt.adapters.base import available
from dbt.adapters.spark.impl import SparkAdapter
from dbt_common.exceptions import DbtRuntimeError
from pyspark.errors import PySparkException

from dbt.adapters.bayespilot_spark.session import spark_session

MISSING = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND")


class LookUps(SparkAdapter):
    """dbt-spark's adapter with methods for macros."""

    @available
    def text_of_file(self, path: str) -> str:
        """Return the text of a file of the project, which the driver reads."""
        return Path(path).read_text(encoding="utf-8")

    @available
    def columns_of(self, relation: str) -> list[list[str]] | None:
        """Return name and type of each column of a table or file; nothing where there is none."""
        try:
            fields = spark_session(self.config.credentials).table(relation).schema.fields
        except PySparkException as error:
            if error.getCondition() in MISSING:
                return None
            raise DbtRuntimeError(str(error).split("\n\nJVM stacktrace")[0]) from error
        return [[field.name, field.dataType.simpleString()] for field in fields]
