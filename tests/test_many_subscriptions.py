"""A business with more subscription rows than one row group of DuckDB (122,880) is built like a small one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest
from conftest import Project

pytestmark = pytest.mark.build

SUBSCRIPTIONS = 150_000
SECONDS_AT_MOST = 180  # the part takes about 15 seconds; a query that waits for ever does not end

PART = ("+int_trial_assignments", "int_trial_probabilities")


def test_the_trial_of_a_large_business_is_scored_within_the_time_limit(
    fresh_copy: Project, small_world: Path, tmp_path: Path
) -> None:
    """Former customers of long ago change nothing for the trial, however many they are."""
    before = fresh_copy.query("select * from int_trial_probabilities order by all")
    raw = shutil.copytree(small_world, tmp_path / "raw")
    add_former_customers(raw)
    fresh_copy.raw_data = raw

    subprocess.run(
        ["dbt", "--quiet", "run", "--select", *PART],
        cwd=fresh_copy.folder,
        env=fresh_copy.variables,
        timeout=SECONDS_AT_MOST,
        check=True,
    )

    [(subscriptions,)] = fresh_copy.query("select count(*) from stg_subscriptions")
    assert subscriptions == SUBSCRIPTIONS
    assert before
    assert fresh_copy.query("select * from int_trial_probabilities order by all") == before


def add_former_customers(raw: Path) -> None:
    """Fill the subscriptions up with customers who were there for ten days, years ago, three at a time."""
    customers, subscriptions = raw / "customers.parquet", raw / "subscriptions.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            create table customers as from '{customers}';
            create table subscriptions as from '{subscriptions}';
            create table former as
                select range as place, 900000000 + range // 3 as customer_id
                from range({SUBSCRIPTIONS} - (select count(*) from subscriptions));
            insert into customers by name
                select distinct on (former.customer_id)
                    former.customer_id, date '2019-01-01' as signed_up_on, region, acquisition_channel, segment,
                    consents_to_email, consents_to_phone, consents_to_push
                from former
                cross join (select * from customers order by all limit 1) as anyone;
            insert into subscriptions by name
                select
                    900000000 + place as subscription_id, former.customer_id, plan, 'monthly' as billing_period,
                    monthly_fee, date '2019-01-01' + cast(30 * (place % 3) as integer) as started_on,
                    date '2019-01-11' + cast(30 * (place % 3) as integer) as ended_on
                from former
                cross join (select * from subscriptions order by all limit 1) as anyone;
            copy customers to '{customers}.new' (format parquet);
            copy subscriptions to '{subscriptions}.new' (format parquet);
            """
        )
    for file in (customers, subscriptions):
        Path(f"{file}.new").replace(file)
