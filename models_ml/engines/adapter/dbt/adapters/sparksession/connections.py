"""Connections of the adapter: all threads of a dbt process share one Spark session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dbt.adapters.contracts.connection import Connection, ConnectionState
from dbt.adapters.spark.connections import SparkConnectionManager, SparkConnectionMethod, SparkCredentials
from dbt.adapters.spark.session import Connection as SparkSessionHandle
from dbt.adapters.spark.session import Cursor, SessionConnectionWrapper
from dbt.adapters.sparksession.session import spark_session
from dbt_common.exceptions import DbtRuntimeError
from pyspark.errors import PySparkException

ADAPTER_TYPE = "sparksession"


@dataclass
class SparkSessionCredentials(SparkCredentials):
    """What profiles.yml says of the session.

    Attributes
    ----------
    warehouse : str
        Folder or address of the tables; a folder also holds their metastore, where no other is named.
    metastore : str
        Address of a Hive metastore, such as thrift://host:9083.
    remote : str
        Address of a Spark Connect server, such as sc://host:15002; empty for a session of this process.
    settings : dict
        Spark configuration of the session, by name.
    """

    host: str | None = "session"
    method: SparkConnectionMethod = SparkConnectionMethod.SESSION
    warehouse: str = ""
    metastore: str = ""
    remote: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.server_side_parameters = {}  # dbt-spark would turn off ANSI, and 1/0 would be null

    @property
    def type(self) -> str:
        return ADAPTER_TYPE

    def _connection_keys(self) -> tuple[str, ...]:
        return "schema", "warehouse"  # addresses of servers and settings may hold secrets


class SessionCursor(Cursor):
    """A cursor of the shared session, with the texts of bindings quoted."""

    def __init__(self, credentials: SparkSessionCredentials) -> None:
        super().__init__()
        self._credentials = credentials

    def execute(self, sql: str, *parameters: Any) -> None:
        statement = sql % parameters if parameters else sql
        try:
            self._df = spark_session(self._credentials).sql(statement)
        except PySparkException as error:
            raise DbtRuntimeError(str(error).split("\n\nJVM stacktrace")[0]) from error


class SessionHandle(SparkSessionHandle):
    """What dbt-spark takes for a connection."""

    def __init__(self, credentials: SparkSessionCredentials) -> None:
        super().__init__()
        self._credentials = credentials

    def cursor(self) -> Cursor:
        return SessionCursor(self._credentials)


class SessionWrapper(SessionConnectionWrapper):
    """dbt-spark's wrapper; its bindings would write null as a word and leave quotes as they are."""

    @classmethod
    def _fix_binding(cls, value: Any) -> Any:
        if value is None:
            return "null"
        if isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
        return super()._fix_binding(value)


class SparkSessionConnectionManager(SparkConnectionManager):
    """Opens a connection by naming the shared session; the first statement starts it."""

    TYPE = ADAPTER_TYPE

    @classmethod
    def open(cls, connection: Connection) -> Connection:
        if connection.state != ConnectionState.OPEN:
            connection.handle = SessionWrapper(SessionHandle(connection.credentials))
            connection.state = ConnectionState.OPEN
        return connection
