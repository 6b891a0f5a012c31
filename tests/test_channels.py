"""Channels are data: a row in channels.csv, an offer that uses it and consents are all that a new one needs."""

from __future__ import annotations

import pytest
from conftest import DECIDE, UNTESTED, Project

pytestmark = pytest.mark.build

CAPACITY = 7
CONSENTS = "dbt_project/sources/demo/stg_consents.sql"


def planned_by(project: Project, channel: str) -> int:
    """Return the contacts that the latest plan makes on a channel, withheld ones included."""
    return int(
        project.query(
            "select count(*) from retention_actions join int_offers on planned_action = offer"
            f" where int_offers.channel = '{channel}'"
        )[0][0]
    )


@pytest.fixture
def with_sms(fresh_copy: Project) -> Project:
    """A built project whose e-mail nudge is sent by SMS instead, to customers who consented to e-mail."""
    seeds = fresh_copy.folder / "seeds" / "demo"
    channels = seeds / "channels.csv"
    channels.write_text(channels.read_text() + f"sms,{CAPACITY},contacts per calendar month,test\n")
    offers = seeds / "offers.csv"
    lines = offers.read_text().splitlines()
    offers.write_text(
        "\n".join(
            line.replace(",email,", ",sms,") if line.startswith("nudge_email,") else line for line in lines
        )
        + "\n"
    )
    consents = fresh_copy.folder / CONSENTS
    consents.write_text(
        consents.read_text().replace(
            "\n),\n\nconsents as (",
            "    union all\n    select customer_id, 'sms' as channel, consents_to_email as is_granted from customers\n"
            "),\n\nconsents as (",
        )
    )
    return fresh_copy


def test_a_new_channel_is_a_row_an_offer_and_consents(with_sms: Project) -> None:
    with_sms.dbt("build", *UNTESTED, "--select", "+int_consents")
    with_sms.dbt("build", *DECIDE)
    assert planned_by(with_sms, "sms") == CAPACITY
    assert with_sms.query("select monthly_limit from int_month_limits where limit_name = 'sms'") == [
        (CAPACITY,)
    ]
    sent = with_sms.query("select count(*) from retention_actions_deliverable where channel = 'sms'")[0][0]
    assert 0 < sent <= CAPACITY


def test_the_variable_sets_the_capacity_of_a_channel(fresh_copy: Project) -> None:
    fresh_copy.dbt("build", *DECIDE, "--vars", "{channel_capacity: {email: 3}}")
    assert planned_by(fresh_copy, "email") == 3


def test_an_unknown_channel_is_refused(fresh_copy: Project) -> None:
    output = fresh_copy.dbt(
        "build", "--selector", "decide", "--vars", "{channel_capacity: {fax: 3}}", succeeds=False
    )
    assert "seeds/demo/channels.csv, fax: the variable channel_capacity names a channel" in output
