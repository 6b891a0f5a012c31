"""Forty nights over two month ends, then the same nights in an empty warehouse: what must hold is checked by plain SQL.

    python scripts/check_nights.py --customers 800 --nights 40

A business delivers its raw data every night, and its team executes actions. The files of a generated business hold all
its months. A night gets what was known by then: later rows are left out, ends, payments and answers that lie ahead are
unknown, and some events of the day arrive only with the next delivery.

Some nights are skipped, some actions are executed, some of these are reported late or twice. The last night is run
again with these, and once more with the same data; an older night must be refused; a night whose actions have begun
keeps its decisions. dbt builds the first night, the others run its compiled models in one process. Nothing that the
checks read is computed by a model but the decisions themselves.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer
from dbt_project_copy import ProjectCopy
from generate_churn_data import raw_chunks, write_parquet
from rich.console import Console
from rich.progress import track
from simulation.business import write_raw, write_seeds
from simulation.compiled_project import BEFORE_DECISIONS, CompiledProject

from models_ml.errors import BayesPilotError

# What a night knows of each file: a select on ``raw``, for the night's date ``{day}``.
KNOWN: Mapping[str, str] = {
    "customers": "select * from raw where signed_up_on <= {day}",
    "subscriptions": (
        "select * replace (case when ended_on <= {day} then ended_on end as ended_on) from raw"
        " where started_on <= {day}"
    ),
    "activity": "select * from raw where cast(occurred_at as date) <= {day}",
    "payments": (
        "select * replace (case when paid_on <= {day} then paid_on end as paid_on) from raw"
        " where least(due_on, paid_on) <= {day}"
    ),
    "support_tickets": (
        "select * replace (case when cast(resolved_at as date) <= {day} then resolved_at end as resolved_at,"
        " case when cast(resolved_at as date) <= {day} then satisfaction end as satisfaction) from raw"
        " where cast(opened_at as date) <= {day}"
    ),
    "retention_contacts": "select * from raw where contacted_on <= {day}",
}
STILL_MISSING = " and not (cast(occurred_at as date) = {day} and customer_id % 5 = 0)"
LATE_DAYS = 3  # between a contact and its report, where it is reported late

FIRST = date(2026, 8, 24)  # of nights up to the middle of October: August and September end within
OF_A_BUILD = "decided_at, updated_at, dbt_invocation_id"
HISTORY = f"select * exclude ({OF_A_BUILD}) from retention_actions_history order by customer_id, as_of_date"
DELIVERABLE = (
    "select action_id, customer_id, action, expected_cost from retention_actions_deliverable order by 1"
)
REFUSED = "lies before the latest decisions"
POLICY = ("monthly_budget", "cool_down_days", "horizon_days")

# Each query returns what must not be. ``history`` holds the decisions, ``nights`` the dates on which one was run,
# ``contacts`` the reports, ``past_contacts`` those of before, ``offers`` and ``channels`` the seeds.
IN_USE = """
    select nights.day, history.action, history.channel,
        case when reported.action_id is null then history.expected_cost else reported.cost end as cost
    from nights
    inner join history
        on history.as_of_date between date_trunc('month', nights.day) and nights.day
    left join (select action_id, min(reported_on) as reported_on, min(cost) as cost from contacts group by action_id)
        as reported on history.action_id = reported.action_id and reported.reported_on <= nights.day
    where history.action <> 'no_action' and (reported.action_id is not null or history.valid_to > nights.day)"""
MUST_BE_EMPTY = {
    "a decision stands once": "select action_id from history group by action_id having count(*) > 1",
    "a customer has one decision a night": (
        "select customer_id from history group by customer_id, as_of_date having count(*) > 1"
    ),
    "every night decided, and no other day": (
        "(select day from nights except select as_of_date from history)"
        " union all (select as_of_date from history except select day from nights)"
    ),
    "the month's budget": (
        f"select day from ({IN_USE}) group by day"
        " having sum(cost) > (select value from policy where name = 'monthly_budget') + 0.005"
    ),
    "the month's capacity of an offer": (
        f"select day from ({IN_USE}) as used inner join offers on used.action = offers.offer"
        " group by day, offers.offer, offers.monthly_capacity having count(*) > offers.monthly_capacity::integer"
    ),
    "the month's capacity of a channel": (
        f"select day from ({IN_USE}) as used inner join channels on used.channel = channels.channel"
        " group by day, channels.channel, channels.monthly_capacity"
        " having count(*) > channels.monthly_capacity::integer"
    ),
    "nobody is contacted while cooling down": (
        "select history.customer_id from history inner join"
        " (select customer_id, contacted_on, reported_on from contacts"
        "  union all select customer_id, contacted_on, contacted_on from past_contacts) as known"
        " on history.customer_id = known.customer_id and known.reported_on <= history.as_of_date"
        " and known.contacted_on <= history.as_of_date and known.contacted_on >"
        " history.as_of_date - (select value from policy where name = 'cool_down_days')::integer"
        " where history.action <> 'no_action'"
    ),
    "an episode lasts a horizon": (
        "select customer_id from (select customer_id, as_of_date - lag(as_of_date) over"
        " (partition by customer_id order by as_of_date) as days from history"
        " where arm in ('policy', 'pick_holdout', 'trial'))"
        " where days < (select value from policy where name = 'horizon_days')"
    ),
    "one executed contact an episode": (
        "select customer_id from (select customer_id, contacted_on - lag(contacted_on) over"
        " (partition by customer_id order by contacted_on) as days"
        " from (select distinct customer_id, action_id, contacted_on from contacts))"
        " where days < (select value from policy where name = 'horizon_days')"
    ),
    "the universal holdout is left alone": (
        "select customer_id from history group by customer_id"
        " having count(*) filter (arm = 'universal_holdout') between 1 and count(*) - 1"
        " or (bool_or(arm = 'universal_holdout') and bool_or(action <> 'no_action'))"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Contact:
    """An executed action, and the night that hears of it; ``number`` identifies the report."""

    number: int
    action_id: str
    customer_id: str
    offer: str
    contacted_on: date
    reported_on: date
    cost: float


def deliver(files: Path, to: Path, day: date, contacts: list[Contact], *, late_rows: bool) -> None:
    """Write what a night knows into the folder ``to``, with the contacts that are reported by then.

    ``late_rows`` says whether events of the day itself are all there, as in a delivery that comes later.
    """
    to.mkdir(parents=True, exist_ok=True)
    for name, select in KNOWN.items():
        known_day = f"date '{day}'"
        missing = "" if late_rows or name != "activity" else STILL_MISSING
        with duckdb.connect() as connection:
            connection.execute(f"create view raw as from '{files / name}.parquet'")
            connection.execute(f"create table known as {(select + missing).format(day=known_day)}")
            if name == "retention_contacts":
                for contact in contacts:
                    if contact.reported_on <= day:
                        _report(connection, contact)
            connection.execute(f"copy known to '{to / name}.parquet' (format parquet)")


def _report(connection: duckdb.DuckDBPyConnection, contact: Contact) -> None:
    connection.execute(
        "insert into known by name select ? as contact_id, ? as action_id, ?::bigint as customer_id, ? as offer,"
        " ?::date as contacted_on, ? as cost, false as is_randomized",
        [
            contact.number,
            contact.action_id,
            contact.customer_id,
            contact.offer,
            contact.contacted_on,
            contact.cost,
        ],
    )


def execute(deliverable: list[dict[str, Any]], day: date, done: list[Contact]) -> list[Contact]:
    """Return the reports of the contacts that the team makes on the day after a night.

    Of ten actions it makes four, reports one of ten contacts late, and one twice. What it has done is not done again.
    """
    known = {contact.action_id for contact in done}
    reports: list[Contact] = []
    for row in deliverable:
        draw = int(hashlib.sha256(str(row["action_id"]).encode()).hexdigest(), 16)
        if row["action_id"] in known or draw % 10 >= 4:
            continue
        kind = draw // 10 % 10
        on = day + timedelta(days=1)
        for _ in range(2 if kind == 1 else 1):
            number = 800_000_000 + len(done) + len(reports)
            reported = on + timedelta(days=LATE_DAYS if kind == 0 else 0)
            cost = float(row["expected_cost"])
            reports.append(
                Contact(number, row["action_id"], row["customer_id"], row["action"], on, reported, cost)
            )
    return reports


@dataclass
class Business:
    """A compiled project that gets a delivery every night, and the reports of its team."""

    compiled: CompiledProject
    files: Path
    contacts: list[Contact]

    def night(self, day: date, *, late_rows: bool = False) -> None:
        """Deliver what is known and run."""
        raw = self.compiled.project.raw_data
        assert raw is not None
        deliver(self.files, raw, day, self.contacts, late_rows=late_rows)
        self.compiled.run(np.datetime64(day))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query on the warehouse."""
        found: list[dict[str, Any]] = self.compiled.project.read(sql).to_pylist()
        return found

    def decisions(self) -> pa.Table:
        """Return every decision, without the columns that depend on when a build runs."""
        return self.compiled.project.read(HISTORY)


def nights_of(count: int, draws: random.Random) -> list[date]:
    """Return the dates of ``count`` nights from `FIRST`, every fifth or so skipped."""
    days = [FIRST + timedelta(days=number) for number in range(1, count + count // 4)]
    return [FIRST, *sorted(draws.sample(days[:-1], count - 2)), days[-1]]


def open_business(folder: Path, customers: int, seed: int, project: ProjectCopy | None = None) -> Business:
    """Generate a business, build its first night with dbt, and compile it; ``project`` may hold a pipeline already."""
    files = folder / "files"
    write_parquet(raw_chunks(customers=customers, months=24, seed=seed, clean=True), files)
    project = project or ProjectCopy.create(folder / "project", folder / "raw")
    write_seeds(project, customers=customers, learning_share=0.1, priors="demo")
    write_raw(project, {}, np.datetime64(FIRST))
    assert project.raw_data is not None
    deliver(files, project.raw_data, FIRST, [], late_rows=False)
    project.build(*BEFORE_DECISIONS, "--vars", "{allow_miscalibrated: true}")
    return Business(CompiledProject.of(project, np.datetime64(FIRST)), files, [])


def empty(business: Business, folder: Path) -> Business:
    """Return the business with a warehouse of its own that no run has filled yet, and the same pipeline and reports."""
    forked = business.compiled.fork(folder)
    with duckdb.connect(str(forked.project.warehouse())) as connection:
        for node in forked.nodes:
            if node.materialized == "incremental":
                connection.execute(f"delete from {node.name}")
    return dataclasses.replace(business, compiled=forked)


def check(
    business: Business,
    folder: Path,
    nights: int,
    seed: int,
    notify: Callable[[Iterable[date]], Iterable[date]],
) -> tuple[list[str], str]:
    """Run all nights, and their replay in ``folder``; return what does not hold, in words, and what was done."""
    replay = empty(business, folder)
    days = nights_of(nights, random.Random(seed))
    broken: list[str] = []
    kept: dict[date, pa.Table] = {}
    for day in notify(days):
        business.night(day)
        kept[day] = _of(business.decisions(), day)
        if day != days[-1]:
            business.contacts += execute(business.rows(DELIVERABLE), day, business.contacts)
    first_attempt = kept.pop(days[-1])
    business.night(days[-1], late_rows=True)
    decided = business.decisions()
    broken += [
        f"{day}: its decisions have changed"
        for day, rows in kept.items()
        if not _of(decided, day).equals(rows)
    ]
    business.night(days[-1], late_rows=True)
    broken += [] if business.decisions().equals(decided) else ["the last night again changes decisions"]
    try:
        business.night(days[-2])
        broken.append(f"{days[-2]} is decided although {days[-1]} is")
    except duckdb.Error as error:
        broken += [] if REFUSED in str(error) else [f"an older night: {error}"]
    begun = dataclasses.replace(business, contacts=[*business.contacts, *_first_of(business, days[-1])])
    begun.night(days[-1])
    broken += (
        [] if business.decisions().equals(decided) else ["a night whose actions have begun is decided anew"]
    )
    broken += [
        f"{name}: {rows} rows do not hold" for name, rows in _violations(business, days).items() if rows
    ]
    for day in notify(days):
        replay.night(day, late_rows=day == days[-1])
    again = replay.decisions()
    broken += [
        f"{day}: the replay decides otherwise"
        for day in days
        if not _of(again, day).equals(_of(decided, day))
    ]
    arrived = not _of(decided, days[-1]).equals(first_attempt)
    twice = len(business.contacts) - len({one.action_id for one in business.contacts})
    late = sum(one.reported_on > one.contacted_on for one in business.contacts)
    return broken, (
        f"{len(days)} nights from {days[0]} to {days[-1]}, {len(decided):,} decisions,"
        f" {len({one.action_id for one in business.contacts})} actions executed, {late} reported late, {twice} twice;"
        f" late rows {'changed' if arrived else 'did not change'} the last night; replayed {len(again):,} decisions"
    )


def _first_of(business: Business, day: date) -> list[Contact]:
    """Return the report of one decision of the latest night, made on the same day: of an action where there is one."""
    rows = business.rows(
        "select action_id, customer_id, action, coalesce(expected_cost, 0) as expected_cost from retention_actions"
        " order by action = 'no_action', action_id limit 1"
    )
    return [
        Contact(
            799_999_999, row["action_id"], row["customer_id"], row["action"], day, day, row["expected_cost"]
        )
        for row in rows
    ]


def _of(decisions: pa.Table, day: date) -> pa.Table:
    return decisions.filter(pc.equal(decisions["as_of_date"], day))


def _violations(business: Business, days: list[date]) -> dict[str, int]:
    """Return the number of rows of each query that must have none."""
    project = business.compiled.project
    with duckdb.connect() as connection:
        connection.execute(f"attach '{project.warehouse()}' as warehouse (read_only)")
        connection.execute("create table history as from warehouse.retention_actions_history")
        connection.execute("create table nights (day date)")
        connection.executemany("insert into nights values (?)", [[day] for day in days])
        connection.execute(
            "create table contacts (number bigint, action_id text, customer_id text, offer text, contacted_on date,"
            " reported_on date, cost double)"
        )
        if business.contacts:
            rows = [list(dataclasses.astuple(one)) for one in business.contacts]
            connection.executemany("insert into contacts values (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute(
            "create table past_contacts as select customer_id::text as customer_id, contacted_on"
            f" from '{business.files / 'retention_contacts.parquet'}'"
            f" where offer <> 'no_action' and contacted_on <= date '{FIRST}'"
        )
        seeds = project.folder / "seeds" / "demo"
        for name in ("offers", "channels"):
            connection.execute(
                f"create table {name} as from read_csv('{seeds / name}.csv', all_varchar = true)"
            )
        connection.execute(
            "create table policy as select parameter as name, value::double as value"
            f" from read_csv('{seeds / 'policy.csv'}', all_varchar = true) where parameter in {POLICY}"
        )
        return {name: len(connection.execute(query).fetchall()) for name, query in MUST_BE_EMPTY.items()}


def main(
    customers: Annotated[int, typer.Option(min=200, help="Customers of the business.")] = 800,
    nights: Annotated[
        int, typer.Option(min=4, max=40, help="Nights to run; 31 or more pass both month ends.")
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world and of the skipped nights.")] = 1,
) -> None:
    """Run nights over two month ends and replay them; say what does not hold, and exit 1 where anything does not."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="bayespilot-") as folder:
        try:
            business = open_business(Path(folder), customers, seed)
            broken, said = check(
                business,
                Path(folder) / "replay",
                nights,
                seed,
                partial(track, description="nights", console=console),
            )
        except BayesPilotError as error:
            console.print(str(error), style="red", markup=False, highlight=False)
            raise typer.Exit(1) from None
    console.print(said)
    for one in broken:
        console.print(one, style="red", markup=False, highlight=False)
    if broken:
        raise typer.Exit(1)
    console.print(f"All {len(MUST_BE_EMPTY)} invariants hold, and the replay decides the same.")


if __name__ == "__main__":
    typer.run(main)
