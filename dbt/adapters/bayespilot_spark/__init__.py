"""dbt adapter for a Spark session: dbt-spark, with what BayesPilot's models need beside it.

dbt loads it for a target of type `bayespilot_spark` and for no other. dbt-spark's own macros (`spark__…`) apply.
"""

from pathlib import Path

from dbt.adapters.base import AdapterPlugin

from dbt.adapters.bayespilot_spark.connections import SessionConnectionManager, SessionCredentials
from dbt.adapters.bayespilot_spark.impl import SessionAdapter

__all__ = ["Plugin", "SessionAdapter", "SessionConnectionManager", "SessionCredentials"]

Plugin = AdapterPlugin(
    adapter=SessionAdapter,
    credentials=SessionCredentials,
    include_path=str(Path(__file__).parent / "include" / "bayespilot_spark"),  # its name is that of the package of macros
    dependencies=["spark"],
)
