"""The documents name only commands, files, selectors and tables that exist."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
from conftest import ROOT
from forked_commands import run_forked

from models_ml.cli import app

DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "DECISIONS.md", "seeds/README.md", "CHANGELOG.md"),
    "models_ml/engines/README.md",
]
REQUIRED = {
    "promote": ["VERSION"],
    "init": ["acme"],
    "erase": ["CUSTOMER"],
    "uplift": ["FILE", "--treatment", "arm", "--outcome", "sold", "--value", "10", "--cost", "0.15"],
}  # arguments of commands that a sentence may name alone
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "scripts").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


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
        r"[`(]((?:dbt_project|models_ml|scripts|seeds|tests)/[\w/.<>]+\.(?:py|sql|yml|md|toml|csv))[`)]",
        text_of(document),
    )
    for file in named:
        assert (ROOT / re.sub(r"<\w+>", "demo", file)).is_file(), file


def commands_in(document: str) -> list[list[str]]:
    """Return the arguments of every ``bayespilot …`` in code, on a line of its own or within a sentence."""
    text = text_of(document)
    lines = re.findall(r"^(?: {4}|15 4 .*&& )?(?:\.venv/bin/)?bayespilot (.*)$", text, re.MULTILINE)
    spoken = re.findall(r"`(?:\.venv/bin/)?bayespilot ([^`]+)`", text)
    return [shlex.split(found.split(">>")[0], comments=True) for found in (*lines, *spoken)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_named_is_understood(document: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = commands_in(document)
    assert len(found) > 20 or document != "README.md"
    for name, *arguments in found:
        if name == "--help":
            continue
        assert name in commands, name
        given = arguments or REQUIRED.get(name, [])
        commands[name].make_context(name, list(given))  # a usage error where an option does not exist


def test_every_policy_parameter_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", text_of("seeds/README.md")))
    for source in ("demo", "online_retail"):
        rows = csv.DictReader(text_of(f"seeds/{source}/policy.csv").splitlines())
        assert [row["parameter"] for row in rows if row["parameter"] not in described] == []


def test_the_readme_lists_every_command() -> None:
    table = text_of("README.md").split("## The command line")[1].split("## How data flows")[0]
    named = re.findall(r"`bayespilot ([\w-]+)`", table)
    assert set(named) == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_things_are_where_the_readme_says() -> None:
    rows = text_of("README.md").split("## Where things are")[1].split("\n\n")[1].splitlines()[2:]
    place = {cells[1].strip(): cells[2].strip() for cells in (row.split("|") for row in rows)}

    def file_of(topic: str) -> str:
        (cell,) = (where for what, where in place.items() if topic in what)
        return (ROOT / cell.split("`")[1].replace("<source>", "demo")).read_text(encoding="utf-8")

    assert "cool_down" in file_of("suppression rules")
    assert "no_consent" in file_of("suppression by consent")
    assert "def customer_value" in file_of("V, expected value")
    assert "def choose_actions" in file_of("the choice under limits")
    assert "monthly_budget" in {row["parameter"] for row in csv.DictReader(file_of("budget").splitlines())}
    assert "psi_warn" in file_of("limits of drift").split("\n[limits]\n")[1]
    assert "planned_contacts" in file_of("what writes `policy_runs`")
    assert "maximum: " in file_of("bounds of parameters")


def seeds() -> set[str]:
    return {path.name for path in (ROOT / "seeds" / "demo").glob("*.csv")}


def test_bringing_data_names_every_seed_and_every_staging_model() -> None:
    recipe = text_of("README.md").split("## Bring your own data")[1].split("### ")[0]
    assert set(re.findall(r"`(\w+\.csv)`", recipe)) == seeds()
    staging = {path.stem for path in (ROOT / "dbt_project" / "sources" / "demo").glob("stg_*.sql")}
    added = text_of("CONTRIBUTING.md").split("## Add a source")[1].split("## ")[0]
    assert set(re.findall(r"`(stg_\w+)`", added)) == staging
    numbers = {6: "six", 7: "seven", 8: "eight"}
    assert f"{numbers[len(staging)]} `stg_*.sql`" in recipe
    assert f"{numbers[len(seeds())]} seeds" in recipe


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
    assert "Usage" in help_of(Path(script).stem, ROOT / Path(script).parent)


def help_of(module: str, folder: Path) -> str:
    code, stdout, stderr, *_ = run_forked(
        ("python", "-m", module, "--help"), cwd=folder, environment=os.environ
    )
    assert code == 0, stderr
    return stdout


def test_training_still_explains_itself_as_a_module() -> None:
    said = help_of("models_ml.train", ROOT)
    for option in ("--source", "--baseline", "--promote", "--rollback", "--list"):
        assert option in said


def test_make_help_lists_every_task() -> None:
    finished = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT)
    makefile = text_of("Makefile")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    listed = re.findall(r"^make ([\w-]+) ", finished.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())


def test_pre_commit_runs_what_lint_runs() -> None:
    lint = text_of("Makefile").split("\nlint:")[1].split("\ntest:")[0]
    hooks = re.findall(r"entry: (.*)", text_of(".pre-commit-config.yaml"))
    tools = [line.removeprefix("$(BIN)/") for line in lint.split() if line.startswith("$(BIN)/")]
    assert sorted(tools) == sorted(hook.split()[0] for hook in hooks)


def test_no_document_names_a_path_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout.split()
    own = Path(__file__).name
    pattern = re.compile(r"(?<![\w.])/(?:root|home/[a-z]+|Users)/")
    for file in tracked:
        if file.endswith((".md", ".py", ".sql", ".yml", ".toml", ".csv")) and not file.endswith(own):
            assert not pattern.search(text_of(file)), file
