"""What a night reads does not grow with the nights behind it, and what is final is kept."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from benchmarks.nights import CYCLE_DAYS, fabricate
from conftest import Project

pytestmark = pytest.mark.build

LAST_NIGHT = date(2026, 10, 31)
NIGHTS = 200  # the first of them in April
FOLDERS = ("parameters", "earlier_runs", "outcomes")
KEPT = ("int_final_months", "int_calibration_sums", "rpt_calibration")
# July: its last horizon, 28 days, ended 60 days before the last night. August's did not.
LAST_FINAL_MONTH = date(2026, 7, 1)
OUTCOMES = "select * from action_outcomes where outcome_month {} date '2026-07-01' order by action_id"
CALIBRATION = "select * from rpt_calibration order by all"


def run_outcomes(project: Project, *arguments: str) -> None:
    """Compute outcomes of the last night, and what is kept of them, again."""
    paths = [f"path:dbt_project/models/{folder}" for folder in FOLDERS]
    project.dbt("run", "--select", "stg_retention_contacts", *KEPT, *paths, *arguments)


class Behind:
    """A built project with many nights behind its own, and what its runs left."""

    def __init__(self, project: Project, folder: Path) -> None:
        assert project.raw_data is not None
        self.project = project.copy(folder / "project")
        self.project.raw_data = Path(shutil.copytree(project.raw_data, folder / "raw"))
        fabricate(self.project.warehouse(), NIGHTS, LAST_NIGHT)
        run_outcomes(self.project)
        self.first = self.found()
        self.executed = [self.action_of("2026-05-30"), self.action_of("2026-09-30")]
        self.report_late()
        run_outcomes(self.project)
        self.second = self.found()
        self.rebuilt = {
            table: self.project.query(f"select min(as_of_date) from {table}")[0][0]
            for table in ("int_outcome_decisions", "int_first_decisions")
        }
        run_outcomes(self.project, "--full-refresh")
        self.refreshed = self.found()

    def found(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return what the last run says of final months, of others, and of calibration."""
        return {
            "final": self.project.query(OUTCOMES.format("<=")),
            "open": self.project.query(OUTCOMES.format(">")),
            "calibration": self.project.query(CALIBRATION),
            "months": self.project.query("select outcome_month from int_final_months order by 1"),
        }

    def action_of(self, day: str) -> str:
        """Return the first action of an episode that opened near a day."""
        return str(
            self.project.query(
                "select min(action_id) from retention_actions_history where action <> 'no_action'"
                f" and as_of_date between date '{day}' - {CYCLE_DAYS} and date '{day}'"
            )[0][0]
        )

    def report_late(self) -> None:
        """Let the source report, months later, that two of the actions were executed."""
        file = f"{self.project.raw_data}/retention_contacts.parquet"
        with duckdb.connect(str(self.project.warehouse())) as connection:
            connection.execute(
                f"create temp table contacts as from '{file}';"
                "insert into contacts by name select 990000 + row_number() over () as contact_id, action_id,"
                " customer_id::bigint as customer_id, action as offer, (as_of_date + 3)::date as contacted_on,"
                " 7 as cost, false as is_randomized from retention_actions_history"
                f" where action_id in ('{self.executed[0]}', '{self.executed[1]}')"
            )
            connection.execute(f"copy contacts to '{file}' (format parquet)")

    def status(self, found: dict[str, list[tuple[Any, ...]]], action_id: str) -> str:
        """Return whether the outcome of an action says that it was executed."""
        [row] = [row for row in found["final"] + found["open"] if row[0] == action_id]
        return "executed" if "executed" in row else "not executed"


@pytest.fixture(scope="module")
def behind(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Behind:
    return Behind(built_project, tmp_path_factory.mktemp("behind"))


def test_what_later_runs_read_is_kept(behind: Behind) -> None:
    expected = """
        select customer_id, as_of_date, action_id, arm, signal_dormant, month_rank = 1 as is_first_of_month
        from (
            select *, row_number() over (
                partition by customer_id, date_trunc('month', as_of_date) order by as_of_date
            ) as month_rank
            from retention_actions_history
            where as_of_date < date '2026-10-31'
        )
        where month_rank = 1 or planned_action <> 'no_action' or propensity_no_action < 1
            or arm in ('policy', 'pick_holdout', 'trial')"""
    kept = "select customer_id, as_of_date, action_id, arm, signal_dormant, is_first_of_month from int_lasting_decisions"
    counted = "select count(*) from ({} except all {})"
    assert behind.project.query(counted.format(f"({expected})", f"({kept})")) == [(0,)]
    assert behind.project.query(counted.format(f"({kept})", f"({expected})")) == [(0,)]
    assert len(behind.first["final"]) > 1000


def test_months_are_final_once_reports_may_not_be_late_any_more(behind: Behind) -> None:
    assert behind.first["months"] == [(date(2026, month, 1),) for month in (4, 5, 6, 7)]


def test_final_months_are_not_read_again(behind: Behind) -> None:
    assert set(behind.rebuilt) == {"int_outcome_decisions", "int_first_decisions"}
    assert all(first >= date(2026, 8, 1) for first in behind.rebuilt.values())


def test_a_late_report_changes_what_is_not_final(behind: Behind) -> None:
    final, not_final = behind.executed
    assert behind.status(behind.first, final) == behind.status(behind.first, not_final) == "not executed"
    assert behind.status(behind.second, not_final) == "executed"
    assert behind.status(behind.second, final) == "not executed"
    assert behind.second["final"] == behind.first["final"]
    assert len(set(behind.second["open"]) - set(behind.first["open"])) == 1


def test_calibration_of_all_months_is_reported_from_what_is_kept(behind: Behind) -> None:
    months = {row[0] for row in behind.second["calibration"]}
    assert min(months) == date(2026, 4, 1)
    assert [row for row in behind.second["calibration"] if row[0] <= LAST_FINAL_MONTH] == [
        row for row in behind.first["calibration"] if row[0] <= LAST_FINAL_MONTH
    ]


def test_a_full_refresh_computes_final_months_anew(behind: Behind) -> None:
    assert behind.status(behind.refreshed, behind.executed[0]) == "executed"
    assert len(set(behind.refreshed["final"]) - set(behind.second["final"])) == 1
    assert behind.refreshed["open"] == behind.second["open"]
    assert behind.refreshed["months"] == behind.second["months"]
