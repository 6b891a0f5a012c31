"""A published run for tests of the service, made from the project that the session has built."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Project

from models_ml.publish import publish
from models_ml.serving.deciding import Answered, Asked, decide_now
from models_ml.serving.promises import Promises
from models_ml.serving.published_run import PublishedRun
from models_ml.serving.snapshot import CUSTOMERS, SNAPSHOT

SOURCE = "demo"


def publish_run(project: Project, published: Path) -> Path:
    """Publish the run of a built project into a folder of its own; return the folder of the run."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DBT_PROFILES_DIR", str(project.folder))  # whose pipelines are meant
        return publish(SOURCE, project.warehouse(SOURCE), published).run_folder


def copy_run(published: Path, folder: Path, name: str) -> Path:
    """Copy a published run, without pointing the link at it."""
    copied = published / "runs" / name
    shutil.copytree(folder, copied)
    return copied


def point_to(published: Path, folder: Path) -> None:
    """Point the link ``current`` at a run, in one step."""
    aside = published / f".current.{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(folder.relative_to(published))
    aside.replace(published / "current")


def change_facts(folder: Path, *customers: str, **facts: Any) -> None:
    """Change what a published run knows of customers; ``nightly`` is merged into what is there."""
    nightly = facts.pop("nightly", {})
    (folder / SNAPSHOT / CUSTOMERS).chmod(0o644)
    with closing(sqlite3.connect(folder / SNAPSHOT / CUSTOMERS)) as connection, connection:
        for customer in customers:
            (stored,) = connection.execute(
                "select facts from customers where customer_id = ?", [customer]
            ).fetchone()
            known = json.loads(stored)
            text = json.dumps({**known, **facts, "nightly": {**known["nightly"], **nightly}})
            connection.execute("update customers set facts = ? where customer_id = ?", [text, customer])


def customers_of(project: Project) -> list[Asked]:
    """Return every customer of the run with the features that the run saw."""
    with duckdb.connect(str(project.warehouse(SOURCE)), read_only=True) as connection:
        rows = (
            connection.sql(
                "select features.* exclude (as_of_date, feature_definition) from customer_features as features"
                " inner join int_run using (as_of_date) order by customer_id"
            )
            .to_arrow_table()
            .to_pylist()
        )
    return [Asked(row.pop("customer_id"), row) for row in rows]


def nightly_rows(project: Project) -> dict[str, dict[str, Any]]:
    """Return retention_actions by customer."""
    with duckdb.connect(str(project.warehouse(SOURCE)), read_only=True) as connection:
        rows = connection.sql("from retention_actions").to_arrow_table().to_pylist()
    return {row["customer_id"]: row for row in rows}


def promises_for(run: PublishedRun) -> Promises:
    """Return promises of which none is made yet."""
    promises = Promises()
    promises.begin_run(run.limits, run.offer_names, run.as_of_date, run.counted)
    return promises


def ask(run: PublishedRun, promises: Promises, asked: Sequence[Asked], size: int = 100) -> list[Answered]:
    """Return the answers to customers, asked in requests of ``size``."""
    found: list[Answered] = []
    for start in range(0, len(asked), size):
        found += decide_now(run, promises, asked[start : start + size])
    return found


def payload(one: Asked, **changes: Any) -> dict[str, Any]:
    """Return the JSON content of a request for one customer, some features changed."""
    return {"customer_id": one.customer_id, "features": {**one.features, **changes}}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with days as text, as an answer over HTTP has them."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}
