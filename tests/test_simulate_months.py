"""Playing forward: values by hand, contacts that come back with their action_id, and decisions that repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from conftest import Project
from decision_data import policy
from demo_world import economy
from demo_world.truth import truth
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import seeds
from simulation.appraisal import BEST, OWN, best_plan
from simulation.beliefs import best_coefficients
from simulation.business import PROJECT, Business, found_business
from simulation.keeping import decisions, differences, kept, replay
from simulation.loop import ENDS_ON, Month, Setting, found, play
from simulation.page import loop_page
from simulation.results import NOBODY, mean_by_month, share_of_best, total, write_results
from simulation.targets import missed_targets
from simulation.valuation import Truth, read_truth, true_values, value_of
from simulation.world import World, contacts_of, found_world, next_month, raw_tables

from models_ml.decisions.limits import Limits
from models_ml.decisions.references import POLICIES, Situation
from models_ml.errors import BayesPilotError
from models_ml.reports.page import render

QUICK = ("--exclude-resource-types", "unit_test", "test")  # the data tests of a build have tests of their own
SETTING = Setting(customers=600, months=2, seed=3, priors="wrong", trial_share=0.05, past_trial=True)


# ---------------------------------------------------------------- what contacts are truly worth


def hidden(**changes: object) -> Truth:
    """Two customers and two offers, in numbers that can be worked by hand."""
    values: dict[str, object] = {
        "churn_alone": np.array([0.5, 0.0]),
        "churn": np.array([[0.25, 0.75], [0.0, 0.5]]),
        "acceptance": np.array([[0.5, 0.25], [0.0, 1.0]]),
        "contact_cost": np.array([[1.0, 2.0], [1.0, 2.0]]),
        "incentive_cost": np.array([[4.0, 8.0], [4.0, 8.0]]),
        "monthly_margin": np.array([20.0, 10.0]),
    }
    return Truth(**(values | changes))  # type: ignore[arg-type]


def test_true_value_is_margin_kept_less_what_contact_and_accepted_incentive_cost() -> None:
    # Horizon 30 of 90 days: two later periods at 20, the second reached with 1/2 → V = 30; and 10 + 10 → V = 20.
    values = true_values(hidden(), policy(horizon_days=30, value_horizon_days=90))
    expected = [
        [0.25 * 30 - 1 - 0.5 * 4, -0.25 * 30 - 2 - 0.25 * 8],
        [-1.0, -0.5 * 20 - 2 - 8],
    ]
    np.testing.assert_allclose(values, expected)


def test_true_value_takes_margin_as_margin_whatever_the_policy_assumes() -> None:
    low, high = (true_values(hidden(), policy(margin_rate=rate)) for rate in (0.1, 0.9))
    np.testing.assert_array_equal(low, high)


def test_contacting_nobody_is_worth_nothing() -> None:
    assert value_of(np.array([-1, -1]), true_values(hidden(), policy())) == 0


def test_truth_is_read_in_the_order_asked_for() -> None:
    world = found_world(customers=100, months=3, ends_on=ENDS_ON, seed=1)
    table = truth(world.state)
    ids = [str(each) for each in sorted(set(table["customer_id"].to_pylist()))]
    asked = [ids[5], ids[0]]
    read = read_truth(table, asked, ["pause", "call"])
    rows = {(str(row["customer_id"]), row["offer"]): row for row in table.to_pylist()}
    assert read.churn_alone.tolist() == [rows[each, "no_action"]["churn_probability"] for each in asked]
    assert read.churn.tolist() == [
        [rows[each, offer]["churn_probability"] for offer in ("pause", "call")] for each in asked
    ]
    assert read.incentive_cost[1, 1] == float(rows[ids[0], "call"]["incentive_cost"])
    with pytest.raises(BayesPilotError, match="knows no truth for 1 customers"):
        read_truth(table, [*asked, "999"], ["pause"])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.floats(0, 2_000),
    st.lists(st.integers(0, 20), min_size=3, max_size=3),
)
def test_no_policy_beats_the_best_possible_plan(
    seed: int, customers: int, budget: float, capacity: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 30, (customers, 3)).round(2)
    situation = Situation(
        expected_value=np.rint(100 * (values + rng.normal(0, 10, values.shape))),
        expected_cost=np.broadcast_to(np.array([900.0, 25.0, 400.0]), values.shape),
        allowed=rng.random(values.shape) < 0.8,
        churn_probability=rng.random(customers),
        customer_value=rng.random(customers) * 10_000,
        limits=Limits(
            np.floor(100 * budget),
            np.array(capacity, dtype=float),
            {"phone": 10.0, "email": 15.0},
            ("phone", "email", "email"),
        ),
    )
    best = best_plan(situation, values)
    assert value_of(best.choice, 100 * values) == pytest.approx(best.value)
    for name, follow in POLICIES.items():
        assert value_of(follow(situation).choice, 100 * values) <= best.bound + 1e-6, name


def test_targets_of_coefficients_are_the_change_of_log_odds_in_the_signals() -> None:
    rng = np.random.default_rng(5)
    signals = rng.random((300, 2))
    alone = rng.uniform(0.01, 0.6, 300)
    wanted = np.array([[-0.1, 0.5, -0.3], [0.0, 0.0, 0.2]])
    log_odds = np.log(alone / (1 - alone))[:, None] + np.column_stack([np.ones(300), signals]) @ wanted.T
    known = replace(hidden(), churn_alone=alone, churn=1 / (1 + np.exp(-log_odds)))
    np.testing.assert_allclose(best_coefficients(known, signals), wanted, atol=1e-9)


# ---------------------------------------------------------------- the world goes on


@pytest.fixture(scope="module")
def world() -> World:
    return found_world(customers=200, months=6, ends_on=ENDS_ON, seed=2)


def actions(*rows: tuple[str, int, str]) -> pa.Table:
    names = ("action_id", "customer_id", "action")
    return pa.Table.from_pylist(
        [dict(zip(names, (name, str(customer), action), strict=True)) for name, customer, action in rows]
    )


def test_actions_become_contacts_of_the_right_customers(world: World) -> None:
    ids = world.state.traits.customer_id
    contacts = contacts_of(world.state, actions(("b", ids[9], "pause"), ("a", ids[4], "call")))
    assert contacts.position.tolist() == [4, 9]
    assert contacts.offer.tolist() == [economy.CALL, economy.PAUSE]
    assert contacts.action_id == ("a", "b")
    for wrong in (("a", ids[-1] + 1, "call"), ("a", ids[0], "bribe")):
        with pytest.raises(BayesPilotError, match="does not know"):
            contacts_of(world.state, actions(wrong))


def test_a_month_repeats_and_adds_its_records(world: World) -> None:
    ids = world.state.traits.customer_id[world.state.account.is_subscribed]
    contacts = contacts_of(world.state, actions(*((f"a{each}", each, "call") for each in ids[:30])))
    first, again = (next_month(world, contacts) for _ in range(2))
    for name, table in raw_tables(first).items():
        assert table.equals(raw_tables(again)[name]), name
    assert first.as_of_date == np.datetime64("2026-11-30")
    made = raw_tables(first)["retention_contacts"].to_pylist()
    assert {row["action_id"] for row in made} == {None, *(f"a{each}" for each in ids[:30])}
    assert not any(row["is_randomized"] for row in made if row["action_id"])
    assert first.state.customers == world.state.customers + world.joining


def test_a_world_without_a_past_trial_has_no_randomised_contact() -> None:
    records = [
        raw_tables(found_world(customers=300, months=6, ends_on=ENDS_ON, seed=2, trial_months=months))
        for months in (14, 0)
    ]
    randomised = [sum(table["retention_contacts"]["is_randomized"].to_pylist()) for table in records]
    assert randomised[0] > 20
    assert randomised[1] == 0
    assert len(records[1]["retention_contacts"]) > 20


# ---------------------------------------------------------------- seeds, results, comparison


def test_seeds_of_a_simulated_business(tmp_path: Path) -> None:
    business = found_business(tmp_path / "copy")
    seeds.set_up(business, customers=10_000, trial_share=0.03, priors="wrong")
    shipped, written = (
        {
            name: list(seeds.csv.DictReader((folder / "seeds/demo" / f"{name}.csv").open()))
            for name in ("policy", "offers", "offer_effect_priors")
        }
        for folder in (PROJECT, business.folder)
    )
    for before, after in zip(shipped["policy"], written["policy"], strict=True):
        if before["parameter"] in seeds.LIMITS:
            assert float(after["value"]) == 2 * float(before["value"])
        elif before["parameter"] == "trial_share":
            assert after["value"] == "0.03"
        else:
            assert after == before
    for before, after in zip(shipped["offers"], written["offers"], strict=True):
        assert after == {**before, "monthly_capacity": str(2 * int(before["monthly_capacity"]))}
    believed = {(row["offer"], row["signal"]): float(row["mean"]) for row in written["offer_effect_priors"]}
    assert all(
        mean == pytest.approx(np.log(0.5) if signal == "intercept" else 0, abs=1e-6)
        for (_, signal), mean in believed.items()
    )
    with pytest.raises(BayesPilotError, match="not empty"):
        found_business(tmp_path / "copy")
    with pytest.raises(BayesPilotError, match="no priors 'nun'"):
        seeds.prior_rows("nun", [])


def test_differences_are_counted_for_one_date_on_both_sides() -> None:
    first = pa.table({"as_of_date": ["2026-01-31", "2026-01-31", "2026-02-28"], "action": ["a", "b", "c"]})
    other = pa.table({"action": ["a", "x", "y"], "as_of_date": ["2026-01-31", "2026-01-31", "2026-02-28"]})
    assert differences(first, first, "2026-01-31") == 0
    assert differences(first, other, "2026-01-31") == 2


def earned(seed: int, *own: float, rule: float = 1.0) -> list[Month]:
    """Months of one world in which BayesPilot earns ``own`` and the break-even rule ``rule`` a month."""
    others = dict.fromkeys(("contact nobody", "fixed thresholds", "top risk"), 0.0)
    return [
        SimpleNamespace(
            seed=seed,
            number=number,
            appraisal=SimpleNamespace(values={**others, OWN: value, "break-even": rule}),
        )
        for number, value in enumerate(own, start=1)
    ]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("months", "missed"),
    [
        ([*earned(1, 5, 9), *earned(2, 8, 6)], []),
        ([*earned(1, 5, 4), *earned(2, 8, 6)], ["month 2 earns 5 on average, month 1 6"]),
        (earned(3, -9, -5, -3, 40, rule=6.0), ["seed 3 earns 23, break-even 24", "seed 3 has no positive month among the first 3"]),
    ],
)  # fmt: skip
def test_targets_are_named_where_they_are_missed(months: list[Month], missed: list[str]) -> None:
    assert missed_targets(months) == missed


# ---------------------------------------------------------------- the loop through dbt


@pytest.fixture(scope="module")
def played(
    built_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Business, list[Month], list[World]]:
    """Two months of a small business on the pipeline that another test has trained."""
    deployed = built_project.folder / "models_ml" / "artifacts" / "demo"
    business, world = found(SETTING, tmp_path_factory.mktemp("loop") / "business", deployed)
    business = replace(business, options=QUICK)
    months, worlds = zip(*play(SETTING, business, world), strict=True)
    return business, list(months), list(worlds)


@pytest.mark.build
def test_actions_reach_the_world_and_come_back(played: tuple[Business, list[Month], list[World]]) -> None:
    business, months, worlds = played
    first, second = months
    assert (first.as_of_date, second.as_of_date) == ("2026-10-31", "2026-11-30")
    assert first.executed == first.appraisal.contacts > 10
    back = business.read("""
        select history.as_of_date, contacts.contacted_on, contacts.offer = history.action as is_what_was_decided
        from stg_retention_contacts as contacts
        inner join retention_actions_history as history
            on contacts.action_id = history.action_id and contacts.customer_id = history.customer_id""")
    assert len(back) == first.executed
    assert set(map(str, back["contacted_on"].to_pylist())) == {"2026-11-01"}
    assert all(back["is_what_was_decided"].to_pylist())
    assert second.executed == second.appraisal.contacts
    spent = [
        contact for contact in worlds[-1].events["retention_contacts"].to_pylist() if contact["action_id"]
    ]
    assert first.cost + second.cost == pytest.approx(float(sum(contact["cost"] for contact in spent)))
    assert first.accepted + second.accepted == sum(contact["accepted_on"] is not None for contact in spent)


@pytest.mark.build
def test_every_policy_is_judged_by_the_truth(played: tuple[Business, list[Month], list[World]]) -> None:
    months = played[1]
    for month in months:
        values = month.appraisal.values
        assert values[NOBODY] == 0
        assert values[BEST] == max(values.values()) > 0
        assert values[OWN] < values[BEST]
        assert {risk.offer for risk in month.risks} == set(economy.OFFERS)
        assert all(risk.low <= risk.believed <= risk.high and 0.3 < risk.true < 1.2 for risk in month.risks)
    assert mean_by_month(months, OWN) == [month.appraisal.values[OWN] for month in months]
    assert share_of_best(months) == pytest.approx(total(months, OWN) / total(months, BEST))


@pytest.mark.build
def test_results_and_page_hold_every_month(
    played: tuple[Business, list[Month], list[World]], tmp_path: Path
) -> None:
    months = played[1]
    lengths = [len(path.read_text().splitlines()) for path in write_results(tmp_path, months)]
    assert lengths == [1 + 2, 1 + 2 * 5, 1 + 2 * 35]
    page = render(loop_page([SETTING], months))
    assert "2026-11-30" in page
    assert page.count("<svg") == 2 + 5 + 1


@pytest.mark.build
def test_history_keeps_each_decision_once_and_a_replay_repeats_it(
    played: tuple[Business, list[Month], list[World]],
) -> None:
    business, months, _ = played
    held = kept(business)
    assert held.holds_each_once
    assert held.decisions == sum(month.appraisal.customers for month in months)
    assert list(replay(business, [month.as_of_date for month in months])) == [
        (month.as_of_date, 0) for month in months
    ]
    assert len(decisions(replace(business, warehouse_name="replay"))) == held.decisions
