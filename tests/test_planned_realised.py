"""Planned against realised value, by offer: hand-worked rows of a warehouse."""

from __future__ import annotations

import duckdb
import pytest

from models_ml.evaluation.planned_realised import ALL_OFFERS, planned_realised_table

EPISODES = """
    select
        date '2026-01-01' as outcome_month, customer_id, offer, expected_value, arm = 'policy' or arm = 'held' as is_chosen,
        arm = 'held' as is_left_alone, 0.5::double as propensity_no_action, has_left, false as is_contaminated,
        case when arm = 'held' then 0 else -100 end as realised_cents, case when has_left then 0 else 5000 end as to_come_cents,
        5000 as at_opening_cents, 0.0::double as predicted_left_alone
    from (
        select
            printf('%s %d', {offer}, i) as customer_id, {offer} as offer,
            case when {arm} = 'policy' then 2.5::double end as expected_value, {arm} as arm, i < {leavers} as has_left
        from range({count}) as numbers (i)
    )
"""


def group(offer: str, arm: str, count: int, leavers: int) -> str:
    return EPISODES.format(offer=f"'{offer} {arm}'", arm=f"'{arm}'", count=count, leavers=leavers).replace(
        f"'{offer} {arm}' as offer", f"'{offer}' as offer"
    )


NOTHING = "select null::date as last_month where false"


def rows(*groups: str, earlier: str = NOTHING) -> dict[str, dict[str, object]]:
    with duckdb.connect() as connection:
        episodes = " union all ".join(groups)
        table = planned_realised_table(connection.cursor(), episodes=episodes, earlier=earlier)
    return {str(row["offer"]): row for row in table.to_pylist()}


def test_by_offer_and_in_all() -> None:
    # Of 100 called 10 leave, of 100 left alone 20: 50 · 0.1 − 1 = 4 a call, where 2.5 was expected.
    # Of 100 written to 30 leave, of 100 left alone 20: 50 · −0.1 − 1 = −6.
    found = rows(
        group("call", "policy", 100, 10),
        group("call", "held", 100, 20),
        group("nudge", "policy", 100, 30),
        group("nudge", "held", 100, 20),
        group("nudge", "trial", 50, 50),
    )
    assert list(found) == ["call", "nudge", ALL_OFFERS]
    call, nudge, every = found.values()
    assert (call["contacts"], call["controls"], call["planned_value"]) == (100, 100, 250)
    assert call["realised_value"] == pytest.approx(400)
    assert call["realised_over_planned"] == pytest.approx(1.6)
    assert nudge["realised_value"] == pytest.approx(-600)
    assert every["realised_value"] == pytest.approx(-200)
    assert every["realised_low"] < -200 < every["realised_high"]  # type: ignore[operator]
    assert every["ratio_low"] == pytest.approx(every["realised_low"] / 500, abs=1e-4)  # type: ignore[operator]
    assert call["reason"] is None


def test_too_few_say_why() -> None:
    found = rows(group("call", "policy", 100, 10), group("call", "held", 1, 0))
    assert found["call"]["realised_value"] is None
    assert found["call"]["reason"]
    assert found["call"]["planned_value"] == 250


def test_no_episode_no_row() -> None:
    assert rows(group("call", "trial", 3, 1)) == {}


def test_rows_stay_until_a_further_month_has_finished() -> None:
    kept = """
        select offer, 7 as contacts, 5 as controls, 1.5 as planned_value, 2.5 as realised_value, 0.5 as realised_low,
            4.5 as realised_high, 1.6 as realised_over_planned, 0.3 as ratio_low, 3.0 as ratio_high,
            null::varchar as reason, date '{month}' as last_month, 'EUR' as currency
        from (values ('call'), ('all')) as offers (offer)"""
    found = rows(group("call", "policy", 100, 10), earlier=kept.format(month="2026-01-01"))
    assert found["call"]["contacts"] == 7
    found = rows(group("call", "policy", 100, 10), earlier=kept.format(month="2025-12-01"))
    assert found["call"]["contacts"] == 100
    assert str(found["call"]["last_month"]) == "2026-01-01"
