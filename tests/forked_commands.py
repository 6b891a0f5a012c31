"""Commands in processes that have loaded dbt and the project's libraries already.

Loading them takes a command several seconds. One process a session loads them, lets dbt parse a project of a few files,
and forks for each command: that has an environment, a working directory, output and memory of its own, as if it had
been started anew.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, inspect

# What commands of dbt, trainings and reports import, beside the modules of this project.
LOADED = (
    "dbt.cli.main",
    "dbt.task.build",
    "dbt.adapters.duckdb.environments.local",
    "pandas",
    "pyarrow.dataset",
    "shap",
    "matplotlib.backends.backend_svg",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "alembic.command",
)
NOT_LOADED = ("models_ml.app", "models_ml.engines")  # each needs an extra
# A project with one of each kind of node, and the macros of this one: dbt generates code for a kind, and compiles the
# text of a macro, when a process first meets them.
PARSED_ONCE = {
    "dbt_project.yml": f"""
name: parsed_once
profile: parsed_once
macro-paths: ["{Path(__file__).resolve().parent.parent / "dbt_project" / "macros"}"]
""",
    "profiles.yml": """
parsed_once: {target: dev, outputs: {dev: {type: duckdb, path: ":memory:"}}}
""",
    "seeds/rows.csv": "id\n1\n",
    "tests/none.sql": "select * from {{ ref('model') }} where false",
    "models/model.sql": "select * from {{ ref('rows') }} union all select * from {{ source('raw', 'rows') }}",
    "models/docs.md": "{% docs id %}One of each.{% enddocs %}",
    "models/all.yml": """
groups: [{name: team, owner: {name: Team}}]
sources: [{name: raw, tables: [{name: rows, columns: [{name: id, data_tests: [not_null]}]}]}]
exposures: [{name: page, type: dashboard, owner: {name: Team}, depends_on: [ref('model')]}]
models:
  - name: model
    config: {group: team, access: public, contract: {enforced: true}}
    constraints: [{type: check, expression: id > 0}]
    columns: [{name: id, data_type: int, description: "{{ doc('id') }}", data_tests: [unique]}]
unit_tests:
  - name: unit
    model: model
    given: [{input: ref('rows'), rows: [{id: 1}]}, {input: "source('raw', 'rows')", rows: []}]
    expect: {rows: [{id: 1}]}
""",
}
CODE = "import forked_commands; forked_commands.serve()"


def is_forked(command: Sequence[str]) -> bool:
    """Return whether a command is dbt, bayespilot, or a module of this Python."""
    return command[0] in ("dbt", "bayespilot") or tuple(command[:2]) == ("python", "-m")


def run_forked(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]
) -> tuple[int, str, str, float, resource.struct_rusage]:
    """Run a command to its end; return its exit code, stdout, stderr, elapsed seconds and usage."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        started = time.perf_counter()
        asked = [list(command), str(cwd), dict(environment), str(stdout), str(stderr)]
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status, used = json.loads(server.stdout.readline())
        return (
            os.waitstatus_to_exitcode(status),
            stdout.read_text(encoding="utf-8", errors="replace"),
            stderr.read_text(encoding="utf-8", errors="replace"),
            time.perf_counter() - started,
            resource.struct_rusage(used),
        )


@cache
def _server() -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", CODE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    @atexit.register
    def end() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()

    return server


def serve() -> None:
    """Load what commands need, then fork for each command that standard input names, until that is closed."""
    sys.path.remove(str(Path(__file__).parent))  # commands find no module of the tests
    _load()
    folder = Path(tempfile.mkdtemp())
    _parse_once(folder / "parsed_once")
    _fill_stores_once(folder / "empty.db")
    gc.freeze()  # what is loaded stays; commands need not look through it
    gc.set_threshold(100_000, 50, 50)  # a manifest is many objects, none of them garbage
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(*json.loads(line))
            return
        _, status, used = os.wait4(child, 0)
        sys.stdout.write(json.dumps([status, list(used)]) + "\n")
        sys.stdout.flush()
    shutil.rmtree(folder)


def _load() -> None:
    import models_ml
    from models_ml.deployment import tracking

    os.environ.update(tracking._ENVIRONMENT)  # as trainings do before they load MLflow
    for name in LOADED:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(models_ml.__path__, "models_ml."):
        if not module.name.startswith(NOT_LOADED):
            importlib.import_module(module.name)


def _parse_once(folder: Path) -> None:
    """Let dbt generate and compile once what every command needs.

    Nothing here may start a thread, as connections and the static parser do: a command would wait for it for ever.
    """
    from dbt.cli.main import dbtRunner
    from dbt_common.clients.jinja import template_cache

    for name, content in PARSED_ONCE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content.lstrip(), encoding="utf-8")
    options = ["--quiet", "--log-level-file", "none", "--no-static-parser"]
    parse = [*options, "parse", "--project-dir", str(folder), "--profiles-dir", str(folder)]
    for _ in range(2):  # the second reads what the first has written
        parsed = dbtRunner().invoke(parse)
        assert parsed.success, parsed.exception
    for macro in parsed.result.macros.values():
        template_cache.get_node_template(macro)


def _fill_stores_once(empty: Path) -> None:
    """Let commands copy the first new store of MLflow, as it was before its first record; migrations fill that."""
    from mlflow.store.db import utils

    migrate = utils._initialize_tables

    def fill(engine: Engine) -> None:
        if engine.dialect.name != "sqlite" or inspect(engine).get_table_names():
            migrate(engine)
            return
        store = str(engine.url.database)
        if empty.exists():
            _copy_store(str(empty), store)
        else:
            migrate(engine)
            _copy_store(store, f"{empty}.new")
            Path(f"{empty}.new").replace(empty)

    utils._initialize_tables = fill


def _copy_store(source: str, target: str) -> None:
    with closing(sqlite3.connect(source)) as whole, closing(sqlite3.connect(target)) as copy:
        whole.backup(copy)


def _become(command: list[str], cwd: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    """Run a command in this process, which then ends as the command does."""
    for number, file in ((0, os.devnull), (1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if command[0] == "python":
        _, _, module, *arguments = command
        sys.argv = [module, *arguments]
        sys.path.insert(0, cwd)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        name, function = {"dbt": ("dbt.cli.main", "cli"), "bayespilot": ("models_ml.cli", "app")}[command[0]]
        sys.argv = command
        getattr(importlib.import_module(name), function)()
