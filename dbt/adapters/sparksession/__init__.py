"""dbt adapter for a Spark session: dbt-spark, with what BayesPilot's models need beside it.

dbt loads it for a target of type `sparksession` and for no other. dbt-spark's own macros (`spark__…`) apply.
"""

from dbt.adapters.base import AdapterPlugin

from dbt.adapters.sparksession.connections import SparkSessionConnectionManager, SparkSessionCredentials
from dbt.adapters.sparksession.impl import SparkSessionAdapter
from dbt.include.sparksession import PACKAGE_PATH

__all__ = ["Plugin", "SparkSessionAdapter", "SparkSessionConnectionManager", "SparkSessionCredentials"]

Plugin = AdapterPlugin(
    adapter=SparkSessionAdapter,
    credentials=SparkSessionCredentials,
    include_path=PACKAGE_PATH,
    dependencies=["spark"],
)
