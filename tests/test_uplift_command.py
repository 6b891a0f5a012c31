"""``bayespilot uplift FILE``: what it reads, prints and writes, and how it refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner
from uplift_study import WORLDS, simulate_trial

from models_ml.cli import app
from models_ml.errors import BayesPilotError
from models_ml.uplift.files import file_schema, guess_control, read_file
from models_ml.uplift.page import feature_groups, plan_groups
from models_ml.uplift.settings import load_settings
from models_ml.uplift.trial import Trial

SETTINGS = load_settings()
ASKED = (
    "--treatment", "offer", "--outcome", "stayed", "--value", "100", "--cost", "call=4,discount=8",
    "--learners", "effect_posterior", "--currency", "EUR",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trial")
    frame = simulate_trial(WORLDS["some harmed"], 3000, 1).frame
    frame.insert(0, "customer_id", np.arange(3000))
    frame.to_csv(path / "trial.csv", index=False)
    frame.to_parquet(path / "trial.parquet")
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["uplift", *(str(argument) for argument in arguments)], env={"COLUMNS": "160"}
    )
    return result.exit_code, result.output


def test_a_file_becomes_a_verdict_a_table_and_a_page(folder: Path) -> None:
    code, said = run(folder / "trial.csv", *ASKED, "--out", folder / "page.html")
    assert code == 0, said
    assert "Personalising is shown to help" in said
    assert re.search(r"learned policy +\d+ %", said)
    assert "Left out, another value in every row: customer_id." in said
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "Personalising is shown to help" in page
    assert "No propensity was given" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    for title in (
        "What each policy is worth",
        "Who gets which offer",
        "How the policy was chosen",
        "The trial",
    ):
        assert title in page


def test_csv_and_parquet_give_the_same_page(folder: Path) -> None:
    pages = []
    for name in ("trial.csv", "trial.parquet"):
        code, said = run(folder / name, *ASKED, "--out", folder / "same.html")
        assert code == 0, said
        pages.append((folder / "same.html").read_text(encoding="utf-8").replace(name, ""))
    assert pages[0] == pages[1]


def test_a_budget_and_capacities_limit_the_plan(folder: Path) -> None:
    code, said = run(
        folder / "trial.csv", *ASKED, "--budget", 1500, "--capacity", "discount=50", "--out", folder / "few.html"
    )  # fmt: skip
    assert code == 0, said
    assert re.search(r"all call +12 %", said)  # 1,500 buys 375 calls for 3,000
    assert re.search(r"all discount +2 %", said)
    assert "drawn by lot" in (folder / "few.html").read_text(encoding="utf-8")


def test_a_plan_for_too_few_to_tell_is_said(tmp_path: Path) -> None:
    """The plan calls twelve of 2,000 customers, and the trial called too few of these to tell."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"offer": np.where(random.random(2000) < 0.3, "call", "none")})
    frame["tenure"], frame["usage"] = random.normal(size=2000), random.normal(size=2000)
    gain = 0.4 * np.sign(frame["tenure"]) * (frame["offer"] == "call")
    frame["stayed"] = (random.random(2000) < 0.5 + gain).astype(int)
    frame.to_csv(tmp_path / "trial.csv", index=False)
    code, said = run(
        tmp_path / "trial.csv", "--treatment", "offer", "--outcome", "stayed", "--value", 20, "--cost", 1,
        "--propensity", 0.3, "--capacity", "call=12", "--seed", 1, "--learners", "effect_posterior",
        "--out", tmp_path / "few.html",
    )  # fmt: skip
    assert code == 0, said
    assert "differs from “treat none” for too few customers to tell" in " ".join(said.split())
    (row,) = (line for line in said.splitlines() if line.strip().startswith("learned policy"))
    assert re.search(r"\d % +too few customers to tell", row)
    page = (tmp_path / "few.html").read_text(encoding="utf-8")
    cells = re.search(r"<tr[^>]*>\s*<t[dh][^>]*>learned policy</t[dh]>(.*?)</tr>", page, re.DOTALL)
    assert cells is not None
    assert cells[1].count("too few customers to tell") == 2, "neither the value nor what it adds is shown"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("--outcome", "left"), "a column is missing"),
        (("--treatment", "arm"), "a column is missing"),
        (("--control", "nobody"), "no row of offer is the control"),
        (("--cost", "call=4"), "costs and offers differ"),
        (("--cost", "price"), "price"),
        (("--propensity", "none=0.2,call=0.4,discount=0.4"), "contradict the shares of the arms"),
        (("--features", "age"), "age"),
        (("--exclude", "tenure,usage,plan"), "no column is left as a feature"),
        (("--capacity", "mail=3"), "a capacity names no offer"),
        (("--learners", "magic"), "unknown learner"),
    ],
)
def test_what_a_person_can_correct_is_said_with_exit_code_1(
    folder: Path, changes: tuple[str, str], words: str
) -> None:
    code, said = run(folder / "trial.csv", *ASKED, *changes, "--out", folder / "never.html")
    assert code == 1
    assert words in said
    assert not (folder / "never.html").exists()


def test_wrong_usage_has_exit_code_2(folder: Path) -> None:
    assert run(folder / "trial.csv")[0] == 2
    for wrong in (
        ("--propensity", "call=half"), ("--capacity", "call=-1"), ("--capacity", "call=nan"), ("--seed", "-1"),
        ("--out", folder),
    ):  # fmt: skip
        assert run(folder / "trial.csv", *ASKED, *wrong)[0] == 2


def test_a_page_that_cannot_be_written_does_not_cost_the_verdict(folder: Path) -> None:
    code, said = run(folder / "trial.csv", *ASKED, "--out", folder / "trial.csv" / "page.html")
    assert code == 1
    assert "Personalising is shown to help" in said
    assert "the page cannot be written" in said


def test_the_help_explains_every_option() -> None:
    code, said = run("--help")
    assert code == 0
    for option in (
        "--treatment",
        "--outcome",
        "--control",
        "--value",
        "--cost",
        "--propensity",
        "--features",
        "--seed",
    ):
        assert option in said


class TestFiles:
    def test_roles_follow_from_types(self) -> None:
        table = pa.table(
            {
                "id": np.arange(40),
                "code": np.arange(40) % 4,
                "orders": np.arange(40) % 20,
                "share": np.linspace(0, 1, 40),
                "plan": ["a", "b"] * 20,
                "active": [True, False] * 20,
                "since": pd.date_range("2025-01-01", periods=40),
                "country": ["PT"] * 40,
                "y": [0, 1] * 20,
            }
        )
        schema, notes = file_schema(table, settings=SETTINGS.columns, named=[], left_out=["y"])
        assert {feature.feature: feature.role for feature in schema.features} == {
            "code": "categorical", "orders": "numeric", "share": "numeric", "plan": "categorical",
            "active": "categorical",
        }  # fmt: skip
        assert any("another value in every row: id" in note for note in notes)
        assert any("one value only: country" in note for note in notes)
        assert any("timestamp" in note and "since" in note for note in notes)

    def test_an_empty_text_is_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "trial.csv"
        path.write_text("arm,vip,age\nno,yes,1\ncall,,\n,,3\n", encoding="utf-8")
        table = read_file(path)
        assert [table[name].null_count for name in ("arm", "vip", "age")] == [1, 2, 1]
        schema, _ = file_schema(table, settings=SETTINGS.columns, named=["vip"], left_out=[])
        assert schema.names == ("vip",)

    def test_the_control_is_guessed_only_where_it_is_clear(self) -> None:
        assert guess_control(("Yes", "No"), "offer") == "No"
        assert guess_control(("0", "1"), "offer") == "0"
        assert guess_control(("true", "false"), "offer") == "false"
        for arms in (("a", "b"), ("none", "control", "x")):
            with pytest.raises(BayesPilotError, match="--control"):
                guess_control(arms, "offer")

    def test_files_that_cannot_be_read_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(BayesPilotError, match="there is no such file"):
            read_file(tmp_path / "none.csv")
        for name, content, fault in (
            ("twice.csv", b"arm,age,age\nno,1,2\n", "have the same name(.|\n)*age"),
            ("latin.csv", b"arm,age\nr\xfcckruf,1\n", "not in UTF-8(.|\n)*arm"),
        ):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(BayesPilotError, match=fault):
                read_file(tmp_path / name)
        broken = tmp_path / "broken.parquet"
        broken.write_bytes(b"no parquet")
        with pytest.raises(BayesPilotError, match="cannot be read"):
            read_file(broken)


def as_expected(trial: Trial, outcomes: np.ndarray) -> Trial:
    """Return the trial with the outcome that was expected of each row."""
    return replace(trial, outcome=outcomes[np.arange(len(trial)), trial.arm])


class TestGroups:
    @pytest.fixture
    def trial(self) -> Trial:
        count = 40
        features = pa.table(
            {"plan": ["a", "b"] * 20, "age": np.arange(40.0), "noise": [1.0, 1.0, 2.0, 2.0] * 10}
        )
        schema, _ = file_schema(features, settings=SETTINGS.columns, named=[], left_out=[])
        arm = (np.arange(count) // 2) % 2
        return Trial(
            features, schema, arm, ("call",), "none", np.zeros(count), True, np.full(count, 0.5), np.ones(count),
            np.zeros((count, 2)),
        )  # fmt: skip

    def test_the_feature_that_decides_comes_first(self, trial: Trial) -> None:
        planned = (np.arange(40) % 2 == 0).astype(int)  # all of plan a
        scatter = np.tile([0.5, 0.5, -0.5, -0.5], 10)
        outcomes = np.column_stack([np.zeros(40), np.where(planned == 1, 2.0, -1.0) + scatter])
        found = feature_groups(as_expected(trial, outcomes), planned, outcomes, SETTINGS)
        assert found[0].feature == "plan"
        assert found[0].information == pytest.approx(np.log(2))
        first, second = found[0].groups
        assert (first.label, first.customers, first.treated.tolist()) == ("= a", 20, [1.0])
        assert second.label == "= b"
        assert second.gains[0].value == pytest.approx(-1.0)

    def test_parts_of_a_number_hold_every_customer_once(self, trial: Trial) -> None:
        planned = (np.arange(40) < 10).astype(int)
        found = {of.feature: of for of in feature_groups(trial, planned, np.zeros((40, 2)), SETTINGS)}
        assert [group.customers for group in found["age"].groups] == [10, 10, 10, 10]
        assert found["age"].groups[0].treated.tolist() == [1.0]
        assert [group.customers for group in found["noise"].groups] == [20, 20]

    def test_nothing_is_said_where_all_are_treated_alike(self, trial: Trial) -> None:
        assert feature_groups(trial, np.ones(40, dtype=int), np.zeros((40, 2)), SETTINGS) == []

    def test_gains_are_means_with_the_interval_of_a_mean(self, trial: Trial) -> None:
        outcomes = np.column_stack([np.zeros(40), np.arange(40.0)])
        everybody = np.tile([0.0, 1.0], (40, 1))
        (group,) = plan_groups(as_expected(trial, outcomes), everybody, outcomes, SETTINGS)
        assert group.gains[0].value == pytest.approx(19.5)
        assert group.gains[0].standard_error == pytest.approx(np.arange(40).std(ddof=1) / 40**0.5)
        untouched = replace(trial, arm=np.zeros(40, dtype=np.int64))
        (alone,) = plan_groups(untouched, everybody, outcomes, SETTINGS)
        assert alone.gains == (None,)

    def test_a_few_controls_without_the_outcome_show_no_gain(self, trial: Trial) -> None:
        """Of 180 contacted 5 % responded, of 20 left alone nobody: by chance, one time in three."""
        arm = (np.arange(200) < 180).astype(int)
        few = replace(
            trial.part(np.zeros(200, dtype=int)), arm=arm, outcome=(np.arange(200) < 9) * 1.0,
            propensity=np.where(arm == 1, 0.9, 0.1),
        )  # fmt: skip
        (group,) = plan_groups(few, np.tile([0.0, 1.0], (200, 1)), np.full((200, 2), 0.05), SETTINGS)
        assert group.gains[0].value == pytest.approx(0.05)
        assert group.gains[0].low < 0
