"""Run dbt-project-evaluator on a copy of this project; exit 1 where it finds what is not excepted.

    .venv/bin/python .ci/evaluate_project.py                     # fetches the package with dbt deps
    .venv/bin/python .ci/evaluate_project.py --packages FOLDER   # holds dbt_project_evaluator/ and dbt_utils/

Its variables and exceptions, each with a reason, stand in .ci/project_evaluator. They are laid over the copy, which has
its own warehouse: neither the project nor a warehouse of its users learns of the package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
OVERLAY = PROJECT / ".ci" / "project_evaluator"
PACKAGES = ("dbt_project_evaluator", "dbt_utils")
DBT = Path(sys.executable).with_name("dbt")


def copy_project(folder: Path) -> None:
    """Copy the files that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)


def lay_over(folder: Path) -> None:
    """Add variables and exceptions of the package to the copy."""
    path = folder / "dbt_project.yml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, values in yaml.safe_load((OVERLAY / "dbt_project.yml").read_text(encoding="utf-8")).items():
        settings[key] = settings.get(key, {}) | values if isinstance(values, dict) else values
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    shutil.copy2(
        OVERLAY / "exceptions.csv", folder / "seeds" / "demo" / "dbt_project_evaluator_exceptions.csv"
    )


def dbt(folder: Path, *arguments: str) -> int:
    """Run dbt in the copy, on a warehouse of its own; return its exit code."""
    environment = os.environ | {
        "DBT_PROFILES_DIR": str(folder),
        "RETENTION_DB": str(folder / "evaluated.duckdb"),
        "DO_NOT_TRACK": "1",
    }
    return subprocess.run([DBT, "--no-use-colors", *arguments], cwd=folder, env=environment).returncode


def add_packages(folder: Path, packages: Path | None) -> bool:
    """Put the package and what it needs into the copy; return whether that was possible."""
    if packages is None:
        shutil.copy2(OVERLAY / "packages.yml", folder)
        return dbt(folder, "deps") == 0
    for name in PACKAGES:
        if not (packages / name / "dbt_project.yml").is_file():
            return False
        shutil.copytree(packages / name, folder / "dbt_packages" / name)
    return True


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder that holds " + " and ".join(PACKAGES))
    packages = parser.parse_args().packages
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_project(folder)
        lay_over(folder)
        if not add_packages(folder, packages):
            sys.stderr.write(
                f"{' and '.join(PACKAGES)} cannot be had from {packages or 'hub.getdbt.com'}.\nNext: clone"
                " github.com/dbt-labs/dbt-project-evaluator and github.com/dbt-labs/dbt-utils into folders of these"
                " names and run this again with --packages FOLDER\n"
            )
            return 2
        exceptions = "dbt_project_evaluator_exceptions"
        return dbt(folder, "build", "--quiet", "--select", "package:dbt_project_evaluator", exceptions)


if __name__ == "__main__":
    sys.exit(main())
