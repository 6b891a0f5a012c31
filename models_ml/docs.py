"""dbt docs in which a column that a model passes on is described by the model that says what it is.

In YAML, a pass-through model lists its keys and what it changes; a text stands once. ``dbt docs generate`` shows such a
model with empty descriptions. They are completed in ``manifest.json``, which the docs page and other readers of dbt's
artifacts take them from; nothing else is changed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from models_ml.dbt_build import dbt_environment, dbt_program
from models_ml.errors import BayesPilotError
from models_ml.files import write_text
from models_ml.paths import project_root
from models_ml.warehouse import open_warehouse

PATTERNS = "generated_columns"  # meta of a model: description by pattern, for columns that SQL generates
RELATIONS = ("model", "seed", "snapshot", "source")


def generate(source: str) -> tuple[Path, list[str]]:
    """Write dbt docs of a built warehouse and complete their descriptions.

    Returns
    -------
    folder : Path
        Holds ``manifest.json`` and ``catalog.json``; ``dbt docs serve`` shows them.
    undescribed : list of str
        Columns, as model.column, that nothing describes.

    Raises
    ------
    BayesPilotError
        If dbt could not write the docs, such as before the first build.
    """
    with open_warehouse(source):  # raises where there is none to describe
        root = project_root()
    command = [dbt_program(), "--quiet", "docs", "generate", "--vars", json.dumps({"source": source})]
    if subprocess.run(command, cwd=root, env=dbt_environment()).returncode:
        raise BayesPilotError(
            "dbt could not write the docs; its message stands above",
            next_step=f"bayespilot run --source {source}, then bayespilot docs --source {source}",
        )
    folder = root / os.environ.get("DBT_TARGET_PATH", "target")
    manifest, catalog = (
        json.loads((folder / name).read_text("utf-8")) for name in ("manifest.json", "catalog.json")
    )
    undescribed = describe_passed_on(manifest, catalog)
    write_text(folder / "manifest.json", json.dumps(manifest))
    return folder, undescribed


def describe_passed_on(manifest: dict[str, Any], catalog: Mapping[str, Any]) -> list[str]:
    """Complete descriptions of columns in ``manifest``; return the columns, as model.column, left without one.

    A column without a description of its own has that of its pattern in the model's meta, ``generated_columns``; else
    that of the column of the same name in what the model reads; else, for Python models below a face in SQL, in
    what reads the model. Texts are only taken where all that are found agree: a name with two meanings has to be
    described. The column's meta names, as ``described_by``, where the text stands.

    Parameters
    ----------
    manifest, catalog : dict
        dbt's artifacts of these names, after ``dbt docs generate``.
    """
    graph = _Graph(manifest, catalog)
    found = {
        (relation, column): graph.description(relation, column)
        for relation in graph.columns
        for column in graph.columns[relation]
        if not graph.listed(relation, column)
    }
    for (relation, column), text in found.items():
        if text:
            described = graph.nodes[relation]["columns"].setdefault(column, _unlisted(column))
            described["description"], author = text
            described["meta"] |= {"described_by": graph.nodes[author]["name"]}
    return [
        f"{graph.nodes[relation]['name']}.{column}" for (relation, column), text in found.items() if not text
    ]


def _unlisted(column: str) -> dict[str, Any]:
    """Return an entry of a column as dbt writes it, without a text."""
    return {"name": column, "description": "", "data_type": None, "meta": {}, "tags": [], "constraints": []}


class _Graph:
    """Relations of the warehouse with their columns, and what reads what."""

    def __init__(self, manifest: Mapping[str, Any], catalog: Mapping[str, Any]) -> None:
        self.nodes: dict[str, Any] = {
            name: node
            for name, node in {**manifest["nodes"], **manifest["sources"]}.items()
            if node["resource_type"] in RELATIONS
        }
        self.columns = {
            name: [column.lower() for column in relation["columns"]]
            for name, relation in {**catalog["nodes"], **catalog["sources"]}.items()
            if name in self.nodes
        }
        self.reads = {
            name: [
                read
                for read in self.nodes[name].get("depends_on", {}).get("nodes", [])
                if read in self.columns
            ]
            for name in self.columns
        }
        self.readers: dict[str, list[str]] = {name: [] for name in self.columns}
        for name, read in ((name, read) for name, reads in self.reads.items() for read in reads):
            self.readers[read].append(name)

    def listed(self, relation: str, column: str) -> str:
        """Return the description that YAML gives to the column itself."""
        return self.nodes[relation]["columns"].get(column, {}).get("description", "").strip()

    def own(self, relation: str, column: str) -> str:
        """Return what the relation says of a column: of itself, or of a pattern that it matches."""
        patterns = self.nodes[relation].get("config", {}).get("meta", {}).get(PATTERNS, {})
        by_pattern = (text for pattern, text in patterns.items() if fnmatchcase(column, pattern))
        return self.listed(relation, column) or next(by_pattern, "")

    def description(self, relation: str, column: str) -> tuple[str, str] | None:
        """Return the text of a column that YAML does not list, and the relation in which it stands."""
        text = self.own(relation, column)
        if text:
            return text, relation
        for neighbours in (self.reads, self.readers):
            texts = self._texts(relation, column, neighbours)
            if texts:
                return next(iter(texts.items())) if len(texts) == 1 else None
        return None

    def _texts(self, relation: str, column: str, neighbours: Mapping[str, list[str]]) -> dict[str, str]:
        """Return the different texts of a column in the nearest relations of each way, and where they stand."""
        texts: dict[str, str] = {}
        for neighbour in (name for name in neighbours[relation] if column in self.columns[name]):
            text = self.own(neighbour, column)
            texts |= {text: neighbour} if text else self._texts(neighbour, column, neighbours)
        return texts
