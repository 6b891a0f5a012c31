"""Packages of models_ml import each other in one direction; imports inside functions count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = "models_ml"
ORDER = (  # a module imports from its own group and from earlier ones
    ("errors", "paths", "files", "warehouse", "settings_file"),
    ("evaluation",),
    ("decisions",),
    ("training",),
    ("deployment",),
    ("scoring",),
    ("effects",),
    ("monitoring",),
    ("reports",),
    ("terminal",),
    ("serving",),
    ("uplift",),
    (
        "train_and_deploy",
        "dbt_build",
        "docs",
        "published_history",
        "published_tables",
        "publish",
        "app",
        "summary",
        "engines",
        "erase",
        "run",
        "train",
        "raw_tables",
        "new_source",
        "cli",
    ),
)
PLACE = {name: position for position, group in enumerate(ORDER) for name in group}


def modules(root: Path) -> dict[str, Path]:
    """Return the modules below ``root`` by their dotted names, packages included."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that a file imports, wherever the import stands in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def turned_arrows(root: Path) -> list[str]:
    """Return the imports of a later package, as texts."""
    return [
        f"{name}, line {line}: {target}"
        for name, path in modules(root).items()
        for line, target in imports(path)
        if name != PACKAGE
        and target.startswith(f"{PACKAGE}.")
        and PLACE[target.split(".")[1]] > PLACE[name.split(".")[1]]
    ]


def circles(root: Path) -> list[str]:
    """Return circles of imports among modules, as texts; only imports at the top of a file count."""
    known = modules(root)
    graph: dict[str, list[str]] = {}
    for name, path in known.items():
        top = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom)
        ]
        graph[name] = [
            full if (full := f"{node.module}.{alias.name}") in known else str(node.module)
            for node in top
            for alias in node.names
            if node.module in known
        ]
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            found.append(" > ".join((*path[path.index(name) :], name)))
        elif name not in done:
            done.add(name)
            for target in graph[name]:
                visit(target, (*path, name))

    for name in graph:
        visit(name, ())
    return found


def test_every_package_has_a_place_in_the_order() -> None:
    names = {name.split(".")[1] for name in modules(ROOT) if name != PACKAGE}
    assert names - PLACE.keys() == set()


def test_packages_import_in_one_direction() -> None:
    assert turned_arrows(ROOT) == []


def test_modules_do_not_import_in_circles() -> None:
    assert circles(ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "from models_ml.training.settings import load_settings",
        "import models_ml.training.settings",
        "from models_ml import training",
        "def late() -> None:\n    from models_ml.training import settings",
    ],
)
def test_a_turned_arrow_is_found(tmp_path: Path, line: str) -> None:
    for name, text in (
        ("decisions/policy", line),
        ("training/settings", "from models_ml.decisions import policy"),
    ):
        file = tmp_path / PACKAGE / f"{name}.py"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (found,) = turned_arrows(tmp_path)
    assert found.startswith("models_ml.decisions.policy, line ")


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / PACKAGE).mkdir()
    for name, target in (("one", "two"), ("two", "three"), ("three", "one")):
        (tmp_path / PACKAGE / f"{name}.py").write_text(f"from models_ml.{target} import value\n")
    assert len(circles(tmp_path)) == 1


def test_deciding_does_without_scikit_learn() -> None:
    """`bayespilot run --selector decide` starts a second earlier, because nothing in it is fitted or scored."""
    folders = [
        ROOT / "dbt_project/models" / folder
        for folder in ("parameters", "effects", "decisions", "monitoring")
    ]
    used = {
        name
        for folder in folders
        for path in folder.glob("*.py")
        for _, name in imports(path)
        if name.startswith(PACKAGE)
    }
    assert len(used) > 5
    lines = [f"import {name.rsplit('.', 1)[0]}" for name in sorted(used)] + [
        "import sys",
        "assert 'sklearn' not in sys.modules",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
