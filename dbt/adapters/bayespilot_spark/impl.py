"""The adapter and how it runs a Python model."""

from __future__ import annotations

from typing import Any

from dbt.adapters.base import PythonJobHelper

from dbt.adapters.bayespilot_spark.connections import SessionConnectionManager, SessionCredentials
from dbt.adapters.bayespilot_spark.look_ups import LookUps
from dbt.adapters.bayespilot_spark.relation import SessionRelation
from dbt.adapters.bayespilot_spark.session import spark_session


class PythonModel(PythonJobHelper):
    """Runs a Python model in dbt's own process, on its session."""

    def __init__(self, parsed_model: dict[str, Any], credentials: SessionCredentials) -> None:
        self._model = parsed_model
        self._credentials = credentials

    def submit(self, compiled_code: str) -> None:
        from models_ml.engines.spark import run_model

        run_model(
            spark_session(self._credentials),
            compiled_code,
            table=f"{self._model['schema']}.{self._model['alias']}",
        )


class SessionAdapter(LookUps):
    """dbt-spark's adapter with Python models and sources that are files."""

    ConnectionManager = SessionConnectionManager
    Relation = SessionRelation

    @property
    def default_python_submission_method(self) -> str:
        return "session"

    @property
    def python_submission_helpers(self) -> dict[str, type[PythonJobHelper]]:
        return {"session": PythonModel}
