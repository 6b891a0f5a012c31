"""The adapter: how it runs a Python model, and what macros of the project ask of the engine beside SQL."""

from __future__ import annotations

from collections.abc import Iterable
from glob import glob
from pathlib import Path
from typing import Any

from dbt.adapters.base import BaseRelation, PythonJobHelper, available
from dbt.adapters.spark.impl import SparkAdapter
from dbt.adapters.sparksession.connections import SparkSessionConnectionManager, SparkSessionCredentials
from dbt.adapters.sparksession.expressions import expression_problem
from dbt.adapters.sparksession.relation import SparkSessionRelation
from dbt.adapters.sparksession.session import spark_session
from dbt_common.exceptions import DbtRuntimeError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

MISSING = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND")
ASIDE = "__dbt_new"  # ends the name of a table that is being written, see make_intermediate_relation


class PythonModel(PythonJobHelper):
    """Runs a Python model in dbt's own process, on its session."""

    def __init__(self, parsed_model: dict[str, Any], credentials: SparkSessionCredentials) -> None:
        self._model = parsed_model
        self._credentials = credentials

    def submit(self, compiled_code: str) -> None:
        from models_ml.engines.spark import run_model

        run_model(spark_session(self._credentials), self._model["alias"], compiled_code)


def unfinished_switches(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return old and new name of each table that is whole and has not yet taken the place it was written for.

    Spark registers a table once all of it is written. A driver that is killed after the earlier table was dropped
    leaves the new one under its name aside.

    Examples
    --------
    >>> unfinished_switches(["a", "a__dbt_new", "b__dbt_new"])
    [('b__dbt_new', 'b')]
    """
    present = set(names)
    aside = sorted(name for name in present if name.endswith(ASIDE))
    return [(name, name.removesuffix(ASIDE)) for name in aside if name.removesuffix(ASIDE) not in present]


class SparkSessionAdapter(SparkAdapter):
    """dbt-spark's adapter with Python models, sources that are files, and methods for macros."""

    ConnectionManager = SparkSessionConnectionManager
    Relation = SparkSessionRelation

    def list_relations_without_caching(self, schema_relation: BaseRelation) -> list[BaseRelation]:
        """Return the tables and views of a schema; dbt asks before its first node, so that history is never missed."""
        found = super().list_relations_without_caching(schema_relation)
        unfinished = unfinished_switches(relation.identifier for relation in found)
        for aside, name in unfinished:
            self.execute(
                f"alter table {schema_relation.schema}.{aside} rename to {schema_relation.schema}.{name}"
            )
        return super().list_relations_without_caching(schema_relation) if unfinished else found

    @available
    def remove_leftover(self, relation: SparkSessionRelation) -> None:
        """Remove the folder that a killed run has left where a table of this name belongs, if there is no such table.

        Spark refuses to create a table in a folder that holds files. A Spark Connect server gives no access to its
        files; there the message of Spark names the folder.
        """
        session = spark_session(self.config.credentials)
        if self.config.credentials.remote or session.catalog.tableExists(relation.render()):
            return
        schema = session.catalog.getDatabase(relation.schema).locationUri
        jvm = session._jvm
        folder = jvm.org.apache.hadoop.fs.Path(f"{schema}/{relation.identifier}")
        folder.getFileSystem(session._jsc.hadoopConfiguration()).delete(folder, True)

    @available
    def copy_run(self, schema: str, file: str, comments: dict[str, dict[str, str]]) -> int:
        """Copy the tables of the run into a DuckDB file, see `models_ml.engines.spark_copy`."""
        from models_ml.engines.spark_copy import copy_run

        return copy_run(spark_session(self.config.credentials), schema, Path(file), comments)

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

    @property
    def default_python_submission_method(self) -> str:
        return "session"

    @property
    def python_submission_helpers(self) -> dict[str, type[PythonJobHelper]]:
        return {"session": PythonModel}


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
