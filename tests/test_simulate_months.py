"""Simulated months: true values by hand, contacts that return with their action_id, decisions that repeat."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace

import check_forecasts
import check_input_nights
import compare_policies
import learning_study
import numpy as np
import planned_value_study
import pyarrow as pa
import pytest
import simulate_months
import typer
from check_months import decisions, differences, history_counts, replay, with_new_warehouse
from conftest import Project
from dbt_project_copy import PROJECT, ProjectCopy
from decision_data import candidates, decision_inputs, effects, limits, policy
from demo_world import economy
from demo_world.probabilities import churn_probability
from demo_world.truth import truth
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from simulation.beliefs import learnable_coefficients
from simulation.business import prior_rows, write_raw, write_seeds
from simulation.compiled_project import BEFORE_DECISIONS, CompiledProject
from simulation.loop import ENDS_ON, Month, Setting, run_months, set_up
from simulation.page import simulation_page, verdict
from simulation.results import mean_by_month, missed_targets, share_of_best, total, write_results
from simulation.true_survival import days_kept, no_contacts
from simulation.true_value import (
    BEST,
    NOBODY,
    NOTHING_WITHHELD,
    OWN,
    MonthInputs,
    Truth,
    best_plan,
    read_truth,
    true_values,
    value_month,
    value_of,
)
from simulation.world import World, contacts_of, next_month, raw_tables, start_world
from typer.testing import CliRunner

from models_ml.decisions.decide import value_customers
from models_ml.decisions.limits import Limits
from models_ml.decisions.references import REFERENCE_POLICIES, Situation
from models_ml.errors import BayesPilotError
from models_ml.reports.page import render

QUICK = BEFORE_DECISIONS  # the decisions alone; reports and data tests of a build have tests of their own
SETTING = Setting(customers=600, months=2, seed=3, priors="wrong", learning_share=0.05, past_trial=True)


# ---------------------------------------------------------------- true values


def hidden(**changes: object) -> Truth:
    """Two customers and two offers, in numbers for calculation by hand."""
    values: dict[str, object] = {
        "churn_alone": np.array([0.5, 0.0]),
        "churn": np.array([[0.25, 0.75], [0.0, 0.5]]),
        "acceptance": np.array([[0.5, 0.25], [0.0, 1.0]]),
        "contact_cost": np.array([[1.0, 2.0], [1.0, 2.0]]),
        "incentive_cost": np.array([[4.0, 8.0], [4.0, 8.0]]),
        "monthly_margin": np.array([20.0, 10.0]),
        "days_kept": np.array([45.0, 60.0]),
    }
    return Truth(**(values | changes))  # type: ignore[arg-type]


def test_true_value_is_margin_kept_less_contact_cost_and_accepted_incentive() -> None:
    # V is 20 · 45 / 30 = 30 and 10 · 60 / 30 = 20.
    values = true_values(hidden())
    expected = [
        [0.25 * 30 - 1 - 0.5 * 4, -0.25 * 30 - 2 - 0.25 * 8],
        [-1.0, -0.5 * 20 - 2 - 8],
    ]
    np.testing.assert_allclose(values, expected)


def test_contacting_nobody_is_worth_nothing() -> None:
    assert value_of(np.array([-1, -1]), true_values(hidden())) == 0


def test_a_month_is_valued_by_hand() -> None:
    # Three of four customers may be contacted, one of them by call. V = 30 · 45 / 30 = 45, so that a call is worth
    # 0.2 · 45 − 2 − 1 = 6 and a nudge 0.1 · 45 − 1 = 3.5, without an effect −3 and −1.
    decision = decision_inputs(policy(horizon_days=30, value_horizon_days=90), works=effects(-2.0, -0.3))
    batch = candidates(
        4, monthly_revenue=[100.0, 90.0, 80.0, 70.0], suppression_reason=[None, None, None, "cool_down"]
    )
    known = Truth(
        churn_alone=np.full(4, 0.5),
        churn=np.array([[0.3, 0.4], [0.3, 0.5], [0.5, 0.5], [0.3, 0.4]]),
        acceptance=np.full((4, 2), 0.5),
        contact_cost=np.tile([2.0, 1.0], (4, 1)),
        incentive_cost=np.tile([2.0, 0.0], (4, 1)),
        monthly_margin=np.full(4, 30.0),
        days_kept=np.full(4, 45.0),
    )
    names = batch["customer_id"].to_pylist()
    inputs = MonthInputs(
        tuple(names),
        np.empty((4, 0)),
        value_customers([batch], decision),
        decision,
        limits(1000.0, 1, 4, phone=10, email=10),
        known,
    )
    decided = pa.table(
        {
            "customer_id": names,
            "planned_action": ["call", "nudge", "call", "call"],
            "action": ["call", "nudge", "no_action", "no_action"],
            "arm": ["policy", "trial", "pick_holdout", "trial"],  # the last one: drawn, and withdrawn
            "incremental_expected_value": [7.0, 1.5, None, None],
        }
    )
    value = value_month(inputs, decided.slice(0, 2), decided)
    assert value.by_policy[OWN] == pytest.approx(6 - 1)
    assert value.by_policy[NOTHING_WITHHELD] == pytest.approx(
        6 - 1 - 1
    )  # call, nudge, nudge, as believed best
    assert value.by_policy[BEST] == pytest.approx(3.5 + 6)
    assert value.by_policy[NOBODY] == 0
    assert (value.trial, value.withheld, value.expected) == pytest.approx((-1, -3, 8.5))
    assert (value.contacts, value.customers) == (2, 4)


def test_the_true_days_kept_are_those_of_the_world_left_alone() -> None:
    """Customers who stay in the month to come, and are never contacted, are followed until they leave."""
    world = start_world(customers=4_000, months=3, ends_on=ENDS_ON, seed=1)
    kept = days_kept(world.state, value_horizon_days=150, annual_discount_rate=0.0)
    future = next_month(world, no_contacts())  # November: the horizon, and two days more
    followed = np.flatnonzero(
        world.state.account.is_subscribed & future.state.account.is_subscribed[: world.state.customers]
    )
    days, stays = np.full(len(followed), 2.0), np.ones(len(followed), dtype=bool)
    for length in (31, 31, 28, 30):  # December to March, cut at day 150; the month of leaving counts whole
        days += length * stays
        future = next_month(future, no_contacts())
        stays &= future.state.account.is_subscribed[followed]
    assert kept[followed].mean() == pytest.approx(days.mean(), rel=0.01)
    assert days.mean() < 0.97 * (2 + 31 + 31 + 28 + 30), "many leave meanwhile"


def test_who_is_more_likely_to_leave_stays_for_less_even_once_saved() -> None:
    world = start_world(customers=4_000, months=3, ends_on=ENDS_ON, seed=1)
    kept = days_kept(world.state, value_horizon_days=365, annual_discount_rate=0.1)
    risk = churn_probability(world.state, np.full(world.state.customers, -1, dtype=np.int8))
    subscribed = world.state.account.is_subscribed
    risky, safe = subscribed & (risk > 0.3), subscribed & (risk < 0.03)
    assert 60 < kept[risky].mean() < kept[safe].mean() < 337


def test_truth_is_read_in_the_order_of_customers_and_offers() -> None:
    world = start_world(customers=100, months=3, ends_on=ENDS_ON, seed=1)
    table, day = truth(world.state), date(2026, 10, 31)
    ids = [str(each) for each in sorted(set(table["customer_id"].to_pylist()))]
    asked = [ids[5], ids[0]]
    read = read_truth(table, day, asked, ["pause", "call"], np.array([30.0, 60.0]))
    rows = {(str(row["customer_id"]), row["offer"]): row for row in table.to_pylist()}
    for values, column in (
        (read.churn, "churn_probability"),
        (read.acceptance, "acceptance_probability"),
        (read.contact_cost, "contact_cost"),
        (read.incentive_cost, "incentive_cost"),
    ):
        assert values.tolist() == [
            [float(rows[each, offer][column]) for offer in ("pause", "call")] for each in asked
        ], column
    assert read.churn_alone.tolist() == [rows[each, "no_action"]["churn_probability"] for each in asked]
    assert read.monthly_margin.tolist() == [float(rows[each, "call"]["monthly_margin"]) for each in asked]
    with pytest.raises(
        BayesPilotError, match=r"lacks 1 of 3 customers under no_action(.|\n)*first values: 999"
    ):
        read_truth(table, day, [*asked, "999"], ["pause"], np.zeros(3))
    with pytest.raises(BayesPilotError, match="lacks 2 of 2 customers"):
        read_truth(table, date(2026, 9, 30), asked, ["pause"], np.zeros(2))


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.floats(0, 2_000),
    st.lists(st.integers(0, 20), min_size=3, max_size=3),
)
def test_no_policy_is_worth_more_than_the_best_possible_plan(
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
    for name, follow in REFERENCE_POLICIES.items():
        assert value_of(follow(situation).choice, 100 * values) <= best.bound + 1e-6, name


def test_what_can_be_learned_of_offers_is_what_they_do_although_the_churn_model_is_off() -> None:
    rng = np.random.default_rng(5)
    signals = rng.random((300, 2))
    alone = rng.uniform(0.01, 0.6, 300)
    wanted = np.array([[-0.1, 0.5, -0.3], [0.0, 0.0, 0.2]])
    design = np.column_stack([np.ones(300), signals])
    known = replace(hidden(), churn_alone=alone, churn=expit(logit(alone)[:, None] + design @ wanted.T))
    believed = expit(logit(alone) + design @ np.array([0.2, -0.3, 0.1]))
    np.testing.assert_allclose(learnable_coefficients(known, signals, believed), wanted, atol=1e-4)


def test_risk_that_the_model_does_not_see_makes_effects_smaller() -> None:
    """Half of the customers leave with p = 0.5, half with 0.02; a contact halves the odds of each; the model sees 0.26."""
    alone = np.tile([0.5, 0.02], 50)
    known = replace(hidden(), churn_alone=alone, churn=expit(logit(alone) + np.log(0.5))[:, None])
    [[effect]] = learnable_coefficients(known, np.empty((100, 0)), np.full(100, 0.26))
    together = (1 / 3 + 0.02 / 1.98) / 2  # of odds 1/2 and of odds half of 2/98
    assert effect == pytest.approx(logit(together) - logit(0.26), abs=1e-4)
    assert np.log(0.5) < effect < 0


# ---------------------------------------------------------------- the world after its history


@pytest.fixture(scope="module")
def world() -> World:
    return start_world(customers=200, months=6, ends_on=ENDS_ON, seed=2)


def actions(*rows: tuple[str, int, str]) -> pa.Table:
    names = ("action_id", "customer_id", "action")
    return pa.Table.from_pylist(
        [dict(zip(names, (name, str(customer), action), strict=True)) for name, customer, action in rows]
    )


def test_actions_become_contacts_of_their_customers(world: World) -> None:
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
    with_trial, without = (
        raw_tables(start_world(customers=300, months=6, ends_on=ENDS_ON, seed=2, trial_months=months))
        for months in (14, 0)
    )
    assert sum(with_trial["retention_contacts"]["is_randomized"].to_pylist()) > 20
    assert len(without["retention_contacts"]) > 20
    assert not any(without["retention_contacts"]["is_randomized"].to_pylist())


# ---------------------------------------------------------------- seeds, results, comparison


def seed_rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "seeds" / "demo" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_limits_and_learning_share_are_written_to_the_seeds(tmp_path: Path) -> None:
    copy = ProjectCopy.create(tmp_path / "copy", tmp_path / "raw")
    write_seeds(copy, customers=10_000, learning_share=0.03, priors="demo")
    for name in ("policy", "offers", "channels", "offer_effect_priors"):
        shipped, written = (seed_rows(folder, name) for folder in (PROJECT, copy.folder))
        for before, after in zip(shipped, written, strict=True):
            expected = dict(before)
            if before.get("parameter") == "monthly_budget":
                expected["value"] = str(2 * int(before["value"]))
            if before.get("parameter") == "learning_share":
                expected["value"] = "0.03"
            if "monthly_capacity" in before:
                expected["monthly_capacity"] = str(2 * int(before["monthly_capacity"]))
            assert after == expected


def test_priors_are_named_or_read_from_a_file(tmp_path: Path) -> None:
    shipped = seed_rows(PROJECT, "offer_effect_priors")
    assert prior_rows("demo", shipped) == shipped
    for name, intercept in (("wrong", "-0.693147"), ("none", "-0.050000")):
        flat = prior_rows(name, shipped)
        assert [(row["offer"], row["signal"]) for row in flat] == [
            (row["offer"], row["signal"]) for row in shipped
        ]
        assert {(row["signal"] == "intercept", row["mean"]) for row in flat} == {
            (True, intercept),
            (False, "0.000000"),
        }
    file = tmp_path / "priors.csv"
    file.write_text("offer,signal,mean,sd\ncall,intercept,0.1,0.2\n")
    assert prior_rows(str(file), shipped) == [
        {"offer": "call", "signal": "intercept", "mean": "0.1", "sd": "0.2"}
    ]
    file.write_text("offer,signal,mean,variance\ncall,intercept,0.1,0.2\n")
    with pytest.raises(BayesPilotError, match=r"(?s)no such columns.*priors\.csv.*variance"):
        prior_rows(str(file), shipped)
    with pytest.raises(BayesPilotError, match="no priors 'nun'"):
        prior_rows("nun", [])


def test_raw_tables_come_with_their_last_day(tmp_path: Path) -> None:
    copy = ProjectCopy.create(tmp_path / "copy", tmp_path / "raw")
    write_raw(copy, {"customers": pa.table({"customer_id": [1]})}, np.datetime64("2027-02-28"))
    assert (tmp_path / "raw" / "customers.parquet").is_file()
    declaration = copy.folder / "dbt_project" / "sources" / "demo" / "sources.yml"
    assert "data_ends_on: \"date '2027-02-28'\"" in declaration.read_text()
    declaration.write_text("sources: []")
    with pytest.raises(BayesPilotError, match="0 lines declare data_ends_on"):
        write_raw(copy, {}, np.datetime64("2027-02-28"))


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
            value=SimpleNamespace(by_policy={**others, OWN: value, "break-even": rule}),
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


def test_one_month_cannot_show_whether_the_policy_learns() -> None:
    app = typer.Typer()
    app.command()(simulate_months.main)
    finished = CliRunner().invoke(app, ["--months", "1", "--check", "--priors", "nun"])
    assert finished.exit_code == 2, finished.output


@pytest.mark.parametrize(
    ("script", "option"),
    [
        (simulate_months, "--seeds"),
        (compare_policies, "--seeds"),
        (planned_value_study, "--seeds"),
        (learning_study, "--seeds"),
        (check_input_nights, "--customers"),
    ],
)
@pytest.mark.parametrize("numbers", ["101,x", "101,,102", "-1", "101,101"])
def test_numbers_that_name_no_different_worlds_are_wrong_usage(
    script: ModuleType, option: str, numbers: str
) -> None:
    app = typer.Typer()
    app.command()(script.main)
    finished = CliRunner().invoke(app, [option, numbers])
    assert finished.exit_code == 2, finished.output
    assert option in finished.output


@pytest.mark.parametrize("script", [check_forecasts, check_input_nights])
def test_a_build_that_fails_is_said_without_a_stack_trace(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise BayesPilotError("cannot train", next_step="load more data")

    monkeypatch.setattr(script.ProjectCopy, "build", fails)
    monkeypatch.setattr(script, "raw_chunks", lambda **_: iter(()))
    app = typer.Typer()
    app.command()(script.main)
    finished = CliRunner().invoke(app, [])
    assert finished.exit_code == 1
    assert finished.exception is None or isinstance(finished.exception, SystemExit)
    assert "load more data" in finished.output


def test_brackets_in_a_message_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BayesPilotError("dbt build failed: names [call], see [/tmp/x]")

    monkeypatch.setattr(simulate_months, "simulate", fails)
    with pytest.raises(typer.Exit):
        simulate_months.main()
    assert "names [call], see [/tmp/x]" in capsys.readouterr().out


def test_a_world_that_fails_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def second_fails(setting: Setting, *_: object, **__: object) -> list[Month]:
        if setting.seed == 2:
            raise BayesPilotError("the first pipeline of seed 2 is refused")
        return earned(setting.seed, 10.0)

    shown: list[list[Month]] = []
    monkeypatch.setattr(simulate_months, "simulate", second_fails)
    monkeypatch.setattr(simulate_months, "print_months", lambda *_: None)
    monkeypatch.setattr(simulate_months, "print_effects", lambda *_: None)
    monkeypatch.setattr(simulate_months, "print_totals", lambda _, months: shown.append(months))
    monkeypatch.setattr(simulate_months, "write_results", lambda *_: [])
    monkeypatch.setattr(simulate_months, "write_simulation_page", lambda *_: Path("page"))
    with pytest.raises(typer.Exit):
        simulate_months.main(seeds="1,2,3")
    told = capsys.readouterr().out
    assert "the first pipeline of seed 2 is refused" in told
    assert [month.seed for month in shown[0]] == [1, 3]
    assert told.endswith("Left out, because they failed: seeds 2.\n")


def test_a_rule_that_earns_the_same_is_neither_ahead_nor_behind() -> None:
    months = earned(1, 0.0, rule=0.0)
    months[0].value.by_policy.update(greedy=2.0, **{BEST: 4.0})  # type: ignore[attr-defined]
    assert verdict(months) == (
        "BayesPilot's contacts had a true value of 0 EUR per world, 0 % of that of the best possible plans;"
        " greedy would have earned more."
    )


# ---------------------------------------------------------------- the loop through dbt


Simulated = tuple[ProjectCopy, list[Month], list[World]]


@pytest.fixture(scope="module")
def simulated(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Two months of a small business on a pipeline that is trained already."""
    deployed = built_project.folder / "models_ml" / "artifacts" / "demo"
    project, world = set_up(SETTING, tmp_path_factory.mktemp("loop") / "business", deployed, Project)
    months, worlds = zip(*run_months(SETTING, project, world, QUICK), strict=True)
    return project, list(months), list(worlds)


@pytest.mark.build
def test_actions_are_executed_and_return_as_contacts(simulated: Simulated) -> None:
    project, months, worlds = simulated
    first, second = months
    assert (first.as_of_date, second.as_of_date) == ("2026-10-31", "2026-11-30")
    assert first.executed == first.value.contacts > 10
    back = project.read("""
        select history.as_of_date, contacts.contacted_on, contacts.offer = history.action as is_what_was_decided
        from stg_retention_contacts as contacts
        inner join retention_actions_history as history
            on contacts.action_id = history.action_id and contacts.customer_id = history.customer_id""")
    assert len(back) == first.executed
    assert set(map(str, back["contacted_on"].to_pylist())) == {"2026-11-01"}
    assert all(back["is_what_was_decided"].to_pylist())
    assert second.executed == second.value.contacts
    spent = [
        contact for contact in worlds[-1].events["retention_contacts"].to_pylist() if contact["action_id"]
    ]
    assert first.cost + second.cost == pytest.approx(float(sum(contact["cost"] for contact in spent)))
    assert first.accepted + second.accepted == sum(contact["accepted_on"] is not None for contact in spent)


@pytest.mark.build
def test_every_policy_is_valued_by_the_truth(simulated: Simulated) -> None:
    months = simulated[1]
    for month in months:
        values = month.value.by_policy
        assert values[NOBODY] == 0
        assert values[BEST] == max(values.values()) > 0
        assert values[OWN] < values[BEST]
        assert {risk.offer for risk in month.risks} == set(economy.OFFERS)
        assert all(risk.low <= risk.believed <= risk.high and 0.3 < risk.true < 1.2 for risk in month.risks)
    assert mean_by_month(months, OWN) == [month.value.by_policy[OWN] for month in months]
    assert share_of_best(months) == pytest.approx(total(months, OWN) / total(months, BEST))


@pytest.mark.build
def test_results_and_page_hold_every_month(simulated: Simulated, tmp_path: Path) -> None:
    months = simulated[1]
    lengths = [len(path.read_text().splitlines()) for path in write_results(tmp_path, months)]
    assert lengths == [1 + 2, 1 + 2 * 5, 1 + 2 * 35]
    page = render(simulation_page([SETTING], months))
    assert "2026-11-30" in page
    assert page.count("<svg") == 2 + 5 + 1


@pytest.mark.build
def test_history_keeps_each_decision_once_and_a_replay_repeats_it(
    simulated: Simulated,
) -> None:
    project, months, _ = simulated
    held = history_counts(project)
    assert held.holds_each_once
    assert held.decisions == sum(month.value.customers for month in months)
    assert list(replay(project, [month.as_of_date for month in months], QUICK)) == [
        (month.as_of_date, 0) for month in months
    ]
    assert len(decisions(with_new_warehouse(project))) == held.decisions


DECISION = (
    "customer_id, as_of_date, action_id, planned_action, action, arm, propensity, propensity_no_action,"
    " churn_probability, customer_value, relative_risk, expected_cost, incremental_expected_value, suppression_reason,"
    " valid_from, valid_to"
)


@pytest.mark.build
def test_months_without_dbt_decide_as_dbt_does(
    simulated: Simulated, built_project: Project, tmp_path: Path
) -> None:
    """Built once with other beliefs, forked, and run with those of the dbt loop: each decision is the same."""
    project, months, worlds = simulated
    other = replace(SETTING, priors="demo", learning_share=0.0)
    deployed = built_project.folder / "models_ml" / "artifacts" / "demo"
    first, world = set_up(other, tmp_path / "built", deployed, Project)
    write_raw(first, raw_tables(world), world.as_of_date)
    first.build(*QUICK)
    fork = CompiledProject.of(first, world.as_of_date).fork(tmp_path / "fork")
    write_seeds(
        fork.project,
        customers=SETTING.customers,
        learning_share=SETTING.learning_share,
        priors=SETTING.priors,
    )
    fork.load_seeds()
    fast, after = zip(*run_months(SETTING, fork.project, world, compiled=fork), strict=True)
    query = f"select {DECISION} from retention_actions_history order by all"
    assert fork.project.read(query).equals(project.read(query))
    assert [month.value for month in fast] == [month.value for month in months]
    contacts = [each[-1].events["retention_contacts"] for each in (after, worlds)]
    assert contacts[0].equals(contacts[1])
