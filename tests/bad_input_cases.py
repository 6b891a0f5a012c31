"""Bad inputs of every kind, each with words of the answer that it must get; test_bad_inputs.py gives them.

Raw rows change a sound row, seeds are a statement on the table of a sound seed; artifacts and environment are functions that
spoil a folder; lost input is given by test_lost_input.py. To add an input, add a row; to add a kind, a list of `Case` here
and its answer there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from models_ml.deployment.deployed import DEPLOYED

DATA_END = date(2026, 10, 31)


@dataclass(frozen=True)
class Case:
    """A bad input: where it stands, what is given, and words of the answer that it must get."""

    kind: str
    where: str
    given: str
    gets: str
    change: Any = field(default=None, compare=False)


# ------------------------------------------------------------------------------------------------------- raw rows
SOUND: Mapping[str, Mapping[str, Any]] = {
    "customers": {"customer_id": "c2", "signed_up_on": date(2025, 1, 1)},
    "consents": {"customer_id": "c1", "channel": "email", "is_granted": True, "recorded_at": None},
    "subscriptions": {
        "subscription_id": "s1",
        "customer_id": "c1",
        "monthly_fee": 10.0,
        "started_on": date(2025, 1, 1),
    },
    "activity": {
        "customer_id": "c1",
        "occurred_at": datetime(2026, 1, 1),
        "activity_type": "login",
        "quantity": 1.0,
    },
    "payments": {"payment_id": "p1", "customer_id": "c1", "due_on": date(2026, 1, 1), "amount": 10.0},
    "support_tickets": {"ticket_id": "t1", "customer_id": "c1", "opened_at": datetime(2026, 1, 2)},
    "retention_contacts": {
        "contact_id": "k1",
        "customer_id": "c1",
        "offer": "call",
        "contacted_on": date(2026, 1, 1),
        "cost": 1.0,
        "is_randomized": False,
    },
}


def raw(table: str, given: str, gets: str, **change: Any) -> Case:
    return Case("raw row", table, given, gets, change)


RAW_ROWS = [
    raw("customers", "no id", "missing_customer_id", customer_id=None),
    raw("customers", "no day of sign-up", "missing_signed_up_on", signed_up_on=None),
    raw("customers", "signed up on 1900-01-01", "placeholder_date", signed_up_on=date(1900, 1, 1)),
    raw("customers", "signed up after the data", "after_data_end", signed_up_on=date(2027, 1, 1)),
    raw("customers", "an id that another row has", "duplicate_customer_id", customer_id="c1"),
    raw("consents", "a channel that channels.csv lacks", "unknown_channel", channel="fax"),
    raw("consents", "no answer", "missing_is_granted", is_granted=None),
    raw("consents", "an unknown customer", "unknown_customer", customer_id="nobody"),
    raw("subscriptions", "no id", "missing_subscription_id", subscription_id=None),
    raw("subscriptions", "a customer id of another spelling, 1.0", "unknown_customer", customer_id="1.0"),
    raw("subscriptions", "no fee", "missing_monthly_fee", monthly_fee=None),
    raw("subscriptions", "a fee of −5", "negative_monthly_fee", monthly_fee=-5.0),
    raw("subscriptions", "a fee that is not a number", "monthly_fee_out_of_range", monthly_fee=math.nan),
    raw("subscriptions", "an infinite fee", "monthly_fee_out_of_range", monthly_fee=math.inf),
    raw("subscriptions", "ended before it started", "ended_before_started", ended_on=date(2024, 1, 1)),
    raw("subscriptions", "started on 1970-01-01", "placeholder_date", started_on=date(1970, 1, 1)),
    raw("activity", "no customer", "missing_customer_id", customer_id=None),
    raw("activity", "no time", "missing_occurred_at", occurred_at=None),
    raw("activity", "after the data", "after_data_end", occurred_at=datetime(2027, 1, 1)),
    raw("activity", "an undeclared type", "undeclared_activity_type", activity_type="sneeze"),
    raw("activity", "a type with a blank at its end", "undeclared_activity_type", activity_type="login "),
    raw("activity", "no quantity", "missing_quantity", quantity=None),
    raw("activity", "an infinite quantity", "quantity_out_of_range", quantity=math.inf),
    raw("activity", "an amount that is not a number", "amount_out_of_range", amount=math.nan),
    raw("payments", "no id", "missing_payment_id", payment_id=None),
    raw("payments", "no day on which it was due", "missing_due_on", due_on=None),
    raw("payments", "no amount", "missing_amount", amount=None),
    raw("payments", "an amount of 10^18", "amount_out_of_range", amount=1e18),
    raw(
        "support_tickets",
        "resolved before it was opened",
        "resolved_before_opened",
        resolved_at=datetime(2026, 1, 1),
    ),
    raw("support_tickets", "a satisfaction of 9", "satisfaction_out_of_range", satisfaction=9),
    raw("retention_contacts", "no id", "missing_contact_id", contact_id=None),
    raw("retention_contacts", "no offer", "missing_offer", offer=None),
    raw(
        "retention_contacts",
        "accepted a day before it",
        "accepted_before_contacted",
        accepted_on=date(2025, 12, 31),
    ),
    raw("retention_contacts", "no cost", "missing_or_negative_cost", cost=None),
    raw("retention_contacts", "a cost below 0", "missing_or_negative_cost", cost=-1.0),
    raw("retention_contacts", "an infinite cost", "cost_out_of_range", cost=math.inf),
    raw(
        "retention_contacts",
        "drawn by chance, propensity 0",
        "propensity_out_of_range",
        is_randomized=True,
        propensity=0.0,
    ),
]


# ---------------------------------------------------------------------------------------------------------- seeds
def seed(file: str, given: str, gets: str, sql: str) -> Case:
    """Return a case of one statement on the table of a sound seed."""
    return Case("seed", f"{file}.csv", given, gets, sql)


def offer(column: str, value: str, gets: str, given: str = "") -> Case:
    shown = f"{column} `{value}`" if value.strip() else f"{column} of blanks"
    text = value.replace("'", "''")
    return seed("offers", given or shown, gets, f"update offers set {column} = '{text}' where offer = 'call'")


def parameter(name: str, value: str, gets: str) -> Case:
    text = value.replace("'", "''")
    return seed(
        "policy",
        f"{name} {value or 'empty'}",
        gets,
        f"update policy set value = '{text}' where parameter = '{name}'",
    )


ONE_EXPRESSION = "must be one expression over columns of customer_features"
NO_NAME = "must be a name of lower-case letters, digits and underscores"
SEED_ROWS = [
    offer("contact_cost", "-2", "contact_cost -2 must be finite and at least 0"),
    offer("contact_cost", "nan", "contact_cost names no feature: nan"),
    offer("incentive_cost", "1e999", "incentive_cost 1e999 must be finite and at least 0"),
    offer("incentive_cost", "plan", "incentive_cost must yield a number"),
    offer("incentive_cost", "0.2 * monthly_fe", "incentive_cost names no feature: monthly_fe"),
    offer(
        "acceptance_rate", "NaN", "acceptance_rate NaN must be a finite number and at least 0 and at most 1"
    ),
    offer("acceptance_rate", "1.2", "must be a finite number and at least 0 and at most 1"),
    offer("acceptance_rate", "0,25", "acceptance_rate 0,25 must be a finite number"),
    offer("acceptance_sd", "inf", "acceptance_sd inf must be a finite number"),
    offer("monthly_capacity", "12.5", "monthly_capacity 12.5 must be a whole number"),
    offer("monthly_capacity", "many", "monthly_capacity many must be a whole number"),
    offer("monthly_capacity", "1e12", "at most 1000000000"),
    offer("lock_out_days", "30.5", "lock_out_days 30.5 must be a whole number"),
    offer("lock_out_days", "-1", "at least 0 and at most 3650"),
    offer("offer", "Call", f"offer Call {NO_NAME}"),
    offer("offer", "call us", f"offer call us {NO_NAME}"),
    offer("offer", "call ", f'offer "call " {NO_NAME}', "offer `call` with a blank at its end"),
    offer("offer", "no_action", "no_action is reserved"),
    offer("action_label", "   ", "action_label is missing"),
    offer("channel", "fax", "channel fax is not in channels.csv"),
    seed(
        "offers",
        "an offer without channel",
        "channel is missing",
        "update offers set channel = null where offer = 'call'",
    ),
    seed(
        "offers",
        "a row twice",
        "the key stands in more than one row",
        "insert into offers from offers where offer = 'call'",
    ),
    seed("offers", "no rows", "the file holds no rows", "delete from offers"),
    seed(
        "offers",
        "20 offers",
        "at most 19 offers can be randomised",
        "insert into offers select o.* replace ('offer_' || i as offer) from (from offers limit 1) as o, range(20) as n (i)",
    ),
    offer("eligible_when", "plann <> 'basic'", "eligible_when names no feature: plann"),
    offer(
        "eligible_when", "tenure_days > 30) or (tenure_days > 0", "eligible_when cannot be read: syntax error"
    ),
    offer("eligible_when", "exists (select 1 from customers)", ONE_EXPRESSION),
    offer("eligible_when", "true; drop table retention_actions_history", ONE_EXPRESSION),
    offer("eligible_when", "true from customers", ONE_EXPRESSION),
    offer("eligible_when", "true, false", ONE_EXPRESSION),
    offer("eligible_when", "true as always", ONE_EXPRESSION),
    offer("eligible_when", "row_number() over () > 1", ONE_EXPRESSION),
    offer("eligible_when", "true union select false", ONE_EXPRESSION),
    offer("eligible_when", "getenv('HOME') = ''", "calls what is not allowed: getenv"),
    offer("eligible_when", "random() > 0.5", "calls what is not allowed: random"),
    offer("eligible_when", "current_date > as_of_date", "eligible_when names no feature: current_date"),
    offer(
        "eligible_when",
        "other_table.tenure_days > 1",
        "eligible_when names no feature: other_table.tenure_days",
    ),
    offer("eligible_when", "tenure_days", "eligible_when must yield true or false"),
    offer("eligible_when", "round(plan) > 3", "eligible_when cannot be evaluated: No function matches"),
    seed(
        "channels",
        "a channel `E-Mail`",
        f"channel E-Mail {NO_NAME}",
        "update channels set channel = 'E-Mail' where channel = 'push'",
    ),
    seed(
        "channels",
        "a capacity of 0.5",
        "monthly_capacity 0.5 must be a whole number",
        "update channels set monthly_capacity = '0.5' where channel = 'push'",
    ),
    seed(
        "channels",
        "no source",
        "source is missing",
        "update channels set source = null where channel = 'push'",
    ),
    parameter("horizon_days", "28.5", "value 28.5 must be a whole number"),
    parameter("cool_down_days", "two weeks", "value two weeks must be a whole number"),
    parameter("monthly_budget", "inf", "value inf must be at least 0"),
    parameter("margin_rate", "nan", "value nan must be at most 1 and greater than 0"),
    parameter("pick_holdout_share", "0.01", "value 0.01 must be 0, or at least 0.05 and at most 0.95"),
    parameter("horizon_days", "365", "value 365 must be less than value_horizon_days"),
    parameter("currency", "EURO", "must be 3 letters"),
    parameter("pacing", "fast", "must be one of none, linear"),
    seed(
        "policy",
        "a parameter that does not exist",
        "there is no such parameter",
        "update policy set parameter = 'monthly_budgett' where parameter = 'monthly_budget'",
    ),
    seed(
        "policy",
        "a parameter left out",
        "the parameter is missing",
        "delete from policy where parameter = 'monthly_budget'",
    ),
    seed(
        "policy",
        "a parameter twice",
        "the key stands in more than one row",
        "insert into policy from policy where parameter = 'monthly_budget'",
    ),
    seed(
        "offer_effect_priors",
        "a row for an unknown offer",
        "offers.csv has no such offer",
        "update offer_effect_priors set offer = 'free_car' where signal = 'dormant'",
    ),
    seed(
        "offer_effect_priors",
        "a row for an unknown signal",
        "there is no such signal",
        "update offer_effect_priors set signal = 'boredom' where signal = 'dormant'",
    ),
    seed(
        "offer_effect_priors",
        "a mean that is not a number",
        "mean NaN must be a finite number",
        "update offer_effect_priors set mean = 'NaN' where signal = 'dormant'",
    ),
    seed(
        "offer_effect_priors",
        "an sd too small to compute with",
        "sd 1e-200 must be a finite number and at least 0.001 and at most 20",
        "update offer_effect_priors set sd = '1e-200' where signal = 'dormant'",
    ),
    seed(
        "offer_effect_priors",
        "a belief about acceptance without its sd",
        "acceptance_mean and acceptance_sd must both stand, or both be empty",
        "update offer_effect_priors set acceptance_mean = '0.3', acceptance_sd = null where signal = 'dormant'",
    ),
    seed(
        "offer_effect_priors",
        "a belief about acceptance for the intercept",
        "the intercept is acceptance_rate of offers.csv",
        "update offer_effect_priors set acceptance_mean = '0.3', acceptance_sd = '0.1' where signal = 'intercept'",
    ),
    seed(
        "offer_effect_priors",
        "an acceptance sd of 0",
        "acceptance_sd 0 must be empty, or a finite number and at least 0.001 and at most 20",
        "update offer_effect_priors set acceptance_mean = '0.3', acceptance_sd = '0' where signal = 'dormant'",
    ),
    seed(
        "activity_map",
        "an unknown meaning",
        "meaning love must be one of engagement",
        "update activity_map set meaning = 'love' where meaning = 'purchase' or meaning = 'engagement'",
    ),
    seed(
        "activity_map",
        "counts_as_event `maybe`",
        "counts_as_event maybe must be true or false",
        "update activity_map set counts_as_event = 'maybe'",
    ),
    seed(
        "activity_map",
        "a type with a blank at its start",
        'activity_type " login_session" must be a text without blanks',
        "update activity_map set activity_type = ' login_session' where activity_type = 'login_session'",
    ),
    seed(
        "reason_texts",
        "a text for an unknown family",
        "no feature of customer_features.yml is of this family",
        "update reason_texts set family = 'weather' where family = 'region'",
    ),
    seed(
        "reason_texts",
        "a direction in which the family is not cited",
        "no feature of this family is cited in this direction",
        "update reason_texts set direction = 'falling' where family = 'region'",
    ),
    seed(
        "reason_texts",
        "a direction that does not exist",
        "direction sideways must be one of",
        "update reason_texts set direction = 'sideways' where family = 'region'",
    ),
    seed(
        "reason_texts",
        "an empty text",
        "reason_text is missing",
        "update reason_texts set reason_text = '' where family = 'region'",
    ),
    seed(
        "reason_texts",
        "an unknown placeholder",
        "may hold the placeholders {period} and {value} only",
        "update reason_texts set reason_text = 'in {place}' where family = 'region'",
    ),
]


# ------------------------------------------------------------------------------------- what dbt itself must see
def variable(given: str, gets: str, **variables: Any) -> Case:
    return Case("variable", "--vars", given, gets, variables)


VARIABLES = [
    variable("monthly_budgett: 5", "did you mean monthly_budget?", monthly_budgett=5),
    variable("Retrain: true", "did you mean retrain?", Retrain=True),
    variable("asof: 2026-10-31", "asof: there is no such variable", asof="2026-10-31"),
    variable(
        "channel_capacities: {email: 5}", "did you mean channel_capacity?", channel_capacities={"email": 5}
    ),
    variable("as_of_date: 2026-02-30", "where a day such as 2026-10-31 is needed", as_of_date="2026-02-30"),
    variable("retrain: maybe", "where true or false is needed", retrain="maybe"),
    variable("rebuild_dates: 2026-08-31", "where a list of days such as", rebuild_dates=date(2026, 8, 31)),
    variable(
        "channel_capacity: {email: 0.5}",
        "where whole numbers of contacts by channel",
        channel_capacity={"email": 0.5},
    ),
    variable("channel_capacity: [1]", "where whole numbers of contacts by channel", channel_capacity=[1]),
    variable("monthly_budget: null", "monthly_budget: None where a value is needed", monthly_budget=None),
    variable(
        "cool_down_days: [1, 2]", "cool_down_days: [1, 2] where a value is needed", cool_down_days=[1, 2]
    ),
    variable(
        "history_from: nowhere.main", "nowhere.main where a database.schema", history_from="nowhere.main"
    ),
]
SEED_FILES = [
    Case(
        "seed file",
        "offers.csv",
        "semicolons",
        "separated by semicolons where commas are needed",
        lambda text: text.replace(",", ";"),
    ),
    Case(
        "seed file",
        "channels.csv",
        "tabs",
        "separated by tabs where commas are needed",
        lambda text: text.replace(",", "\t"),
    ),
    Case(
        "seed file",
        "policy.csv",
        "a column renamed",
        "it lacks value and it names what is no column: amount",
        lambda text: text.replace("value", "amount", 1),
    ),
    Case(
        "seed file",
        "reason_texts.csv",
        "empty",
        "it is empty; it must name the columns family",
        lambda text: "",
    ),
    Case(
        "seed file",
        "activity_map.csv",
        "a column twice",
        "it names a column twice",
        lambda text: text.replace("source", "source,unit", 1),
    ),
]
RAW_TABLES = [
    Case("raw table", "payments", "no file", "raw table payments is missing: no file at", None),
    Case(
        "raw table",
        "customers",
        "a column left out",
        "raw table customers lacks column region",
        "select * exclude (region) from raw",
    ),
    Case(
        "raw table",
        "subscriptions",
        "text where money belongs",
        "raw table subscriptions, column monthly_fee: VARCHAR where",
        "select * replace ('a lot' as monthly_fee) from raw",
    ),
]


# ------------------------------------------------------------------------------------------------------ artifacts
def record_changed(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / f"{DEPLOYED}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def pickle_changed(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / f"{DEPLOYED}.pkl"
        path.write_bytes(content(path.read_bytes()))

    return change


def something_else(folder: Path) -> None:
    """Put a pickle of a list in place of the pipeline, with a record that fits it."""
    content = b"\x80\x04]\x94."
    (folder / f"{DEPLOYED}.pkl").write_bytes(content)
    record_changed(sha256=hashlib.sha256(content).hexdigest())(folder)


def artifact(given: str, gets: str, change: Callable[[Path], object]) -> Case:
    return Case("artifact", f"{DEPLOYED}", given, gets, change)


ARTIFACTS = [
    artifact(
        "nothing deployed", "nothing is deployed yet", lambda folder: (folder / f"{DEPLOYED}.json").unlink()
    ),
    artifact("bytes changed", "fails its checksum", pickle_changed(lambda content: content[:-1] + b"x")),
    artifact("cut short", "fails its checksum", pickle_changed(lambda content: content[: len(content) // 2])),
    artifact("an empty pickle", "fails its checksum", pickle_changed(lambda content: b"")),
    artifact(
        "no pickle beside the record",
        "stands without its pipeline file",
        lambda folder: (folder / f"{DEPLOYED}.pkl").unlink(),
    ),
    artifact("a pickle of something else", "holds something else than a pipeline", something_else),
    artifact(
        "a record that is not JSON",
        "the record is not JSON",
        lambda folder: (folder / f"{DEPLOYED}.json").write_text("{"),
    ),
    artifact(
        "a record that is a list",
        "the record is not of format",
        lambda folder: (folder / f"{DEPLOYED}.json").write_text("[]"),
    ),
    artifact("a record of another format", "the record is not of format", record_changed(format=1)),
    artifact("a record with an unknown entry", "missing or unknown entries", record_changed(colour="red")),
    artifact("another source's pipeline", "belongs to another source", record_changed(source="other")),
    artifact(
        "another scikit-learn",
        "made with other library versions",
        record_changed(libraries={"scikit-learn": "0.1"}),
    ),
    artifact(
        "another churn definition", "does not fit this run", record_changed(churn_definition="inactivity")
    ),
    artifact(
        "unsigned, where a key is set",
        "the pipeline is not signed",
        lambda folder: os.environ.update(BAYESPILOT_SIGNING_KEY="key"),
    ),
]


# ---------------------------------------------------------------------------------------------------- environment
@dataclass
class Place:
    """A project folder with a warehouse file, as far as a build looks before it starts dbt."""

    root: Path
    warehouse: Path
    holder: subprocess.Popen[str] | None = field(default=None)


def garbage(place: Place) -> None:
    place.warehouse.write_bytes(hashlib.sha256(b"garbage").digest() * 4096)


def truncated(place: Place) -> None:
    with place.warehouse.open("r+b") as file:
        file.truncate(place.warehouse.stat().st_size // 2)


def other_storage(place: Place) -> None:
    """Write a storage version that no DuckDB has into both headers that could be read."""
    content = bytearray(place.warehouse.read_bytes())
    content[12:20] = (9999).to_bytes(8, "little")
    place.warehouse.write_bytes(bytes(content))


def a_folder(place: Place) -> None:
    place.warehouse.unlink()
    place.warehouse.mkdir()


def held(place: Place) -> None:
    """Let another process hold the warehouse for as long as the case lasts."""
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    place.holder = subprocess.Popen(
        [sys.executable, "-c", code, str(place.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert place.holder.stdout is not None
    place.holder.stdout.readline()


def elsewhere(place: Place) -> None:
    os.environ["DBT_PROFILES_DIR"] = str(place.root.parent)


def not_text(place: Place) -> None:
    file = place.root / "seeds" / "demo" / "offers.csv"
    file.write_bytes(file.read_bytes() + "café,x\n".encode("latin-1"))


def file_for_folder(place: Place) -> None:
    os.environ["RETENTION_DB"] = str(place.root / "dbt_project.yml" / "w.duckdb")


def environment(where: str, given: str, gets: str, change: Callable[[Place], object]) -> Case:
    return Case("environment", where, given, gets, change)


ENVIRONMENT = [
    environment("warehouse", "no DuckDB file", "the warehouse file cannot be opened", garbage),
    environment("warehouse", "cut short", "the warehouse file cannot be opened", truncated),
    environment(
        "warehouse", "of another storage version", "the warehouse file cannot be opened", other_storage
    ),
    environment(
        "warehouse", "a folder of its name", "a folder stands where the warehouse file is needed", a_folder
    ),
    environment("warehouse", "held by another process", "the warehouse is in use", held),
    environment(
        "RETENTION_DB", "a folder that is a file", "a file stands where a folder is needed", file_for_folder
    ),
    environment(
        "project", "started in another folder", "this is not the BayesPilot project folder", elsewhere
    ),
    environment("seeds", "offers.csv in Latin-1", "the seed file is not in UTF-8: line", not_text),
]
# --------------------------------------------------------------------------------------------------- command line
COMMANDS = [
    Case("command line", "run", given, gets, arguments)
    for given, gets, arguments in (
        ("--vars that is not YAML", "is not YAML", ["run", "--vars", "{a: "]),
        (
            "--vars with a day that does not exist",
            "day is out of range",
            ["run", "--vars", "{as_of_date: 2026-02-30}"],
        ),
        ("--vars that is a list", "must be a mapping", ["run", "--vars", "[1]"]),
        ("two sources", "give one", ["run", "--vars", "{source: shop}"]),
        ("--source ../other", "this is no name of a source", ["run", "--source", "../other"]),
        ("--source nosuch", "there is no source nosuch", ["run", "--source", "nosuch"]),
    )
] + [
    Case("command line", "train", "--vars", "No such option", ["train", "--vars", "{monthly_budgett: 5}"]),
    Case(
        "command line", "train", "--source /tmp", "this is no name of a source", ["train", "--source", "/tmp"]
    ),
    Case(
        "command line",
        "init",
        "a name that leaves the folder",
        "the name of a source starts with",
        ["init", "../x"],
    ),
    Case("command line", "what-if", "--budget nan", "numbers of at least 0", ["what-if", "--budget", "nan"]),
    Case(
        "command line",
        "what-if",
        "half a contact",
        "whole numbers of contacts",
        ["what-if", "--capacity", "call=0.5"],
    ),
]

# ------------------------------------------------------------------------------------------------------- lost input
# A night after 2026-09-20, on files that have lost something; test_lost_input.py gives them.
LATELY = "date '2026-09-15'"
HALF_OF_THE_IDS = "hash(customer_id) % 2 = 0"
ALL_BUT_LATE_HALF = "select * from raw where not ({day} >= " + LATELY + f" and {HALF_OF_THE_IDS})"

# Raw files as selects on themselves, and the losses that the run names first; others may follow from these.
LOST_INPUT = [
    Case("lost input", ", ".join(changes), given, gets, changes)
    for given, (changes, gets) in {
        "all fees are missing": (
            {"subscriptions": "select * replace (null::decimal(10, 2) as monthly_fee) from raw"},
            "subscriptions: set_aside; customers at risk: nobody_at_risk",
        ),
        "all fees are below 0": (
            {"subscriptions": "select * replace (-monthly_fee as monthly_fee) from raw"},
            "subscriptions: set_aside; customers at risk: nobody_at_risk",
        ),
        "no ticket has a time": (
            {"support_tickets": "select * replace (null::timestamp as opened_at) from raw"},
            "support tickets: set_aside",
        ),
        "invoices name nobody": (
            {"payments": "select * replace (customer_id + 5000000000 as customer_id) from raw"},
            "payments due: set_aside",
        ),
        "a fifth of the invoices lost their amount": (
            {
                "payments": "select * replace (case when payment_id % 5 = 0 then null else amount end as amount) from raw"
            },
            "payments due: more_set_aside",
        ),
        "what is new has broken ids": (
            {
                "activity": "select * replace (case when occurred_at >= timestamp '2026-09-21' then -customer_id else customer_id"
                " end as customer_id) from raw"
            },
            "activity: set_aside_lately",
        ),
        "half of the subscriptions file": (
            {"subscriptions": "select * from raw order by started_on limit (select count(*) // 2 from raw)"},
            "subscriptions: fewer_rows; customers at risk: fewer_at_risk",
        ),
        "half of the customers file": (
            {"customers": f"select * from raw where {HALF_OF_THE_IDS}"},
            "customers: fewer_rows; subscriptions: set_aside; consents: fewer_rows",
        ),
        "the older half of the activity": (
            {"activity": "select * from raw where occurred_at >= timestamp '2025-10-15'"},
            "activity: fewer_rows",
        ),
        "activity delivered twice": (
            {"activity": "select * from raw union all select * from raw"},
            "activity: more_rows",
        ),
        "no subscriptions at all": (
            {"subscriptions": "select * from raw where false"},
            "subscriptions: fewer_rows; customers at risk: nobody_at_risk",
        ),
        "the last ten days for half of the ids": (
            {"activity": ALL_BUT_LATE_HALF.format(day="occurred_at")},
            "activity: login_session: fallen",
        ),
        "the last ten days for one type": (
            {"activity": f"select * from raw where occurred_at < {LATELY} or activity_type <> 'feature_use'"},
            "activity: feature_use: stopped",
        ),
        "the last week twice": (
            {
                "activity": "select * from raw union all select * from raw where occurred_at >= timestamp '2026-09-19'"
            },
            "activity: login_session: risen",
        ),
    }.items()
]

ANSWERED_HERE = [
    *RAW_ROWS,
    *SEED_ROWS,
    *VARIABLES,
    *SEED_FILES,
    *RAW_TABLES,
    *ARTIFACTS,
    *ENVIRONMENT,
    *COMMANDS,
]
CASES = [*ANSWERED_HERE, *LOST_INPUT]
