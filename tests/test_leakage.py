"""Features that are too good to be true are named; strong but honest ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import training_data

from models_ml.errors import BayesPilotError
from models_ml.train_and_deploy import train_and_deploy
from models_ml.training import feature_schema
from models_ml.training.context import warehouse_tables
from models_ml.training.leakage import (
    Suspect,
    check_names,
    find_suspects,
    refuse_suspects,
)
from models_ml.training.settings import LeakageLimits, load_settings

LIMITS = LeakageLimits(
    auc=0.99, confidence=0.99, leavers_at_least=20, category_leaver_share=0.05, category_churn_rate=0.9
)
ROWS = 2_000


def world(seed: int = 0) -> tuple[np.random.Generator, np.ndarray]:
    random = np.random.default_rng(seed)
    return random, random.random(ROWS) < 0.05


def suspects(columns: dict[str, Any], churned: np.ndarray, **given: Any) -> list[Suspect]:
    roles = {
        name: "categorical" if pa.types.is_string(pa.array(values).type) else "numeric"
        for name, values in columns.items()
    }
    return find_suspects(pa.table(columns), feature_schema(roles), churned, limits=LIMITS, **given)


def test_a_number_that_knows_the_label_is_named_in_either_direction() -> None:
    random, churned = world()
    noise = random.normal(size=ROWS)
    found = suspects({"honest": noise + churned, "known": noise - 20 * churned}, churned)
    assert [suspect.feature for suspect in found] == ["known"]
    assert "AUC 1.000" in found[0].evidence


def test_a_date_that_only_leavers_have_separates_by_being_missing() -> None:
    random, churned = world()
    closing = np.where(churned, random.integers(1, 28, ROWS), np.nan).astype(float)
    reversed_ = np.where(churned, np.nan, random.integers(1, 28, ROWS)).astype(float)
    found = suspects({"days_to_closing": closing, "days_active": reversed_}, churned)
    assert [suspect.feature for suspect in found] == ["days_to_closing", "days_active"]


def test_a_category_of_leavers_that_nobody_has_today_is_named() -> None:
    random, churned = world()
    former = np.where(churned & (random.random(ROWS) < 0.3), "former", "private")
    today = {"segment": {"private"}}
    found = suspects({"segment": former.tolist()}, churned, run_categories=today)
    assert [suspect.feature for suspect in found] == ["segment"]
    assert "'former'" in found[0].evidence
    still_there = {"segment": {"private", "former"}}
    assert not suspects({"segment": former.tolist()}, churned, run_categories=still_there)


def test_a_small_or_mixed_category_is_no_leak() -> None:
    _, churned = world()
    today = {"segment": {"private"}}
    leavers = np.flatnonzero(churned)
    rare = np.full(ROWS, "private", dtype=object)
    rare[leavers[:2]] = "moved"  # 2 % of the leavers
    assert not suspects({"segment": rare.tolist()}, churned, run_categories=today)
    mixed = np.full(ROWS, "private", dtype=object)
    mixed[leavers[:30]] = "trial"
    mixed[np.flatnonzero(~churned)[:10]] = "trial"  # 75 % of them left
    assert not suspects({"segment": mixed.tolist()}, churned, run_categories=today)


def test_a_status_that_follows_the_label_is_named_even_if_it_is_still_used() -> None:
    _, churned = world()
    status = np.where(churned, "closed", "running").tolist()
    found = suspects({"status": status}, churned, run_categories={"status": {"closed", "running"}})
    assert [suspect.feature for suspect in found] == ["status"]


def test_a_text_of_its_own_for_every_customer_is_an_id() -> None:
    _, churned = world()
    found = suspects({"account": [f"a{row}" for row in range(ROWS)]}, churned)
    assert "id" in found[0].evidence


def test_many_categories_without_information_are_no_leak() -> None:
    random, churned = world()
    cities = [f"city {code}" for code in random.integers(0, 900, ROWS)]
    assert not suspects({"city": cities}, churned)


def test_customers_with_notice_do_not_count() -> None:
    random, churned = world()
    notice = churned & (random.random(ROWS) < 0.6)
    announced = np.where(notice, 1.0, 0.0) * 5 + random.normal(size=ROWS)
    known = {"days_since_notice": announced}
    assert not suspects(known, churned, without_notice=~notice)


def test_few_leavers_say_nothing() -> None:
    churned = np.zeros(ROWS, dtype=bool)
    churned[:19] = True
    assert not suspects({"known": churned.astype(float)}, churned)
    churned[19] = True
    assert suspects({"known": churned.astype(float)}, churned)


@pytest.mark.parametrize("seed", range(5))
def test_a_strong_honest_feature_passes(seed: int) -> None:
    random, churned = world(seed)
    assert not suspects({"strong": random.normal(size=ROWS) + 2.9 * churned}, churned)  # AUC 0.98


@pytest.mark.parametrize(("churners", "stayers"), [(20, 20), (20, 200), (50, 50), (100, 1000)])
def test_a_feature_as_good_as_the_limit_is_refused_once_in_a_hundred(churners: int, stayers: int) -> None:
    random, churned = np.random.default_rng(0), np.arange(churners + stayers) < churners
    refused = sum(
        bool(suspects({"strong": random.normal(size=len(churned)) + 3.29 * churned}, churned))  # AUC 0.99
        for _ in range(500)
    )
    assert refused <= 12


def test_enough_customers_show_perfect_separation() -> None:
    for churners, stayers in ((20, 400), (60, 70), (400, 20)):
        churned = np.arange(churners + stayers) < churners
        assert suspects({"known": churned + np.arange(len(churned)) / 1e6}, churned)


@pytest.mark.parametrize("name", ["customer_id", "has_churned", "left"])
def test_label_and_keys_are_refused_as_features(name: str) -> None:
    schema = feature_schema({"tenure_days": "numeric", name: "numeric"})
    with pytest.raises(BayesPilotError, match=name):
        check_names(schema, "left")


def test_the_refusal_says_how_to_allow_it_and_then_lets_it_pass() -> None:
    found = [Suspect("segment", "80 of 80 customers with 'former' left")]
    with pytest.raises(BayesPilotError, match=r"segment: 80 of 80(.|\n)*trusted_features to 'segment'"):
        refuse_suspects(found, trusted=())
    refuse_suspects(found, trusted=("segment",))


def test_the_hint_keeps_what_was_allowed_before() -> None:
    found = [Suspect("segment", "former"), Suspect("status", "gone")]
    with pytest.raises(BayesPilotError, match=r"trusted_features to 'segment, status'") as refused:
        refuse_suspects(found, trusted=("segment",))
    assert "status: gone" in str(refused.value)
    assert "segment: former" not in str(refused.value)
    refuse_suspects(found, trusted=["segment", "status"])
    with pytest.raises(BayesPilotError, match=r"trusted_features to 'segment'"):
        refuse_suspects(found[:1], trusted=("none",))


LEAKS = {
    "a status of today on past dates": "update training_examples set plan = 'former' where has_churned",
    "a closing date of the leavers": (
        "alter table training_examples alter days_since_last_activity type double;"
        "update training_examples set days_since_last_activity = null;"
        "update training_examples set days_since_last_activity = 3 where has_churned"
    ),
    "a count that is written on the last day": (
        "update training_examples set days_since_last_activity = days_since_last_activity + 1000 where has_churned"
    ),
}


@pytest.mark.parametrize("leak", sorted(LEAKS))
def test_training_on_the_warehouse_stops_and_names_the_feature(leak: str, tmp_path: Path) -> None:
    connection = training_data.warehouse(customers=1500)
    connection.execute(LEAKS[leak])
    feature = "plan" if "plan" in LEAKS[leak] else "days_since_last_activity"
    with pytest.raises(BayesPilotError, match=rf"too good to be true(.|\n)*first values: {feature}"):
        train_and_deploy(connection, warehouse_tables(), tmp_path, load_settings(), notify=lambda _: None)
    assert list(tmp_path.iterdir()) == []
