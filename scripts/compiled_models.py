"""The compiled SQL of dbt models, run again on changed raw files without starting dbt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb


class CompiledModels:
    """Table models of a built project, in the order in which dbt built them.

    Views read the raw files anew at each query, so executing the tables again gives what dbt would build.
    """

    def __init__(self, folder: Path, warehouse: Path, names: tuple[str, ...]) -> None:
        nodes = json.loads((folder / "target" / "manifest.json").read_text())["nodes"]
        results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
        order = [nodes[result["unique_id"]]["name"] for result in results if result["unique_id"] in nodes]
        self.statements = [
            (name, _compiled(folder, nodes[f"model.bayespilot.{name}"])) for name in order if name in names
        ]
        missing = set(names) - {name for name, _ in self.statements}
        assert not missing, f"not built: {sorted(missing)}"
        self.connection = duckdb.connect(str(warehouse))
        self.connection.execute("set threads to 2")

    def rebuild(self) -> None:
        """Build every table again."""
        for name, statement in self.statements:
            self.connection.execute(f"create or replace table {name} as {statement}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.connection.execute(sql).fetchall()

    def close(self) -> None:
        """Release the warehouse."""
        self.connection.close()


def _compiled(folder: Path, node: dict[str, Any]) -> str:
    return (folder / node["compiled_path"]).read_text()
