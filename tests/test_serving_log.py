"""The log of the service: nothing is lost, a full disk stops no answer, and the next build reads it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Project
from serving_data import (
    ask,
    change_facts,
    copy_run,
    point_to,
    promises_for,
)

from models_ml.decisions.limits import Limits
from models_ml.erase import erase
from models_ml.errors import BayesPilotError
from models_ml.paths import decision_log_folder
from models_ml.serving.deciding import Answered, Asked
from models_ml.serving.decision_log import JOURNAL, Binner, DecisionLog, restored_promises
from models_ml.serving.promises import Promise, Promises
from models_ml.serving.published_run import PublishedRun, read_published_run
from models_ml.serving.service import Service
from models_ml.training.population import read_bins


@pytest.fixture(scope="module")
def open_run(
    published: Path,
    nightly: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> PublishedRun:
    """The run as if the night had picked nobody: the service opens the episodes."""
    folder = copy_run(tmp_path_factory.mktemp("open"), (published / "current").resolve(), "open")
    picked = [
        row["customer_id"] for row in nightly.values() if row["arm"] in ("policy", "pick_holdout", "trial")
    ]
    change_facts(folder, *picked, nightly={"arm": "not_chosen", "action": "no_action"})
    run = read_published_run(folder, "demo")
    limits = Limits(
        1e9,
        run.limits.offer_capacity * 0 + 1e6,
        dict.fromkeys(run.limits.channels, 1e6),
        run.limits.offer_channel,
        run.limits.offer_names,
    )
    return replace(run, limits=limits)


@pytest.fixture(scope="module")
def picked(customers: list[Asked], nightly: dict[str, dict[str, Any]]) -> list[Asked]:
    """Customers that the plan picked, withheld ones among them, and as many that it did not."""
    chosen = [one for one in customers if nightly[one.customer_id]["arm"] == "policy"][:20]
    withheld = [one for one in customers if nightly[one.customer_id]["arm"] == "pick_holdout"][:3]
    others = [one for one in customers if nightly[one.customer_id]["arm"] == "not_chosen"][:20]
    assert len(chosen) == len(others) == 20
    assert withheld
    return [*chosen, *withheld, *others]


def logged(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("day=*/*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []


def answer_and_log(run: PublishedRun, log: DecisionLog, asked: list[Asked]) -> list[Answered]:
    answered = ask(run, promises_for(run), asked, size=len(asked))
    log.add(run, asked, answered, 1.5)
    return answered


def test_every_answer_is_logged_with_its_bins(
    open_run: PublishedRun, picked: list[Asked], tmp_path: Path
) -> None:
    log = DecisionLog(tmp_path)
    answered = answer_and_log(open_run, log, picked)
    log.close()
    rows = logged(tmp_path)
    assert [row["customer_id"] for row in rows] == [one.customer_id for one in picked]
    bins = list(read_bins(open_run.record.feature_bins))
    for row, one, asked in zip(rows, answered, picked, strict=True):
        assert row["propensity"] == one.answer["propensity"]
        assert row["opens_episode"] == one.opens_episode
        assert row["latency_ms"] == 1.5
        assert dict(row["signals"]) == one.signals
        found = dict(row["feature_bins"])
        for of in bins:
            values = asked.features.get(of.feature, one.answer.get(of.feature))
            kind = pa.string() if of.kind == "categories" else pa.float64()
            assert found[of.feature] == of.assign(pa.array([values], kind))[0], of.feature
    assert {row["opens_episode"] for row in rows} == {True, False}
    assert (tmp_path / JOURNAL).read_text() == ""


def test_a_bin_of_any_value_is_that_of_the_monitoring(open_run: PublishedRun) -> None:
    bins = list(read_bins(open_run.record.feature_bins))
    binner = Binner(bins)
    for of in bins:
        values = ["other", *of.cuts] if of.kind == "categories" else [-1e9, 0.0, 1e9, *of.cuts]
        kind = pa.string() if of.kind == "categories" else pa.float64()
        expected = of.assign(pa.array([*values, None], kind)).tolist()
        assert [binner({of.feature: value})[of.feature] for value in [*values, None]] == expected


def test_a_killed_service_loses_nothing(open_run: PublishedRun, picked: list[Asked], tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    answer_and_log(open_run, log, picked[:5])
    log.flush()
    answered = answer_and_log(open_run, log, picked[5:25])
    os.close(log._held)  # as if it had been killed: nothing is flushed, the lock is free
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"decision_id": "cut o')
    again = DecisionLog(tmp_path)
    promises = {promise.customer_id: promise for promise in restored_promises(again, 28, open_run.as_of_date)}
    for one in answered:
        if one.opens_episode:
            assert promises[one.answer["customer_id"]].decision == one.answer
    answer_and_log(open_run, again, picked[25:27])
    os.close(again._held)
    DecisionLog(tmp_path).close()
    assert [row["customer_id"] for row in logged(tmp_path)] == [one.customer_id for one in picked[:27]]


def test_rows_that_are_written_already_are_not_taken_from_the_journal_again(
    open_run: PublishedRun, picked: list[Asked], tmp_path: Path
) -> None:
    log = DecisionLog(tmp_path)
    answer_and_log(open_run, log, picked[:4])
    journal = (tmp_path / JOURNAL).read_text()
    log.close()
    (tmp_path / JOURNAL).write_text(journal)  # a service that was killed before it cut its journal
    DecisionLog(tmp_path).close()
    assert len(logged(tmp_path)) == 4


def test_a_full_disk_stops_no_answer_and_is_reported(
    open_run: PublishedRun, picked: list[Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DecisionLog(tmp_path, most_rows=30)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("models_ml.serving.decision_log.os.write", full)
        disk.setattr("models_ml.serving.decision_log._write", full)
        answered = answer_and_log(open_run, log, picked)
        log.flush()
        assert "No space left" in log.state()["fault"]
        opened = [one.answer["customer_id"] for one in answered if one.opens_episode]
        assert log.state()["rows_waiting"] == max(30, len(opened))
        assert log.state()["rows_dropped"] == len(picked) - log.state()["rows_waiting"] > 0
    log.flush()
    assert log.state()["fault"] is None
    log.close()
    written = [row["customer_id"] for row in logged(tmp_path)]
    assert set(opened) <= set(written)


@pytest.mark.parametrize(
    "error", [duckdb.InvalidInputException("SECRET"), ValueError("SECRET"), OSError(5, "I/O")]
)
def test_rows_wait_whatever_keeps_them_from_being_written(
    open_run: PublishedRun,
    picked: list[Asked],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    log = DecisionLog(tmp_path)

    def fail(*_: Any) -> None:
        raise error

    answer_and_log(open_run, log, picked[:3])
    with monkeypatch.context() as broken:
        broken.setattr("models_ml.serving.decision_log._write", fail)
        log.flush()
        said = "I/O" if isinstance(error, OSError) else type(error).__name__
        assert log.state() == {
            "rows_waiting": 3,
            "rows_dropped": 0,
            "fault": f"the Parquet of the log is not written: {said}",
        }
        answer_and_log(open_run, log, picked[3:5])
        assert log.state()["fault"], "the journal is written, which says nothing of the Parquet"
    log.flush()
    assert (log.state()["rows_waiting"], log.state()["fault"]) == (0, None)
    log.close()
    assert [row["customer_id"] for row in logged(tmp_path)] == [one.customer_id for one in picked[:5]]


def test_a_journal_that_cannot_be_opened_anew_takes_rows_as_before(
    open_run: PublishedRun, picked: list[Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DecisionLog(tmp_path)

    open_file = os.open

    def fail(path: Path, flags: int, *options: Any) -> int:
        if flags & os.O_APPEND:
            raise OSError(24, "Too many open files")
        return open_file(path, flags, *options)

    answer_and_log(open_run, log, picked[:3])
    with monkeypatch.context() as broken:
        broken.setattr("models_ml.serving.decision_log.os.open", fail)
        log.flush()
    assert "Too many open files" in log.state()["fault"]
    answer_and_log(open_run, log, picked[3:5])
    assert log.state()["fault"] is None
    os.close(log._held)  # as if it had been killed
    DecisionLog(tmp_path).close()
    assert [row["customer_id"] for row in logged(tmp_path)] == [one.customer_id for one in picked[:5]]


def test_a_closed_log_writes_to_no_other_file(
    open_run: PublishedRun, picked: list[Asked], tmp_path: Path
) -> None:
    log = DecisionLog(tmp_path / "log")
    log.close()
    with (tmp_path / "other").open("w") as first, (tmp_path / "another").open("w") as second:
        answer_and_log(open_run, log, picked[:1])
        assert os.fstat(first.fileno()).st_size == os.fstat(second.fileno()).st_size == 0
    assert "Bad file descriptor" in log.state()["fault"]


def test_two_services_do_not_write_one_log(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    with pytest.raises(BayesPilotError, match="a service is running"):
        DecisionLog(tmp_path)
    log.close()
    DecisionLog(tmp_path).close()


def test_promises_outlast_a_restart(
    open_run: PublishedRun, published: Path, picked: list[Asked], tmp_path: Path
) -> None:
    """The service that starts again gives the same decisions and has the same money left."""
    folder = tmp_path / "published" / "runs" / "open"
    shutil.copytree(open_run_folder(open_run), folder)
    point_to(tmp_path / "published", folder)
    body = json.dumps(
        [{"customer_id": one.customer_id, "features": dict(one.features)} for one in picked]
    ).encode()
    first = Service(tmp_path / "published", "demo", DecisionLog(tmp_path / "log"))
    answers, _ = first.decide(body, 0.0)
    left = first.described()["left"]
    first.close()
    second = Service(tmp_path / "published", "demo", DecisionLog(tmp_path / "log"))
    assert second.described()["left"] == left
    again, _ = second.decide(body, 0.0)
    second.close()
    assert any(answer["is_new_episode"] for answer in answers)
    assert not any(answer["is_new_episode"] for answer in again)
    assert [answer["action"] for answer in again] == [answer["action"] for answer in answers]


def test_a_promise_stays_open_while_no_later_run_is_published(
    open_run: PublishedRun, picked: list[Asked], tmp_path: Path
) -> None:
    """Decided 45 days ago, a day after its run: open for runs of less than 28 days later, whatever day it is."""
    today = datetime.now(UTC).date()
    run = replace(open_run, as_of_date=today - timedelta(days=46))
    log = DecisionLog(tmp_path)
    answered = answer_and_log(run, log, picked)
    log.close()
    (tmp_path / f"day={today}").rename(tmp_path / f"day={today - timedelta(days=45)}")
    opened = {one.answer["customer_id"] for one in answered if one.opens_episode}
    assert opened
    again = DecisionLog(tmp_path)
    for days_later, is_open in ((0, True), (27, True), (28, False)):
        day = run.as_of_date + timedelta(days=days_later)
        promises = Promises(restored_promises(again, 28, day))
        promises.begin_run(run.limits, run.offer_names, day, frozenset())
        assert promises.number == (len(opened) if is_open else 0)
    assert restored_promises(again, 28, today) == [], "days too old for any open promise are not read"
    again.close()


def open_run_folder(run: PublishedRun) -> Path:
    """Return the folder from which a run was read."""
    (path,) = run.snapshot.connection.execute(
        "select path from duckdb_databases() where database_name = ?", [run.snapshot.database]
    ).fetchone() or ("",)
    return Path(path).parent.parent


SERVED = (
    *("int_served_journal", "int_served_decisions", "int_served_actions", "int_previous_actions"),
    "int_previous_episodes",
)
READERS = ("int_suppressions", "int_month_limits", "int_known_contacts", "rpt_serving")


def test_the_next_build_counts_what_was_promised(
    open_run: PublishedRun, picked: list[Asked], fresh_copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits, suppressions and episodes of the next night hold the service's decisions; an erasure removes them."""
    monkeypatch.chdir(fresh_copy.folder)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(fresh_copy.folder))
    log = DecisionLog(decision_log_folder("demo"))
    answered = answer_and_log(open_run, log, picked)
    answer_and_log(
        open_run, log, picked[:7]
    )  # asked again, but not by way of the promises: the first one counts
    log.close()
    opened = {one.answer["customer_id"]: one.answer for one in answered if one.opens_episode}
    contacts = [answer for answer in opened.values() if answer["action"] != "no_action"]
    day = open_run.as_of_date
    before = dict(fresh_copy.query("select limit_name, used from int_month_limits"))
    fresh_copy.dbt("run", "--select", *SERVED, *READERS)

    assert fresh_copy.query("select count(*), count(distinct action_id) from int_served_actions") == [
        (len(opened), len(opened))
    ]
    previous = fresh_copy.query(
        "select customer_id, action_id, action, arm, propensity, expected_cost, signal_payment_failing"
        f" from int_previous_actions where as_of_date = date '{day}'"
    )
    signals = {one.answer["customer_id"]: one.signals for one in answered}
    assert {row[0] for row in previous} == set(opened)
    for customer, *decided, signal in previous:
        answer = opened[customer]
        columns = ("action_id", "action", "arm", "propensity", "expected_cost")
        assert decided == [answer[name] for name in columns]
        assert signal == signals[customer]["payment_failing"]
    used = dict(fresh_copy.query("select limit_name, used from int_month_limits"))
    assert round(used["EUR"] - before["EUR"], 2) == round(
        sum(answer["expected_cost"] for answer in contacts), 2
    )
    calls = sum(answer["action"] == "nudge_email" for answer in contacts)
    assert calls > 0
    assert used["nudge_email"] - before["nudge_email"] == calls
    reasons = dict(fresh_copy.query("select customer_id, suppression_reason from int_suppressions"))
    for customer, answer in opened.items():
        assert reasons[customer] == ("held_out" if answer["action"] == "no_action" else "open_action")

    (row,) = fresh_copy.query(
        "select decisions, customers, episodes_opened, contacts_promised, latency_p50_ms, equal_to_nightly_share,"
        " drifted_features is not null from rpt_serving"
    )
    number = len(picked) + 7
    assert row[:4] == (
        number,
        len(picked),
        len(opened) + sum(o.opens_episode for o in answered[:7]),
        len(contacts) + sum(o.answer["action"] != "no_action" for o in answered[:7]),
    )
    assert row[4] is None  # no request was for a single customer
    same = sum(one.answer["action"] == one.nightly_action for one in [*answered, *answered[:7]])
    assert row[5] == pytest.approx(same / number, abs=1e-6)
    assert row[6]

    with duckdb.connect(str(fresh_copy.warehouse("demo")), read_only=True) as connection:
        assert connection.execute("select count(*) from int_served_decisions").fetchall() == [(number,)]
    person = picked[0].customer_id
    erased = erase("demo", [person])
    assert any(str(place).startswith(str(decision_log_folder("demo"))) for place in erased.rows)
    assert all(row["customer_id"] != person for row in logged(decision_log_folder("demo")))
    assert fresh_copy.query(f"select count(*) from int_served_actions where customer_id = '{person}'") == [
        (0,)
    ]


def test_a_contact_that_names_a_promise_executes_it(
    open_run: PublishedRun, picked: list[Asked], fresh_copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later run finds the reported contact of an action that the service promised: real cost, cool-down."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(fresh_copy.folder))
    log = DecisionLog(decision_log_folder("demo"))
    answered = answer_and_log(open_run, log, picked)
    log.close()
    one = next(one.answer for one in answered if one.answer["action"] != "no_action")
    contacted_on = open_run.as_of_date + timedelta(days=1)
    with duckdb.connect(str(fresh_copy.warehouse("demo"))) as warehouse:
        warehouse.execute("create table contacts_of_the_view as from int_checked_retention_contacts")
        warehouse.execute("drop view if exists int_checked_retention_contacts")
        warehouse.execute(
            "insert into contacts_of_the_view by name select 'new' as contact_id, ? as action_id, ? as customer_id,"
            " ? as offer, ?::date as contacted_on, 4.5 as cost, false as is_randomized",
            [one["action_id"], one["customer_id"], one["action"], contacted_on],
        )
        warehouse.execute("create view int_checked_retention_contacts as from contacts_of_the_view")
        warehouse.execute("update int_run set as_of_date = ?, data_ends_on = ?", [contacted_on] * 2)
    fresh_copy.dbt("run", "--select", *SERVED, *READERS)
    assert fresh_copy.query("select executed_action_id from int_known_contacts where contact_id = 'new'") == [
        (one["action_id"],)
    ]
    reasons = dict(fresh_copy.query("select customer_id, suppression_reason from int_suppressions"))
    assert reasons[one["customer_id"]] == "cool_down"


def test_a_build_beside_a_service_counts_each_decision_once(
    open_run: PublishedRun, picked: list[Asked], fresh_copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted from the journal and from Parquet; what is promised later withdraws the plan's own action."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(fresh_copy.folder))
    yesterday = replace(open_run, as_of_date=open_run.as_of_date - timedelta(days=1))
    folder = decision_log_folder("demo")
    log = DecisionLog(folder)
    answered = answer_and_log(yesterday, log, picked[:6])
    unwritten = (folder / JOURNAL).read_text()
    log.flush()
    answered += answer_and_log(yesterday, log, picked[6:12])
    with (folder / JOURNAL).open("a") as journal:
        journal.write(unwritten)  # as a build sees it that reads while rows move to Parquet
    opened = {one.answer["action_id"] for one in answered if one.opens_episode}
    assert len(opened) > 8

    status = "select action_id, status, status_reason from int_action_states where as_of_date = (select as_of_date from int_run)"
    before = {row[0] for row in fresh_copy.query(status) if row[1] == "open"}
    fresh_copy.dbt(
        "run", "--select", *SERVED, "int_served_meanwhile", "int_withdrawn_actions", "int_action_states"
    )
    assert {row[0] for row in fresh_copy.query("select action_id from int_served_actions")} == opened
    assert fresh_copy.query("select count(*) from int_served_decisions") == [(12,)]
    assert fresh_copy.query("from int_served_meanwhile") == []

    late = [one for one in answer_and_log(yesterday, log, picked[12:16]) if one.opens_episode]
    assert late
    with (folder / JOURNAL).open("a") as journal:
        journal.write('{"decision_id": "cut o')
    fresh_copy.dbt("run", "--select", "int_served_meanwhile")
    assert {row[0] for row in fresh_copy.query("select action_id from int_served_meanwhile")} == {
        one.answer["action_id"] for one in late
    }
    theirs = {
        hashlib.md5(f"{one.answer['customer_id']}/{open_run.as_of_date}".encode()).hexdigest()
        for one in [*answered, *late]
        if one.opens_episode
    }
    assert len(theirs & before) > 8, "the plan contacts these customers as well"
    states = {row[0]: row[1:] for row in fresh_copy.query(status)}
    for action in before:
        assert states[action] == (("withdrawn", "open_episode") if action in theirs else ("open", None))
    log.close()

    promises = promises_for(open_run)  # of a service that has the same log and picks up this run
    for one in [*answered, *late]:
        promises.add(Promise.of(one.answer, 28))
    promises.begin_run(open_run.limits, open_run.offer_names, open_run.as_of_date, frozenset(opened))
    promised = sum(one.answer["expected_cost"] or 0 for one in late)
    assert promised > 0
    assert promises.limits.budget == pytest.approx(open_run.limits.budget - 100 * promised)


EVIDENCE = (
    *("int_lasting_decisions", "int_known_contacts", "int_outcome_decisions", "int_outcome_weights"),
    *(
        "int_outcome_contacts",
        "int_outcome_revenue",
        "action_outcomes",
        "int_effect_evidence",
    ),
)


def test_decisions_of_the_service_become_evidence(
    open_run: PublishedRun, picked: list[Asked], fresh_copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts that name their action_id and customers who leave reach the evidence, with the logged propensities.

    By hand: of 20 contacted 2 leave, of 3 withheld 1; those withheld stand for ten customers each, those contacted for
    1 1/9. Contacting lowers churn by 1/3 - 2/20 = 23.33 points; 20 / 0.9 + 3 / 0.1 = 52.22 customers are spoken for.
    """
    monkeypatch.setenv("DBT_PROFILES_DIR", str(fresh_copy.folder))
    day = open_run.as_of_date - timedelta(days=40)
    log = DecisionLog(decision_log_folder("demo"))
    answered = answer_and_log(replace(open_run, as_of_date=day), log, picked[:23])
    log.close()
    contacted = [one.answer for one in answered if one.answer["arm"] == "policy"]
    withheld = [one.answer for one in answered if one.answer["arm"] == "pick_holdout"]
    assert (len(contacted), len(withheld)) == (20, 3)
    leavers = [answer["customer_id"] for answer in (*contacted[:2], withheld[0])]
    with duckdb.connect(str(fresh_copy.warehouse("demo"))) as warehouse:
        warehouse.execute("create table contacts_of_the_view as from int_checked_retention_contacts")
        warehouse.execute("drop view if exists int_checked_retention_contacts")
        for number, answer in enumerate(contacted):
            warehouse.execute(
                "insert into contacts_of_the_view by name select ? as contact_id, ? as action_id, ? as customer_id,"
                " ? as offer, ?::date as contacted_on, 4.5 as cost, false as is_randomized",
                [
                    f"served {number}",
                    answer["action_id"],
                    answer["customer_id"],
                    answer["action"],
                    day + timedelta(days=3),
                ],
            )
        warehouse.execute("create view int_checked_retention_contacts as from contacts_of_the_view")
        warehouse.execute(
            "update int_paid_stretches set ended_on = ?::date where customer_id in (select unnest(?::varchar[]))"
            " and (ended_on is null or ended_on > ?::date)",
            [day + timedelta(days=10), leavers, day + timedelta(days=10)],
        )
    fresh_copy.dbt("run", "--select", *SERVED, *EVIDENCE)

    outcomes = {
        row[0]: row[1:]
        for row in fresh_copy.query(
            "select action_id, arm, propensity, propensity_no_action, outcome_weight, contact_status, has_churned"
            f" from action_outcomes where as_of_date = date '{day}'"
        )
    }
    assert set(outcomes) == {answer["action_id"] for answer in (*contacted, *withheld)}
    for answer in contacted:
        left = answer["customer_id"] in leavers
        assert outcomes[answer["action_id"]] == ("policy", 0.9, 0.1, 1.111111111, "executed", left)
    for answer in withheld:
        left = answer["customer_id"] in leavers
        assert outcomes[answer["action_id"]] == ("pick_holdout", 0.1, 0.1, 10.0, "left_alone", left)
    ((customers, effect),) = fresh_copy.query(
        "select sum(outcome_weight), sum(outcome_weight * has_churned::int) filter (where arm = 'pick_holdout')"
        " / sum(outcome_weight) filter (where arm = 'pick_holdout') - sum(outcome_weight * has_churned::int)"
        f" filter (where arm = 'policy') / sum(outcome_weight) filter (where arm = 'policy') from action_outcomes"
        f" where as_of_date = date '{day}'"
    )
    assert (customers, effect) == (pytest.approx(470 / 9), pytest.approx(7 / 30))

    evidence = fresh_copy.query(
        "select customer_id, offer, compared_offer, has_churned, reached_offer, signal_payment_failing"
        f" from int_effect_evidence where as_of_date = date '{day}' order by 1"
    )
    signals = {one.answer["customer_id"]: one.signals for one in answered}
    expected = [
        (
            answer["customer_id"],
            answer["action"] if answer["arm"] == "policy" else None,
            answer["planned_action"],
            answer["customer_id"] in leavers,
            answer["action"] if answer["arm"] == "policy" else None,
            signals[answer["customer_id"]]["payment_failing"],
        )
        for answer in (*contacted, *withheld)
    ]
    assert evidence == sorted(expected)
