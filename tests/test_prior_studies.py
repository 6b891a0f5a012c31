"""The studies that decide with one set of priors after another: draws, what is judged, and which targets are missed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import learning_study
import numpy as np
import planned_value_study
import pytest
import typer
from conftest import Project
from learning_study import FLAT, FROZEN, GOOD, WRONG, Played
from planned_value_study import Draw, decided_draws
from rich.console import Console
from simulation.built_world import BuiltWorld, Errors, built_world, drawn_priors, prior_stream
from simulation.loop import Setting

from models_ml.errors import BayesPilotError


@pytest.fixture(scope="module")
def built(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> BuiltWorld:
    """A small business whose pipeline is trained already."""
    setting = Setting(customers=600, months=1, seed=4, priors="demo", learning_share=0.1, past_trial=True)
    deployed = built_project.folder / "models_ml" / "artifacts" / "demo"
    return built_world(setting, tmp_path_factory.mktemp("study") / "business", deployed, Project)


TARGET = np.array([[-0.1], [0.3]])


def drawn_means(seed: int, sign: float = 1.0) -> list[float]:
    rows = [{"offer": offer, "signal": "intercept", "mean": "9", "sd": "0.2"} for offer in ("call", "nudge")]
    errors = Errors(np.random.default_rng(seed), sign)
    drawn = drawn_priors(rows, TARGET, ["call", "nudge"], ["intercept"], 0.5, errors)
    return [float(row["mean"]) for row in drawn]


def test_priors_are_drawn_around_the_target_as_wide_and_as_correlated_as_they_say() -> None:
    means = np.array([drawn_means(seed) for seed in range(4_000)])
    assert means.mean(axis=0) == pytest.approx(TARGET.ravel(), abs=0.015)
    assert means.std(axis=0) == pytest.approx([0.2, 0.2], rel=0.05)
    assert np.corrcoef(means.T)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_a_mirrored_draw_misses_by_as_much_on_the_other_side() -> None:
    means = np.array([drawn_means(7), drawn_means(7, sign=-1.0)])
    assert means.mean(axis=0) == pytest.approx(TARGET.ravel(), abs=2e-6)
    assert abs(means[0] - means[1]).min() > 0.01


def test_priors_are_no_numbers_that_the_world_is_made_of() -> None:
    """A world of several chunks reads default_rng([seed, chunk])."""
    drawn = {prior_stream(seed, draw).random() for seed in (1, 2) for draw in range(3)}
    world = {np.random.default_rng([seed, chunk]).random() for seed in (1, 2) for chunk in range(3)}
    assert len(drawn) == 6
    assert not drawn & world


@pytest.mark.build
def test_a_night_is_decided_again_with_each_draw(built: BuiltWorld) -> None:
    first, second = decided_draws(built, 2)
    assert first.contacts > 10
    assert second.contacts > 10
    assert first.expected_value != second.expected_value
    assert first.low < first.planned_value < first.high
    assert first.optimism > 0
    again = next(decided_draws(built, 1))
    assert again == first


@pytest.mark.build
def test_each_set_of_priors_plays_from_the_same_start(built: BuiltWorld) -> None:
    played = {row.priors: row for row in learning_study.play_world(built)}
    assert set(played) == {FLAT, WRONG, GOOD, FROZEN}
    assert len({row.best for row in played.values()}) > 1  # a trial leaves the plan other customers
    assert all(row.contacts > 0 and row.value <= row.best for row in played.values())
    promised = {priors: row.believed - row.value for priors, row in played.items()}
    assert promised[WRONG] > promised[GOOD]  # beyond what is earned
    assert built.compiled.learns


@pytest.mark.build
def test_a_copy_may_have_another_policy(built: BuiltWorld) -> None:
    with built.fork(policy={"pick_holdout_share": 0.25}) as fork:
        stored = fork.project.read("select parameter, value from policy")
    values = dict(zip(stored["parameter"].to_pylist(), stored["value"].to_pylist(), strict=True))
    assert values["pick_holdout_share"] == "0.25"
    assert values["learning_share"] == "0.1"


def draw(planned: float, true: float, cost: float, *, low: float = 0.0, high: float = 9.0) -> Draw:
    return Draw(1, 0, 1, planned, 0.5, low, high, true, cost, 1.0)


def test_a_study_of_plans_names_what_it_misses() -> None:
    right = [draw(1.0, 1.0, 1.0)] * 8 + [draw(1.0, 1.0, 1.0, low=2.0)] * 2
    assert planned_value_study.missed_targets(right) == []
    wrong = [draw(1.2, 1.0, 1.1)] * 10
    assert planned_value_study.missed_targets(wrong) == [
        "planned over true value is 1.20, not within 0.85 to 1.15",
        "planned over true cost is 1.10, not within 0.95 to 1.05",
        "coverage of the 80 % interval is 1.00, not within 0.68 to 0.92",
    ]
    console = Console(width=120, record=True, quiet=False)
    planned_value_study.print_draws(console, wrong)
    assert "1.70" in console.export_text()  # the sum of expected values over the truth


def test_a_draw_without_contacts_is_no_draw_to_judge() -> None:
    nothing = Draw(1, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert planned_value_study.missed_targets([nothing]) == [
        "no draw makes a contact, so that no target can be judged"
    ]
    console = Console(width=120, record=True, quiet=False)
    planned_value_study.print_draws(console, [nothing])
    assert "nan" in console.export_text()
    right = [draw(1.0, 1.0, 1.0)] * 8 + [draw(1.0, 1.0, 1.0, low=2.0)] * 2
    assert planned_value_study.missed_targets(right + [nothing] * 10) == []


def months(priors: str, values: list[float], seed: int = 1, *, tried: int = 5) -> list[Played]:
    return [
        Played(seed, priors, month, value, 10.0, 5.0, value, 1, tried)
        for month, value in enumerate(values, start=1)
    ]


def study(change: Callable[[str], list[float]]) -> list[Played]:
    """Two seeds; learning earns 1 and 2 of 60 more than the same priors frozen."""
    usual = {FLAT: [1.0, 1.0, 2.0, 3.0, 3.0, 3.0], WRONG: [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0], FROZEN: [5.0] * 6}
    rows = []
    for seed in (1, 2):
        for priors, values in usual.items():
            rows += months(priors, change(priors) or values, seed)
        rows += months(GOOD, change(GOOD) or [5.0] * 5 + [6.0 + 0.1 * seed], seed)
    return rows


def test_months_in_which_nothing_is_worth_a_contact_have_no_share_of_the_best() -> None:
    rows = [Played(1, FLAT, 1, 0.0, 0.0, 0.0, 0.0, 0, 0)]
    assert np.isnan(learning_study.share_of_best(rows))
    learning_study.print_study(Console(quiet=True), rows)


@pytest.mark.parametrize(
    ("priors", "values", "missed"),
    [
        (GOOD, [], []),
        (
            FLAT,
            [3.0, 3.0, 2.0, 1.0, 1.0, 1.0],
            ["flat priors: months 4 to 6 earn no more than months 1 and 2"],
        ),
        (
            WRONG,
            [-1.0, -1.0, -3.0, 1.0, 1.0, 1.0],
            ["wrong priors: the total is not positive", "wrong priors: month 3 loses 3 on average"],
        ),
        (
            GOOD,
            [1.0] * 6,
            [
                "good priors: learning adds -40.0 points, within two standard errors",
                "good priors: learning costs 40.0 points in one world",
            ],
        ),
    ],
)
def test_a_study_of_learning_names_what_it_misses(
    priors: str, values: list[float], missed: list[str]
) -> None:
    rows = study(lambda name: values if name == priors else [])
    assert learning_study.missed_targets(rows, offers=5) == missed


def test_only_priors_that_were_played_are_judged() -> None:
    wrong = [row for row in study(lambda _: [-1.0] * 6) if row.priors == WRONG]
    assert learning_study.missed_targets(wrong, offers=5)[0] == "wrong priors: the total is not positive"
    good = [row for row in study(lambda _: []) if row.priors == GOOD]
    assert learning_study.missed_targets(good, offers=5) == []


def test_what_was_not_played_is_not_said_to_be_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sets of priors, the months and the worlds that a target needs are named where they are missing."""
    assert learning_study.not_judged(study(lambda _: [])) == []
    one_month = [row for row in study(lambda _: []) if row.month == 1 and row.seed == 1]
    assert learning_study.not_judged(one_month) == [
        "flat priors: months 4 to 6 against months 1 and 2, with 1 played",
        "wrong priors: losses from month 3 on, with 1 played",
        "good priors: two standard errors of one world",
    ]
    monkeypatch.setattr(learning_study, "built_world", lambda *_: None)
    monkeypatch.setattr(learning_study, "play_world", lambda *_: months(GOOD, [5.0]))
    learning_study.main(seeds="7", priors=GOOD)
    last = " ".join(capsys.readouterr().out.split("No target is missed.")[1].split())
    assert last == "Not judged: priors none: not played; priors wrong: not played; priors frozen: not played."


@pytest.mark.parametrize("study", [learning_study, planned_value_study])
def test_a_world_whose_pipeline_is_refused_is_named_and_fails_the_study(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(setting: Setting, _: Path) -> BuiltWorld:
        raise BayesPilotError(f"the first pipeline of seed {setting.seed} is refused")

    monkeypatch.setattr(study, "built_world", refused)
    with pytest.raises(typer.Exit):
        study.main(seeds="7,8")
    told = capsys.readouterr()
    assert "the first pipeline of seed 8 is refused" in told.err
    assert told.out.split("\n")[:2] == ["seed 7 is left out", "seed 8 is left out"]


def test_an_offer_that_is_never_tried_is_named() -> None:
    rows = [*study(lambda _: []), *months(FLAT, [3.0] * 6, 3, tried=4), *months(GOOD, [5.0] * 5 + [6.15], 3)]
    rows += [*months(FROZEN, [5.0] * 6, 3), *months(WRONG, [1.0] * 6, 3)]
    assert learning_study.missed_targets(rows, offers=5) == ["flat priors, seed 3: 4 of 5 offers tried"]


def test_rows_are_written(tmp_path: Path) -> None:
    learning_study.write_rows(tmp_path / "new" / "rows.csv", months(FLAT, [1.0]))
    assert (tmp_path / "new" / "rows.csv").read_text().splitlines()[1].startswith("1,none,1,1.0,10.0,5.0")
