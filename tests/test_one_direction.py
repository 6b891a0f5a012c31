"""Models stand in folders of one direction: each refers only to its own folder or an earlier one."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Project
from shared_parsing import PARSED_VARIABLES

from models_ml.decisions.policy import policy_bounds

MODELS = "dbt_project/models/"
MOST_MODELS = 20  # from a raw table or a seed to retention_actions
Nodes = dict[str, dict[str, Any]]


def folder_order() -> list[str]:
    """Return the folders in the order in which dbt_project.yml lists them, staging first."""
    configured = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["models"]["bayespilot"]
    return ["staging", *(name for name in configured if not name.startswith("+"))]


def folder_of(node: dict[str, Any]) -> str:
    """Return the folder of a model; the models of a source are staging."""
    path = str(node["original_file_path"])
    return path.removeprefix(MODELS).split("/")[0] if path.startswith(MODELS) else "staging"


def references(node: dict[str, Any]) -> list[str]:
    return [str(parent) for parent in node["depends_on"]["nodes"]]


def turned_arrows(models: Nodes, order: list[str]) -> list[str]:
    """Return the references to a later folder, as texts."""
    place = {name: position for position, name in enumerate(order)}
    return [
        f"{folder_of(node)}/{node['name']} refers to {folder_of(models[parent])}/{models[parent]['name']}"
        for node in models.values()
        for parent in references(node)
        if parent in models and place[folder_of(models[parent])] > place[folder_of(node)]
    ]


def longest_path(models: Nodes, last: str) -> list[str]:
    """Return the names on the longest path of models that ends in ``last``."""

    @cache
    def path(model: str) -> tuple[str, ...]:
        paths = [path(parent) for parent in references(models[model]) if parent in models]
        return (*max(paths, key=len, default=()), model.rsplit(".", 1)[-1])

    return list(path(f"model.bayespilot.{last}"))


def parsed(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the manifest of the project, freshly parsed into a folder."""
    Project(ROOT).dbt("parse", "--target-path", str(folder), "--no-partial-parse", *arguments)
    manifest: dict[str, Any] = json.loads(Path(folder, "manifest.json").read_text())
    return manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parsed(tmp_path_factory.mktemp("parsed"))


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> Nodes:
    """The models of a freshly parsed project."""
    nodes = manifest["nodes"]
    return {unique_id: node for unique_id, node in nodes.items() if node["resource_type"] == "model"}


def test_every_folder_has_a_place_in_the_order(models: Nodes) -> None:
    assert {folder_of(node) for node in models.values()} == set(folder_order())


def test_a_model_refers_only_to_its_own_or_an_earlier_folder(models: Nodes) -> None:
    assert turned_arrows(models, folder_order()) == []


def test_a_turned_arrow_is_found(models: Nodes) -> None:
    run = models["model.bayespilot.int_run"]
    turned = models | {
        "model.bayespilot.int_run": run
        | {"depends_on": {"nodes": [*references(run), "model.bayespilot.churn_scores"]}}
    }
    assert turned_arrows(turned, folder_order()) == ["parameters/int_run refers to scoring/churn_scores"]


def test_the_way_to_retention_actions_is_short(models: Nodes) -> None:
    path = longest_path(models, "retention_actions")
    assert len(path) <= MOST_MODELS, " > ".join(path)


def test_a_run_has_finished_when_every_model_is_built(models: Nodes) -> None:
    before, wanted = set(), ["model.bayespilot.int_finished_run"]
    while wanted:
        name = wanted.pop()
        if name not in before:
            before.add(name)
            wanted += [parent for parent in references(models[name]) if parent in models]
    assert models.keys() - before == set(), "refer to them in int_finished_run"


# A value of each variable that SQL reads when it is compiled, but the policy parameters, all of which are set as well.
READ_LATER: dict[str, Any] = {
    "as_of_date": "2026-10-12",
    "retrain": True,
    "allow_miscalibrated": True,
    "allow_lost_input": ["activity"],
    "rebuild_dates": ["2026-08-31"],
    "channel_capacity": {"email": 3},
    "other_variables": ["another"],
}


def test_variables_that_share_a_parsing_change_nothing_of_it(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    declared = (ROOT / "dbt_project" / "macros" / "variables.sql").read_text()
    listed = declared.split("project_variables() %}")[1].split("endmacro")[0]
    assert {*READ_LATER, *PARSED_VARIABLES} == set(re.findall(r"'(\w+)': ", listed))
    variables = READ_LATER | dict.fromkeys(policy_bounds(), 1)
    again = parsed(tmp_path, "--vars", json.dumps(variables))
    for kind in ("nodes", "sources", "macros", "exposures", "unit_tests", "disabled"):
        assert without_times(again[kind]) == without_times(manifest[kind]), kind


def without_times(parts: Any) -> Any:
    if isinstance(parts, list):
        return [without_times(part) for part in parts]
    if not isinstance(parts, dict):
        return parts
    return {name: without_times(part) for name, part in parts.items() if name != "created_at"}
