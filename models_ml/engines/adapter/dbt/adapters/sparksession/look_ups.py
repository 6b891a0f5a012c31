"""What macros of the project ask of the engine beside SQL."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from dbt.adapters.base import available
from dbt.adapters.spark.impl import SparkAdapter
from dbt.adapters.sparksession.expressions import expression_problem
from dbt.adapters.sparksession.session import spark_session
from dbt_common.exceptions import DbtRuntimeError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

MISSING = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND")


class LookUps(SparkAdapter):
    """dbt-spark's adapter with methods for macros."""

    @available
    def text_of_file(self, path: str) -> str:
        """Return the text of a file of the project, which the driver reads."""
        return Path(path).read_text(encoding="utf-8")

    @available
    def files_like(self, pattern: str) -> list[str]:
        """Return the files of a pattern of paths that the driver sees, in the order of their names."""
        return sorted(str(Path(file).resolve()) for file in glob(pattern))

    @available
    def expression_problem(
        self, expression: str, kind: str, features: list[list[str]], allowed: list[str]
    ) -> str | None:
        """Return what is wrong with the SQL of an offer, in words; nothing where it may be used.

        Parameters
        ----------
        expression : str
            One scalar expression over features.
        kind : str
            What it must yield: ``condition`` or ``number``.
        features : list
            Name and type of each column that it may read.
        allowed : list
            The functions and operators that it may call.
        """
        columns = ", ".join(f"cast(null as {type_}) as {name}" for name, type_ in features)
        return expression_problem(
            expression,
            kind,
            [name for name, _ in features],
            allowed,
            yielded_type=lambda text: _type_of(
                spark_session(self.config.credentials),
                f"select ({text}\n) as yielded from (select {columns})",
            ),
        )

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


def _type_of(session: SparkSession, query: str) -> str:
    """Return the type of the one column of a query, which is planned and not run.

    Raises
    ------
    ValueError
        If Spark cannot read or plan it; the text is the first line of its error.
    """
    try:
        return str(session.sql(query).schema.fields[0].dataType.simpleString())
    except PySparkException as error:
        raise ValueError(str(error).strip().splitlines()[0]) from error
