"""dbt adapter for a Spark session: dbt-spark, with what BayesPilot's models need beside it.

dbt loads it for a target of type `sparksession` and for no other. dbt-spark's own macros (`spark__…`) apply.
"""

from importlib.util import find_spec

from dbt_common.exceptions import DbtRuntimeError

if not (find_spec("pyspark") and find_spec("dbt.adapters.spark")):
    raise DbtRuntimeError(
        "the target needs Apache Spark, which is not installed\n"
        "  where: the target of type sparksession in profiles.yml\n"
        "  next: .venv/bin/pip install -e '.[spark]' -c constraints.txt, and Java 17 or 21; nothing has been changed"
    )

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
