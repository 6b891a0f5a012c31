"""The service decides as the nightly run does: probabilities, reasons, offers, arms and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Project
from serving_data import (
    ask,
    change_facts,
    copy_run,
    promises_for,
)

from models_ml.decisions.limits import Limits
from models_ml.deployment.deployed import unpickle
from models_ml.serving.deciding import DECIDED, Asked, decide_now
from models_ml.serving.one_row import unroll
from models_ml.serving.promises import Promise, Promises
from models_ml.serving.published_run import PublishedRun, read_published_run
from models_ml.training.contributions import make_explainer

NOW = (
    "churn_probability",
    "risk_tier",
    "risk_percentile",
    "reason_1",
    "reason_2",
    "reason_3",
    "pipeline_version",
)


@pytest.fixture(scope="module")
def run(published: Path) -> PublishedRun:
    return read_published_run((published / "current").resolve(), "demo")


@pytest.fixture
def changed_run(published: Path, tmp_path: Path) -> Any:
    """A function that returns the run with other facts on one customer."""

    def change(customer: str, **facts: Any) -> PublishedRun:
        folder = copy_run(tmp_path, (published / "current").resolve(), "changed")
        change_facts(folder, customer, **facts)
        return read_published_run(folder, "demo")

    return change


def one_with_arm(customers: Sequence[Asked], nightly: dict[str, dict[str, Any]], arm: str) -> Asked:
    return next(one for one in customers if nightly[one.customer_id]["arm"] == arm)


def left_without_episode(run: PublishedRun) -> PublishedRun:
    """The run as if nothing had been planned, with all limits of the month: every customer is decided afresh."""
    limits = Limits(
        1e9,
        np.full(len(run.offer_names), 1e6),
        dict.fromkeys(run.limits.channels, 1e6),
        run.limits.offer_channel,
        run.limits.offer_names,
    )
    return replace(run, limits=limits)


def test_every_answer_equals_the_nightly_row(
    run: PublishedRun, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    answers = ask(run, promises_for(run), customers)
    assert len(answers) == len(nightly) > 300
    same = 0
    for answered in answers:
        answer, row = answered.answer, nightly[answered.answer["customer_id"]]
        assert {name: answer[name] for name in NOW} == {name: row[name] for name in NOW}
        same += {name: answer[name] for name in DECIDED} == {name: row[name] for name in DECIDED}
        assert answered.nightly_action == row["action"]
    assert same >= 0.995 * len(nightly)


def test_a_single_customer_gets_what_a_list_gets(run: PublishedRun, customers: list[Asked]) -> None:
    listed = ask(run, promises_for(run), customers[:60])
    single = [answered for one in customers[:60] for answered in ask(run, promises_for(run), [one])]
    assert single == listed


def test_prices_alone_choose_what_the_plan_chose(
    run: PublishedRun,
    changed_run: Any,
    customers: list[Asked],
    nightly: dict[str, dict[str, Any]],
    published: Path,
    tmp_path: Path,
) -> None:
    """Without the run's own episodes every customer is chosen at the prices of the plan."""
    folder = copy_run(tmp_path, (published / "current").resolve(), "no_episodes")
    picked = [
        one
        for one in customers
        if nightly[one.customer_id]["arm"] in ("policy", "pick_holdout", "not_chosen")
    ]
    change_facts(folder, *(one.customer_id for one in picked), nightly={"arm": "not_chosen"})
    fresh = left_without_episode(read_published_run(folder, "demo"))
    answers = ask(fresh, promises_for(fresh), picked)
    columns = (
        "planned_action",
        "action",
        "arm",
        "propensity",
        "propensity_no_action",
        "expected_cost",
        "planned_value",
    )
    equal = [
        {name: one.answer[name] for name in columns}
        == {name: nightly[one.answer["customer_id"]][name] for name in columns}
        for one in answers
    ]
    assert any(one.opens_episode for one in answers)
    assert np.mean(equal) >= 0.99


@pytest.mark.parametrize("candidate", ["logistic_regression", "random_forest", "gradient_boosting"])
def test_one_row_equals_the_batch(built_project: Project, customers: list[Asked], candidate: str) -> None:
    path = built_project.folder / "models_ml" / "artifacts" / "demo" / "candidates" / f"{candidate}.pkl"
    pipeline = unpickle(path.read_bytes(), path)
    rows = [dict(one.features) for one in customers[:150]]
    rows[0] = dict.fromkeys(rows[0])  # nothing known, but for the type of each column
    rows[1] |= {"plan": "no such plan", "tenure_days": 10**6}
    table = pa.Table.from_pylist(
        rows, pa.table({name: [one.get(name) for one in rows] for name in rows[1]}).schema
    )
    matrix = pipeline.encoder.encode(table)
    one_row = unroll(pipeline)
    encoded = np.array([one_row.encode(row) for row in rows])
    assert np.array_equal(encoded, matrix, equal_nan=True)
    probability, raw = pipeline.score(table)
    scored = np.array([one_row.score(values) for values in encoded])
    assert np.array_equal(np.round(scored[:, 0], 9), np.round(probability, 9))
    assert np.allclose(scored[:, 1], raw, rtol=0, atol=1e-12)
    explained = np.array([one_row.contributions(values) for values in encoded])
    rounding = 1e-12 if candidate == "gradient_boosting" else 0  # single rows walk the trees, batches look up
    assert np.allclose(explained, make_explainer(pipeline).contributions(matrix), rtol=0, atol=rounding)
    assert type(one_row.steps).__name__ != "_SingleBatch"


def test_a_held_out_customer_is_never_contacted(
    run: PublishedRun, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    free = left_without_episode(run)
    held_out = [one for one in customers if nightly[one.customer_id]["arm"] == "universal_holdout"]
    assert held_out
    for answered in ask(free, promises_for(free), held_out):
        assert (answered.answer["action"], answered.answer["arm"]) == ("no_action", "universal_holdout")
        assert not answered.opens_episode


@pytest.mark.parametrize("reason", ["cool_down", "held_out", "open_episode"])
def test_a_suppressed_customer_is_not_contacted(
    changed_run: Any, customers: list[Asked], nightly: dict[str, dict[str, Any]], reason: str
) -> None:
    one = one_with_arm(customers, nightly, "policy")
    run = changed_run(one.customer_id, nightly={"arm": "suppressed"}, suppression_reason=reason)
    (answered,) = ask(run, promises_for(run), [one])
    assert (answered.answer["action"], answered.answer["suppression_reason"]) == ("no_action", reason)


def test_an_unknown_customer_gets_a_probability_and_no_offer(
    run: PublishedRun, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    one = one_with_arm(customers, nightly, "policy")
    (answered,) = ask(run, promises_for(run), [Asked("nobody", one.features)])
    assert answered.answer["churn_probability"] == nightly[one.customer_id]["churn_probability"]
    assert (answered.answer["action"], answered.answer["suppression_reason"]) == (
        "no_action",
        "unknown_customer",
    )
    assert answered.decided_by == "unknown"
    assert not answered.opens_episode


def test_an_action_of_an_earlier_night_is_given_again(
    changed_run: Any, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    one = one_with_arm(customers, nightly, "policy")
    earlier = nightly[one.customer_id] | {"action_id": "earlier", "valid_to": "2099-01-01"}
    run = changed_run(
        one.customer_id,
        nightly={"arm": "suppressed"},
        suppression_reason="open_action",
        open_action={
            name: str(value) if isinstance(value, date) else value
            for name, value in earlier.items()
            if name in DECIDED
        },
    )
    (answered,) = ask(run, promises_for(run), [one])
    assert (answered.answer["action_id"], answered.answer["action"]) == ("earlier", earlier["action"])
    assert (answered.decided_by, answered.opens_episode) == ("earlier", False)


def test_fifty_requests_are_one_contact(
    changed_run: Any, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    one = one_with_arm(customers, nightly, "policy")
    run = left_without_episode(changed_run(one.customer_id, nightly={"arm": "not_chosen"}))
    promises = promises_for(run)
    answers = [ask(run, promises, [one])[0] for _ in range(50)]
    assert answers[0].answer["action"] != "no_action"
    assert [answered.opens_episode for answered in answers] == [True] + 49 * [False]
    assert len({answered.answer["action_id"] for answered in answers}) == 1
    cost = round(answers[0].answer["expected_cost"] * 100)
    assert promises.limits.budget == run.limits.budget - cost
    # worse news within the episode change the probability, not the decision
    worse = Asked(one.customer_id, dict(one.features) | {"tenure_days": 1, "overdue_invoices": 9})
    (again,) = ask(run, promises, [worse])
    assert again.answer["churn_probability"] != answers[0].answer["churn_probability"]
    assert {name: again.answer[name] for name in DECIDED} == {
        name: answers[0].answer[name] for name in DECIDED
    }


@pytest.mark.parametrize("used_up", ["budget", "offer", "channel"])
def test_what_is_used_up_is_not_offered(
    changed_run: Any, customers: list[Asked], nightly: dict[str, dict[str, Any]], used_up: str
) -> None:
    one = one_with_arm(customers, nightly, "policy")
    row = nightly[one.customer_id]
    run = left_without_episode(changed_run(one.customer_id, nightly={"arm": "not_chosen"}))
    at, limits = run.offer_names.index(row["action"]), run.limits
    capacity = np.where(np.arange(len(run.offer_names)) == at, 0.0, 1e6)
    closed = {
        "budget": replace(limits, budget=0.0),
        "offer": replace(limits, offer_capacity=capacity),
        "channel": replace(limits, channel_capacity={**limits.channel_capacity, row["channel"]: 0.0}),
    }[used_up]
    (before,) = ask(run, promises_for(run), [one])
    (after,) = ask(replace(run, limits=closed), promises_for(replace(run, limits=closed)), [one])
    assert before.answer["action"] == row["action"]
    assert after.answer["action"] != row["action"]
    if used_up == "budget":
        assert after.answer["action"] == "no_action"
        assert "budget and capacity" in after.answer["rationale"]


def test_the_last_slot_is_given_once_within_a_request(
    published: Path, tmp_path: Path, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    folder = copy_run(tmp_path, (published / "current").resolve(), "one_slot")
    chosen = [one for one in customers if nightly[one.customer_id]["action"] == "nudge_email"][:8]
    change_facts(folder, *(one.customer_id for one in chosen), nightly={"arm": "not_chosen"})
    run = left_without_episode(read_published_run(folder, "demo"))
    at = run.offer_names.index("nudge_email")
    slots = np.where(np.arange(len(run.offer_names)) == at, 3.0, 0.0)
    run = replace(run, limits=replace(run.limits, offer_capacity=slots))
    promises = promises_for(run)
    answers = decide_now(run, promises, chosen)
    assert [one.answer["action"] for one in answers].count("nudge_email") == 3
    assert promises.limits.offer_capacity[at] == 0
    assert {one.answer["action"] for one in decide_now(run, promises, chosen[-1:])} == {"no_action"}


def promise(day: date, *, action: str = "call", cost: float = 9.0, valid_days: int = 14) -> Promise:
    decision = {
        "action_id": f"{day}",
        "customer_id": f"c{day}",
        "as_of_date": day,
        "valid_to": day + timedelta(days=valid_days),
        "action": action,
        "expected_cost": cost,
    }
    return Promise.of(decision, 28)


@pytest.mark.parametrize(
    ("day", "counted", "left", "is_found"),
    [
        (date(2026, 10, 20), (), 1, True),
        (date(2026, 10, 20), ("2026-10-20",), 2, False),  # the run has counted it itself
        (date(2026, 9, 25), (), 2, False),  # its episode is over
        (date(2026, 10, 10), (), 2, True),  # it has lapsed: its slot is free, its episode goes on
        (date(2026, 9, 30), (), 2, False),
    ],
)
def test_a_run_takes_over_the_promises_that_it_does_not_know(
    day: date, counted: tuple[str, ...], left: int, is_found: bool
) -> None:
    promises = Promises([promise(day)])
    limits = Limits(10_000.0, np.array([2.0]), {"phone": 9.0}, ("phone",), ("call",))
    promises.begin_run(limits, ("call",), date(2026, 10, 28), frozenset(counted))
    assert promises.limits.offer_capacity.tolist() == [left]
    assert promises.limits.budget == 10_000 - 900 * (2 - left)
    assert (promises.find(f"c{day}") is not None) is is_found


def test_a_promise_of_last_month_uses_nothing_of_this_one() -> None:
    promises = Promises([promise(date(2026, 9, 28))])
    limits = Limits(10_000.0, np.array([2.0]), {"phone": 9.0}, ("phone",), ("call",))
    promises.begin_run(limits, ("call",), date(2026, 10, 2), frozenset())
    assert promises.limits == limits
    assert promises.find("c2026-09-28") is not None


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_customers_restored_promises_the_latest_is_kept(order: int) -> None:
    """A call of 28 September for 28 days has ended on 28 October; the one promised on 26 October has not."""
    days = [date(2026, 9, 28), date(2026, 10, 26)]
    promises = Promises([replace(promise(day), customer_id="c") for day in days[::order]])
    limits = Limits(10_000.0, np.array([2.0]), {"phone": 9.0}, ("phone",), ("call",))
    promises.begin_run(limits, ("call",), date(2026, 10, 28), frozenset())
    assert promises.number == 1
    assert promises.limits.offer_capacity.tolist() == [1]
    assert promises.limits.budget == 10_000 - 900
    found = promises.find("c")
    assert found is not None
    assert found.as_of_date == days[1]
