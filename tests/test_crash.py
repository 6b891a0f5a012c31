"""A build that is killed leaves the earlier decisions whole, and the next build succeeds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from conftest import Project

pytestmark = pytest.mark.build

MOMENTS = 6
ACTIONS = (
    "select * exclude (decided_at, updated_at, dbt_invocation_id) from retention_actions order by customer_id"
)


def test_killed_builds_leave_the_earlier_actions_whole(fresh_copy: Project) -> None:
    earlier = fresh_copy.query(ACTIONS)
    budgets = "{monthly_budget: 300}"
    started = time.monotonic()
    fresh_copy.dbt("build", "--vars", budgets)
    length = time.monotonic() - started
    later = fresh_copy.query(ACTIONS)
    assert later != earlier
    moments = random.Random(20261031)
    for number in range(MOMENTS):
        variables = budgets if number % 2 else "{}"
        build = subprocess.Popen(
            ["dbt", "build", "--vars", variables],
            cwd=fresh_copy.folder,
            env=fresh_copy.variables,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep((number + moments.uniform(0.3, 1.0)) / MOMENTS * length)
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        # Either the plan of the one budget or of the other, never a mixture.
        assert fresh_copy.query(ACTIONS) in (earlier, later)
    fresh_copy.dbt("build", "--vars", "{}")
    assert fresh_copy.query(ACTIONS) == earlier
