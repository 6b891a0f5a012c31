"""The one Spark session of a dbt process."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dbt.include.sparksession import PACKAGE_PATH
from dbt_common.exceptions import DbtRuntimeError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from models_ml.errors import without_credentials

if TYPE_CHECKING:
    from dbt.adapters.sparksession.connections import SparkSessionCredentials

# What every table and expression of the project takes for granted, on this machine and on a cluster.
# A timestamp has no zone (as DuckDB's), days are UTC, and 1/0 or a failing cast stop the run.
MEANINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.sources.default": "parquet",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    # Changes no result: what Spark infers from columns made of many others grows without bound, and so does planning.
    "spark.sql.constraintPropagation.enabled": "false",
}

LOG_SETTINGS = Path(PACKAGE_PATH) / "log4j2.properties"

_LOCK = threading.Lock()
_SESSIONS: dict[str, SparkSession] = {}


def spark_session(credentials: SparkSessionCredentials) -> SparkSession:
    """Return the session that these credentials describe, starting it first where there is none.

    Raises
    ------
    DbtRuntimeError
        If the session cannot be started; the message says what is needed.
    """
    with _LOCK:
        session = _SESSIONS.get(credentials.remote)
        if session is None:
            session = _SESSIONS[credentials.remote] = _started(credentials)
        return session


def _started(credentials: SparkSessionCredentials) -> SparkSession:
    warnings.filterwarnings(
        "ignore", message="PySpark does not yet fully support pandas", category=FutureWarning
    )
    settings = {name: str(value) for name, value in credentials.settings.items() if str(value)}
    try:
        if credentials.remote:
            session = SparkSession.builder.remote(credentials.remote).getOrCreate()
            for name, value in MEANINGS.items():
                session.conf.set(name, value)
            return session
        if settings.get("spark.master", "local").startswith("local"):
            os.environ.setdefault(
                "PYSPARK_PYTHON", sys.executable
            )  # functions of batches need this environment
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # nothing of it is open to the network
        builder = SparkSession.builder.appName("bayespilot").enableHiveSupport()
        for name, value in {**_tables_in(credentials), **settings, **MEANINGS}.items():
            builder = builder.config(name, value)
        return builder.getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise DbtRuntimeError(
            f"Spark did not start: {str(error).splitlines()[0]}\n"
            "  where: the target of type sparksession in profiles.yml"
            f"{', server ' + without_credentials(credentials.remote) if credentials.remote else ''}\n"
            "  next: install Java 17 or 21 (JAVA_HOME names it where it is not on the path), see that SPARK_MASTER or"
            " SPARK_REMOTE name a running cluster if they are set, and run the command again; nothing has been changed"
        ) from error


def _tables_in(credentials: SparkSessionCredentials) -> dict[str, str]:
    """Where tables lie, and the metastore that knows them: beside them where no other is named."""
    is_folder = "://" not in credentials.warehouse
    warehouse = Path(credentials.warehouse).resolve() if is_folder else None
    tables = warehouse / "tables" if warehouse else credentials.warehouse
    found = {"spark.sql.warehouse.dir": str(tables)}
    options = [f"-Dlog4j2.configurationFile={LOG_SETTINGS}"]
    if credentials.metastore:
        found["spark.hadoop.hive.metastore.uris"] = credentials.metastore
    elif warehouse:
        warehouse.mkdir(parents=True, exist_ok=True)
        found["spark.hadoop.javax.jdo.option.ConnectionURL"] = (
            f"jdbc:derby:;databaseName={warehouse / 'metastore'};create=true"
        )
        options.append(f"-Dderby.stream.error.file={warehouse / 'metastore.log'}")
    return {**found, "spark.driver.extraJavaOptions": " ".join(options)}
