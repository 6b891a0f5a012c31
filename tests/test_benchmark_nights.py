"""What the benchmark of nights reports: hand-made nights, without a build."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark
import pytest
from benchmarks.nights import SLOWEST, Night, node_seconds
from dbt_project_copy import Usage
from rich.console import Console
from typer.testing import CliRunner


def night(behind: int, history_rows: int, file_mb: float, **nodes: float) -> Night:
    return Night(
        behind, 1000, history_rows, Usage(10.0, 20.0, 500.0), Usage(1.0, 2.0, 50.0), 2.5, file_mb, nodes
    )


def test_seconds_are_those_of_dbts_own_records(tmp_path: Path) -> None:
    results = [
        {"unique_id": "model.bayespilot.int_run", "execution_time": 0.5},
        {"unique_id": "test.bayespilot.unique_int_run.0a1b", "execution_time": 0.25},
    ]
    (tmp_path / "run_results.json").write_text(json.dumps({"results": results}))
    assert node_seconds(tmp_path) == {"int_run": 0.5, "unique_int_run": 0.25}


def test_the_ten_slowest_come_first() -> None:
    slowest = night(2, 0, 0.0, **{f"node_{i:02d}": float(i) for i in range(30)}).slowest()
    assert len(slowest) == SLOWEST == 10
    assert slowest[0] == ("node_29", 29.0)
    assert slowest[-1] == ("node_20", 20.0)


def test_few_and_many_nights_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=100)
    monkeypatch.setattr(benchmark, "console", console)
    found = [night(2, 3000, 10.0, slow=1.0, steady=0.5), night(365, 366_000, 82.6, slow=7.0, steady=0.5)]
    benchmark._print_nodes(found)
    benchmark._print_disk(found)
    printed = console.export_text()
    assert "1.00" in printed
    assert "7.00" in printed
    assert "366,000" in printed
    assert "200 bytes" in printed  # 72.6 MB for 363,000 further rows


@pytest.mark.parametrize("nights", ["1,90", "two", ""])
def test_too_few_nights_are_refused(nights: str) -> None:
    finished = CliRunner().invoke(benchmark.app, ["night", "--nights", nights])
    assert finished.exit_code == 2
    assert "at least 2" in finished.output
