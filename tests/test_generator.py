"""The demo world: the same bytes for the same arguments, consistent records, offers that act as the truth says."""

from __future__ import annotations

import csv
import dataclasses
import filecmp
from collections.abc import Iterator
from pathlib import Path

import duckdb
import generate_churn_data
import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from demo_world import economy, history, probabilities, records
from demo_world.contacts import COOL_DOWN_DAYS, Contacts, past_contacts
from demo_world.history import Chunk, simulate_history
from demo_world.month import step_month
from demo_world.sign_ups import FIRST_CUSTOMER_ID, initial_base, with_sign_ups
from demo_world.state import State
from demo_world.subscriptions import month_presence
from demo_world.truth import truth

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "seeds" / "raw" / "demo"
STAGING = ROOT / "dbt_project" / "sources" / "demo"
ENDS_ON = generate_churn_data.ENDS_ON
TABLES = sorted(generate_churn_data.TABLES)
RAW = sorted(records.SCHEMAS)


def everyone(state: State, offer: int) -> np.ndarray:
    return np.full(state.customers, offer, dtype=np.int8)


def same_contact(state: State, positions: np.ndarray, offer: int) -> Contacts:
    count = len(positions)
    first_day = np.zeros(count, dtype=np.int64)
    offers = np.full(count, offer, dtype=np.int8)
    return Contacts(
        positions, offers, first_day, first_day.astype(bool), np.full(count, np.nan), (None,) * count
    )


def no_contacts() -> Contacts:
    none = np.empty(0, dtype=np.int64)
    return Contacts(none, none.astype(np.int8), none, none.astype(bool), none.astype(float), ())


@pytest.fixture(scope="module")
def simulated() -> tuple[State, records.Events]:
    """Two years of 3,000 customers, future knowledge included."""
    return simulate_history(Chunk(3, 3000), months=24, ends_on=ENDS_ON, seed=11)


@pytest.fixture(scope="module")
def world(simulated: tuple[State, records.Events]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Its clean raw tables in DuckDB."""
    connection = duckdb.connect()
    for name, table in records.observed(simulated[1], ENDS_ON).items():
        connection.register(name, table)
    yield connection
    connection.close()


def one(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    return connection.execute(query).fetchall()[0][0]


# ---------------------------------------------------------------- the same bytes


def test_bundled_files_come_from_the_stated_arguments(tmp_path: Path) -> None:
    readme = (STAGING / "README.md").read_text()
    assert "generate_churn_data.py --customers 5000 --months 24 --seed 7 --out seeds/raw/demo" in readme
    generate_churn_data.main(customers=5000, months=24, seed=7, out=tmp_path, clean=False)
    for name in TABLES:
        ours, bundled = tmp_path / f"{name}.parquet", BUNDLED / f"{name}.parquet"
        assert pq.read_table(ours).equals(pq.read_table(bundled)), name
        if pq.read_metadata(ours).created_by == pq.read_metadata(bundled).created_by:
            assert filecmp.cmp(ours, bundled, shallow=False), name


def test_bundled_files_are_small() -> None:
    sizes = [path.stat().st_size for path in BUNDLED.iterdir()]
    assert len(sizes) == len(TABLES)
    assert max(sizes) < 4e6
    assert sum(sizes) < 5e6


def test_same_arguments_same_bytes_another_seed_another_world(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate_churn_data.main(customers=200, months=4, seed=seed, out=tmp_path / folder, clean=False)
    for name in TABLES:
        first, again, other = (tmp_path / folder / f"{name}.parquet" for folder in "abc")
        assert filecmp.cmp(first, again, shallow=False), name
        assert not filecmp.cmp(first, other, shallow=False), name


def test_a_chunk_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # The size of a chunk is part of the world: another size gives another world. Their number is not.
    monkeypatch.setattr(history, "CHUNK_CUSTOMERS", 150)
    small, large = (
        list(generate_churn_data.raw_chunks(customers=customers, months=3, seed=5, clean=True))
        for customers in (300, 450)
    )
    assert [len(chunks) for chunks in (small, large)] == [2, 3]
    for name in TABLES:
        assert small[1][name].equals(large[1][name]), name
        assert not large[1][name].equals(large[2][name]), name
    ids = pa.concat_tables([chunk["customers"] for chunk in large])["customer_id"]
    assert len(ids.unique()) == 450


def test_a_crash_leaves_the_earlier_files_whole(tmp_path: Path) -> None:
    generate_churn_data.main(customers=50, months=2, seed=1, out=tmp_path, clean=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> Iterator[records.Events]:
        yield from generate_churn_data.raw_chunks(customers=60, months=2, seed=2, clean=False)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        generate_churn_data.write_parquet(broken(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---------------------------------------------------------------- consistent records

VIOLATIONS = {
    "an event outside a subscription": """
        select count(*) from activity a where not exists (
            select 1 from subscriptions s where s.customer_id = a.customer_id
            and s.started_on <= cast(a.occurred_at as date)
            and (s.ended_on is null or s.ended_on > cast(a.occurred_at as date)))
            -- the base's earlier periods are not in the extract
            and cast(a.occurred_at as date) >= date '2024-11-01'""",
    "an event before the extract": """
        select count(*) from activity where occurred_at < date '2024-11-01'""",
    "a ticket outside a subscription": """
        select count(*) from support_tickets a where not exists (
            select 1 from subscriptions s where s.customer_id = a.customer_id
            and s.started_on <= cast(a.opened_at as date)
            and (s.ended_on is null or s.ended_on > cast(a.opened_at as date)))""",
    "an invoice outside a subscription": """
        select count(*) from payments a where not exists (
            select 1 from subscriptions s where s.customer_id = a.customer_id
            and s.started_on <= a.due_on and (s.ended_on is null or s.ended_on > a.due_on))""",
    "a contact outside a subscription": """
        select count(*) from retention_contacts a where not exists (
            select 1 from subscriptions s where s.customer_id = a.customer_id
            and s.started_on <= a.contacted_on and (s.ended_on is null or s.ended_on > a.contacted_on))""",
    "a period that ends before it starts, or overlaps the next": """
        select count(*) from (
            select *, lead(started_on) over (partition by customer_id order by subscription_id) as next_start
            from subscriptions
        ) where ended_on < started_on or next_start < ended_on
            or (next_start is not null and ended_on is null)""",
    "a customer without a subscription": """
        select count(*) from customers where customer_id not in (select customer_id from subscriptions)""",
    "a record of an unknown customer": """
        select count(*) from (
            select customer_id from subscriptions union all select customer_id from activity
            union all select customer_id from payments union all select customer_id from support_tickets
            union all select customer_id from retention_contacts
        ) where customer_id not in (select customer_id from customers)""",
    "a repeated id": """
        select (select count(*) - count(distinct customer_id) from customers)
            + (select count(*) - count(distinct (subscription_id, started_on)) from subscriptions)
            + (select count(*) - count(distinct payment_id) from payments)
            + (select count(*) - count(distinct ticket_id) from support_tickets)
            + (select count(*) - count(distinct contact_id) from retention_contacts)""",
    "an effect before its cause": """
        select (select count(*) from payments where paid_on < due_on)
            + (select count(*) from support_tickets where resolved_at < opened_at)
            + (select count(*) from retention_contacts where accepted_on < contacted_on)""",
    "knowledge of the future": """
        select count(*) from (
            select ended_on as day from subscriptions union all select paid_on from payments
            union all select started_on from subscriptions union all select due_on from payments
            union all select signed_up_on from customers union all select accepted_on from retention_contacts
            union all select contacted_on from retention_contacts
            union all select cast(occurred_at as date) from activity
            union all select cast(resolved_at as date) from support_tickets
            union all select cast(opened_at as date) from support_tickets
        ) where day > date '2026-10-31'""",
    "a rating of an open ticket": """
        select count(*) from support_tickets where resolved_at is null and satisfaction is not null""",
    "an amount where nothing is bought, or none where something is": """
        select count(*) from activity where (activity_type = 'add_on_purchase') <> (amount is not null)""",
    "a contact without consent": """
        select count(*) from retention_contacts join customers using (customer_id)
        where (offer in ('nudge_email', 'discount', 'plan_change') and not consents_to_email)
            or (offer = 'call' and not consents_to_phone) or (offer = 'pause' and not consents_to_push)""",
    "a contact without its cost, a control with one": """
        select count(*) from retention_contacts where (offer = 'no_action') <> (cost = 0)
            or (offer = 'no_action' and accepted_on is not null)""",
    "a wrong propensity": """
        select count(*) from retention_contacts where is_randomized <> (propensity is not null)
            or (offer = 'no_action' and not is_randomized) or action_id is not null""",
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_clean_records_are_free_of(world: duckdb.DuckDBPyConnection, violation: str) -> None:
    assert one(world, VIOLATIONS[violation]) == 0


def test_about_four_percent_of_subscribers_leave_a_month(world: duckdb.DuckDBPyConnection) -> None:
    rates = world.execute("""
        with dates as (
            select last_day(cast(first_day as date)) as as_of_date
            from (select unnest(range(date '2024-10-01', date '2026-10-01', interval 1 month)) as first_day)
        ), running as (
            select as_of_date, customer_id from dates join subscriptions
            on started_on <= as_of_date and (ended_on is null or ended_on > as_of_date)
        )
        select avg(cast(not exists (
            select 1 from subscriptions s where s.customer_id = running.customer_id
            and s.started_on <= as_of_date + 28 and (s.ended_on is null or s.ended_on > as_of_date + 28)
        ) as integer)) from running group by as_of_date order by as_of_date
    """).fetchall()
    monthly = [rate for (rate,) in rates]
    assert len(monthly) == 24
    assert 0.03 < np.mean(monthly) < 0.05
    assert min(monthly) > 0.02
    assert max(monthly) < 0.07


def test_some_leavers_resume_after_the_horizon(world: duckdb.DuckDBPyConnection) -> None:
    gaps = world.execute("""
        select started_on - last_end as days from (
            select started_on,
                lag(ended_on) over (partition by customer_id order by subscription_id) as last_end
            from subscriptions
        ) where started_on > last_end
    """).fetchall()
    assert len(gaps) > 10
    assert min(days for (days,) in gaps) > economy.HORIZON_DAYS


def test_bad_rows_are_the_documented_ones(simulated: tuple[State, records.Events]) -> None:
    clean = records.observed(simulated[1], ENDS_ON)
    dirty = records.with_bad_rows(clean)
    assert {
        name: len(dirty[name]) - len(clean[name]) for name in RAW if len(dirty[name]) != len(clean[name])
    } == {
        "customers": 1,
        "activity": 5,
    }
    assert dirty["activity"]["quantity"].null_count == 3
    early = pc.less(dirty["support_tickets"]["resolved_at"], dirty["support_tickets"]["opened_at"])
    assert pc.sum(early).as_py() == 1
    assert {name for name in RAW if not clean[name].equals(dirty[name])} == {
        "customers",
        "activity",
        "support_tickets",
    }


# ---------------------------------------------------------------- one month, a pure function


def copied(state: State) -> dict[str, np.ndarray]:
    return {
        f"{part}.{field.name}": getattr(getattr(state, part), field.name).copy()
        for part in ("traits", "account", "drivers")
        for field in dataclasses.fields(getattr(state, part))
    }


def test_a_month_does_not_change_its_arguments_and_repeats(simulated: tuple[State, records.Events]) -> None:
    state = simulated[0]
    before = copied(state)
    contacts = past_contacts(state, np.random.default_rng(1), is_last=False, has_trial=True)
    first, again = (step_month(state, contacts, np.random.default_rng(2)) for _ in range(2))
    for name, array in copied(state).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    for name, array in copied(first[0]).items():
        np.testing.assert_array_equal(array, copied(again[0])[name], err_msg=name)
    assert all(first[1][name].equals(again[1][name]) for name in first[1])
    assert first[0].month == state.month + 1


def test_a_contact_does_not_affect_other_customers(simulated: tuple[State, records.Events]) -> None:
    state = simulated[0]
    subscribed = np.flatnonzero(state.account.is_subscribed)
    contacted = subscribed[::3]
    others = np.setdiff1d(np.arange(state.customers), contacted)
    with_contacts, _ = step_month(
        state, same_contact(state, contacted, economy.CALL), np.random.default_rng(3)
    )
    without, _ = step_month(state, no_contacts(), np.random.default_rng(3))
    for name, array in copied(with_contacts).items():
        np.testing.assert_array_equal(array[others], copied(without)[name][others], err_msg=name)
    left = [np.sum(~world.account.is_subscribed[contacted]) for world in (with_contacts, without)]
    assert left[0] != left[1]


def test_sign_ups_are_subscribed_in_their_month(simulated: tuple[State, records.Events]) -> None:
    state = with_sign_ups(simulated[0], 40, np.random.default_rng(4))
    assert not state.account.is_subscribed[-40:].any()
    after, events = step_month(state, no_contacts(), np.random.default_rng(5))
    assert after.account.is_subscribed[-40:].all()
    assert len(events["customers"]) == 40
    assert len(np.unique(after.traits.customer_id)) == after.customers
    started = events["subscriptions"]["started_on"].to_numpy()
    assert (started >= state.starts_on).all()


@pytest.mark.parametrize("offer", [economy.NO_ACTION, *range(len(economy.OFFERS))])
def test_contacted_customers_leave_at_the_true_rate(
    simulated: tuple[State, records.Events], offer: int
) -> None:
    state = simulated[0]
    subscribed = np.flatnonzero(state.account.is_subscribed)
    contacts = same_contact(state, subscribed, offer)
    expected = probabilities.churn_probability(state, everyone(state, offer))[subscribed]
    months = 200
    left = np.zeros(len(subscribed))
    for seed in range(months):
        presence = month_presence(state, contacts, np.random.default_rng(seed))
        # the end of service falls on the 28th day at the latest: offsets count from the month's first
        left += (presence.leaves & (presence.ends < economy.HORIZON_DAYS))[subscribed]
    observed, error = left.sum() / months, np.sqrt((expected * (1 - expected)).sum() / months)
    assert abs(observed - expected.sum()) < 4 * error


# ---------------------------------------------------------------- contacts and their effects


@pytest.fixture(scope="module")
def large_state() -> State:
    state = initial_base(np.datetime64("2025-01"), 20_000, FIRST_CUSTOMER_ID, np.random.default_rng(6))
    for seed in range(3):
        state, _ = step_month(state, no_contacts(), np.random.default_rng(seed))
    return state


def test_the_trial_ignores_risk_and_campaigns_target_it(large_state: State) -> None:
    contacts = past_contacts(large_state, np.random.default_rng(7), is_last=False, has_trial=True)
    risk = probabilities.churn_log_odds(large_state)
    admitted = probabilities.admitted_offers(large_state)
    eligible = risk[admitted.any(axis=1)]
    error = eligible.std() / np.sqrt(contacts.is_randomized.sum())
    trial, campaign = contacts.position[contacts.is_randomized], contacts.position[~contacts.is_randomized]
    assert abs(risk[trial].mean() - eligible.mean()) < 3 * error
    assert risk[campaign].mean() > eligible.mean() + 5 * error
    arms = contacts.offer[contacts.is_randomized]
    for arm in (economy.NO_ACTION, *range(len(economy.OFFERS))):
        members = trial[arms == arm]
        # compared with the customers who may get the arm: consent and plan are not random
        could = risk[admitted[:, arm]] if arm >= 0 else eligible
        assert abs(risk[members].mean() - could.mean()) < 4 * could.std() / np.sqrt(len(members))


def test_the_trial_states_the_probability_of_its_arms(large_state: State) -> None:
    contacts = past_contacts(large_state, np.random.default_rng(8), is_last=False, has_trial=True)
    admitted = probabilities.admitted_offers(large_state)[contacts.position]
    in_trial = contacts.is_randomized
    np.testing.assert_allclose(contacts.propensity[in_trial], 1 / (admitted.sum(axis=1)[in_trial] + 1))
    assert np.isnan(contacts.propensity[~in_trial]).all()
    for arm in range(len(economy.OFFERS)):
        possible = in_trial & admitted[:, arm]
        expected = contacts.propensity[possible].sum()
        assert abs((contacts.offer[possible] == arm).sum() - expected) < 4 * np.sqrt(expected)
    assert admitted[contacts.offer >= 0, contacts.offer[contacts.offer >= 0]].all()


def test_no_second_contact_within_the_cool_down(world: duckdb.DuckDBPyConnection) -> None:
    shortest = one(
        world,
        """
        select min(contacted_on - earlier) from (
            select contacted_on,
                lag(contacted_on) over (partition by customer_id order by contacted_on) as earlier
            from retention_contacts where offer <> 'no_action'
        )""",
    )
    assert shortest == COOL_DOWN_DAYS + 1


def test_the_last_month_holds_a_few_contacts(world: duckdb.DuckDBPyConnection) -> None:
    recent = one(
        world,
        """
        select count(distinct customer_id) from retention_contacts
        where offer <> 'no_action' and contacted_on > date '2026-10-31' - 35""",
    )
    subscribers = one(world, "select count(*) from subscriptions where ended_on is null")
    assert 0.003 < recent / subscribers < 0.05


def test_truth_is_consistent(
    simulated: tuple[State, records.Events], world: duckdb.DuckDBPyConnection
) -> None:
    world.register("truth", truth(simulated[0]))
    subscribers = one(world, "select count(*) from subscriptions where ended_on is null")
    assert one(world, "select count(*) from truth") == subscribers * (len(economy.OFFERS) + 1)
    unsound = """
        select count(*) from truth where churn_probability <= 0 or churn_probability >= 1
            or acceptance_probability < 0 or acceptance_probability >= 1 or monthly_margin <= 0
            or (offer = 'no_action') <> (contact_cost = 0) or as_of_date <> date '2026-10-31'
            or (offer = 'no_action' and (incentive_cost > 0 or acceptance_probability > 0))
            or (offer = 'no_action' and not is_admitted)"""
    assert one(world, unsound) == 0
    changes = {
        offer: (harmed, helped)
        for offer, harmed, helped in world.execute("""
            select offered.offer,
                avg(cast(offered.churn_probability > 1.2 * alone.churn_probability as integer)),
                avg(cast(offered.churn_probability < 0.9 * alone.churn_probability as integer))
            from truth as offered join truth as alone
            on offered.customer_id = alone.customer_id and alone.offer = 'no_action'
            where offered.offer <> 'no_action' group by offered.offer
        """).fetchall()
    }
    assert set(changes) == set(economy.OFFERS)
    for harmed, helped in changes.values():
        assert 0.005 < harmed < 0.2
        assert helped > 0.05


def test_a_contact_harms_dormant_customers(large_state: State) -> None:
    silent = large_state.account.is_subscribed & (large_state.drivers.silent_months >= 4)
    alone = probabilities.churn_probability(large_state, everyone(large_state, economy.NO_ACTION))
    nudged = probabilities.churn_probability(large_state, everyone(large_state, economy.NUDGE_EMAIL))
    assert silent.sum() > 100
    assert np.mean(nudged[silent] > alone[silent]) > 0.9


def test_signals_of_leavers_appear_before_they_leave(world: duckdb.DuckDBPyConnection) -> None:
    rows = world.execute("""
        with running as (
            select customer_id, coalesce(ended_on <= date '2026-10-28', false) and customer_id not in (
                select customer_id from subscriptions where ended_on is null
            ) as leaves
            from subscriptions where started_on <= date '2026-09-30'
            and (ended_on is null or ended_on > date '2026-09-30')
        ), shown as (
            select running.leaves,
                exists (select 1 from activity a where a.customer_id = running.customer_id
                    and activity_type in ('data_export', 'pricing_page_view')
                    and occurred_at between date '2026-09-01' and date '2026-10-01') as exports_or_compares,
                exists (select 1 from payments p where p.customer_id = running.customer_id
                    and due_on between date '2026-08-15' and date '2026-09-25'
                    and (paid_on is null or paid_on - due_on > 5)) as pays_late,
                exists (select 1 from support_tickets t where t.customer_id = running.customer_id
                    and opened_at between date '2026-08-15' and date '2026-10-01'
                    and satisfaction <= 2) as rates_poorly
            from running
        )
        select leaves, avg(cast(exports_or_compares as integer)), avg(cast(pays_late as integer)),
            avg(cast(rates_poorly as integer)) from shown group by leaves order by leaves
    """).fetchall()
    stayers, leavers = rows
    assert all(leaver > 1.5 * stayer for stayer, leaver in zip(stayers[1:], leavers[1:], strict=True))


# ---------------------------------------------------------------- declarations and seeds of the demo source


def declared() -> dict[str, dict[str, str]]:
    source = yaml.safe_load((STAGING / "sources.yml").read_text())["sources"][0]
    assert source["config"]["meta"]["data_ends_on"] == f"date '{ENDS_ON}'"
    return {
        table["name"]: {column["name"]: column["data_type"] for column in table["columns"]}
        for table in source["tables"]
    }


def described_types(query: str) -> dict[str, str]:
    """Return the columns of a query with their types, texts by the name that every engine knows."""
    described = duckdb.sql(f"describe {query}").fetchall()
    return {row[0]: row[1].lower().replace("varchar", "string") for row in described}


def test_sources_declare_the_raw_columns_with_their_types() -> None:
    tables = declared()
    assert sorted(tables) == RAW
    for name, columns in tables.items():
        assert described_types(f"select * from '{BUNDLED / name}.parquet'") == columns, name


@pytest.mark.parametrize("name", [*RAW, "consents"])
def test_staging_selects_meet_their_contract(name: str) -> None:
    contract = yaml.safe_load((ROOT / "dbt_project/models/staging/staging.yml").read_text())["models"]
    wanted = {
        column["name"]: column["data_type"].replace(" ", "")
        for model in contract
        if model["name"] == f"stg_{name}"
        for column in model["columns"]
    }
    template = jinja2.Template((STAGING / f"stg_{name}.sql").read_text())
    query = template.render(
        source=lambda _, table: f"'{BUNDLED / table}.parquet'",
        countable=lambda amount, kind: f"cast({amount} as {kind})",
    )
    assert wanted
    assert described_types(query) == wanted


def test_staging_leaves_out_no_raw_column_but_the_flags_that_become_consents() -> None:
    contract = yaml.safe_load((ROOT / "dbt_project/models/staging/staging.yml").read_text())["models"]
    staged = {model["name"]: {column["name"] for column in model["columns"]} for model in contract}
    left_out = {
        (name, column)
        for name, columns in declared().items()
        for column in set(columns) - staged[f"stg_{name}"]
    }
    assert left_out == {("customers", f"consents_to_{channel}") for channel in economy.OFFER_CHANNELS}
    flags = duckdb.sql(
        f"select customer_id::varchar, consents_to_phone from '{BUNDLED}/customers.parquet' order by all"
    ).fetchall()
    template = jinja2.Template((STAGING / "stg_consents.sql").read_text())
    query = template.render(source=lambda _, table: f"'{BUNDLED / table}.parquet'")
    consents = duckdb.sql(
        f"select customer_id, is_granted from ({query}) where channel = 'phone' order by all"
    ).fetchall()
    assert consents == flags


def test_no_model_reads_the_truth() -> None:
    assert "truth" not in declared()
    for path in (ROOT / "dbt_project").rglob("*.*"):
        if path.suffix in {".sql", ".py", ".yml"}:
            assert "truth.parquet" not in path.read_text(), path


def seed(name: str) -> list[dict[str, str]]:
    with (ROOT / "seeds" / "demo" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_seed_row_states_unit_and_source() -> None:
    for path in (ROOT / "seeds" / "demo").glob("*.csv"):
        for row in seed(path.stem):
            assert row["unit"], (path.name, row)
            assert row["source"], (path.name, row)


def test_priors_resemble_the_truth_but_are_not_it() -> None:
    rows = {(row["offer"], row["signal"]): float(row["mean"]) for row in seed("offer_effect_priors")}
    assert set(rows) == {(o, s) for o in economy.OFFERS for s in ("intercept", *economy.SIGNALS)}
    assert [row["offer"] for row in seed("offers")] == list(economy.OFFERS)
    believed = np.array([[rows[o, s] for s in ("intercept", *economy.SIGNALS)] for o in economy.OFFERS])
    assert np.corrcoef(believed.ravel(), economy.OFFER_EFFECTS.ravel())[0, 1] > 0.8
    assert np.abs(believed - economy.OFFER_EFFECTS).max() > 0.1
    assert (believed[:, 1 + economy.SIGNALS.index("dormant")] > 0).all()


def test_every_activity_type_has_its_seed_row() -> None:
    assert {row["activity_type"] for row in seed("activity_map")} == set(economy.ACTIVITY_TYPES)
