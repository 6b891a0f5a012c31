"""The documents name only commands, files, selectors and tables that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "DECISIONS.md", "seeds/README.md", "CHANGELOG.md"]
COMMAND_MODULES = ["models_ml.train", "models_ml.decisions", "models_ml.monitoring"]
SCRIPTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "scripts").glob("*.py"))


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    makefile = text_of("Makefile")
    for target in re.findall(r"`make (\w+)|^make (\w+)", text_of(document), re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_selectors_exist(document: str) -> None:
    selectors = text_of("selectors.yml")
    for selector in re.findall(r"--selector (\w+)", text_of(document)):
        assert f"name: {selector}\n" in selectors, selector


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_exist(document: str) -> None:
    named = re.findall(
        r"`((?:dbt_project|models_ml|scripts|seeds|tests)/[\w/.]+\.(?:py|sql|yml|md|toml))`",
        text_of(document),
    )
    for file in named:
        assert (ROOT / file).is_file(), file


def test_tables_of_the_readme_are_models() -> None:
    models = {
        path.stem for folder in ("models", "sources") for path in (ROOT / "dbt_project" / folder).rglob("*.*")
    }
    table = text_of("README.md").split("## What comes out")[1].split("## How data flows")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert len(named) > 8
    assert [name for name in named if name not in models] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself(script: str) -> None:
    finished = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert finished.returncode == 0, finished.stderr
    assert "Usage" in finished.stdout


@pytest.mark.parametrize("module", COMMAND_MODULES)
def test_every_command_explains_itself(module: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert finished.returncode == 0, finished.stderr
    assert "Usage" in finished.stdout


def test_no_document_names_a_path_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout.split()
    own = Path(__file__).name
    pattern = re.compile(r"(?<![\w.])/(?:root|home/[a-z]+|Users)/")
    for file in tracked:
        if file.endswith((".md", ".py", ".sql", ".yml", ".toml", ".csv")) and not file.endswith(own):
            assert not pattern.search(text_of(file)), file
