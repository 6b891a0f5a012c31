"""A build that is killed leaves the earlier decisions whole, and the next build succeeds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from conftest import DECIDE, PARSING, UNTESTED, Project

pytestmark = pytest.mark.build

# Where a build is killed: as it starts a model that keeps rows of earlier runs, or the one that is read. Kills of a
# training are those of test_switch.py.
KILLS = (("customer_features", ()), ("int_stored_decisions", DECIDE), ("retention_actions", DECIDE))
MOST_SECONDS_AFTER_START = 0.2
ACTIONS = (
    "select * exclude (decided_at, updated_at, dbt_invocation_id) from retention_actions order by customer_id"
)


def kill_at(project: Project, model: str, arguments: tuple[str, ...], seconds: float) -> None:
    """Start a build and kill it some seconds after it has started a model."""
    assert project.raw_data is not None
    PARSING.offer(project.folder, project.raw_data, arguments)
    with subprocess.Popen(
        ["dbt", "--no-use-colors", "build", *arguments],
        cwd=project.folder,
        env=project.variables | {"DBT_PROFILES_DIR": "."},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as build:
        assert build.stdout is not None
        reached = any(" START " in line and f" main.{model} " in line for line in build.stdout)
        time.sleep(seconds)
        os.killpg(build.pid, signal.SIGKILL)
    assert reached
    assert build.returncode == -signal.SIGKILL


def test_killed_builds_leave_the_earlier_actions_whole(fresh_copy: Project) -> None:
    earlier = fresh_copy.query(ACTIONS)
    fresh_copy.dbt("build", *DECIDE, "--vars", "{monthly_budget: 300}")
    later = fresh_copy.query(ACTIONS)
    assert later != earlier
    moments = random.Random(20261031)
    for model, arguments in KILLS:
        kill_at(fresh_copy, model, arguments, moments.uniform(0, MOST_SECONDS_AFTER_START))
        # Either the plan of the one budget or of the other, never a mixture.
        assert fresh_copy.query(ACTIONS) in (earlier, later)
    fresh_copy.dbt("build", *UNTESTED)
    assert fresh_copy.query(ACTIONS) == earlier
