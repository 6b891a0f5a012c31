"""Relations of the adapter: a source may be a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbt.adapters.contracts.relation import HasQuoting, RelationConfig
from dbt.adapters.spark.relation import SparkRelation
from dbt_common.exceptions import DbtRuntimeError

from models_ml.errors import without_credentials

FORMATS = ("parquet", "orc")


@dataclass(frozen=True, eq=False, repr=False)
class SparkSessionRelation(SparkRelation):
    """A table, view or file. `meta: external_location` of a source names the file, as it does for dbt-duckdb."""

    external: str | None = None

    @classmethod
    def create_from(
        cls, quoting: HasQuoting, relation_config: RelationConfig, **kwargs: Any
    ) -> SparkSessionRelation:
        if relation_config.resource_type == "source":
            location = _location_of(relation_config)
            if location:
                kwargs["external"] = location
        return super().create_from(quoting, relation_config, **kwargs)

    def render(self) -> str:
        if self.external:
            return self.external
        return super().render()


def _location_of(source: RelationConfig) -> str | None:
    """Return the file of a source as Spark SQL names it; nothing where the source is a table of the metastore.

    Raises
    ------
    DbtRuntimeError
        If it is no file of a format that holds its own columns and types.
    """
    template = {**source.source_meta, **source.meta}.get("external_location")
    if not template:
        return None
    path = template.format(name=source.name, identifier=source.identifier, schema=source.schema).strip()
    if path.startswith("'"):
        path = path[1:-1].replace("''", "'")
    kind = path.rsplit(".", 1)[-1].lower()
    if kind not in FORMATS:
        raise DbtRuntimeError(
            f"Spark reads raw files as {' or '.join(FORMATS)}, which hold their columns and types\n"
            f"  where: external_location of the source {source.source_name}, table {source.name}\n"
            f"  first values: {without_credentials(path)}\n"
            "  next: write the table as Parquet, or leave out external_location and name its schema in the metastore"
        )
    return f"{kind}.`{path.replace('`', '``')}`"
