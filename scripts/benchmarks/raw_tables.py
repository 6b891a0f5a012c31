"""Raw tables of the demo source's shape in any size, written by DuckDB itself; the same size, the same rows.

They are for measuring, not for training: about half of the customers are subscribed at any time, a fifth of them make
three fifths of the events, and churn depends on nothing but chance. Proportions follow generate_churn_data.py. Activity
is in the order of time, as a feed delivers it: a customer's events are spread over the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.measures import quiet_connection

ENDS_ON = date(2026, 10, 31)
FIRST_CUSTOMER_ID = 100_000_001
# Coprime to every usual size: customers who join one after the other are not adjacent in customer_id.
SCATTER = 1_000_003
WINDOW_MONTHS = 12


@dataclass(frozen=True)
class DataSize:
    """Numbers of customers, events and as_of_dates."""

    customers: int
    events: int
    dates: int

    @property
    def months(self) -> int:
        """Months of history: every date has a full year before it."""
        return self.dates + WINDOW_MONTHS


def write_raw_tables(folder: Path, size: DataSize) -> None:
    """Write the six raw tables as ``<folder>/<table>.parquet``."""
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_connection() as connection:
        connection.execute("set preserve_insertion_order = true")
        connection.execute(f"set temp_directory = '{folder / 'spill'}'")
        for statement in _macros(size):
            connection.execute(statement)
        for table, query in _tables(size).items():
            connection.execute(
                f"copy ({query}) to '{folder / table}.parquet' (format parquet, compression zstd)"
            )


def _macros(size: DataSize) -> list[str]:
    last_day = f"date '{ENDS_ON}'"
    first_day = f"({last_day} + 1 - interval {size.months} month)::date"
    return [
        f"create macro last_day() as {last_day}",
        f"create macro first_day() as {first_day}",
        # A number in [0, 1) from a key and a purpose; hashed twice, because one hash of a pair leaves draws for
        # different purposes correlated.
        "create macro draw(key, purpose) as (hash(hash(key, purpose)) >> 11)::double / 9007199254740992.0",
        "create macro money(whole) as whole::decimal(10, 2)",
        f"create macro customer(number) as {FIRST_CUSTOMER_ID} + (number * {SCATTER}) % {size.customers}",
        # Customers join one after the other; at a share t of the history, those up to t/2 + 1/2 have joined. They stay
        # for as long as the history on average.
        "create macro day_at(share) as first_day() + floor(share * (last_day() - first_day() + 1))::integer",
        "create macro one_of(texts, share) as texts[1 + floor(share * len(texts))::integer]",
    ]


def _tables(size: DataSize) -> dict[str, str]:
    life = f"""
        select number, customer(number) as customer_id,
            2 * number / {size.customers} - 1 as joins,
            greatest(joins + 0.1 + 1.8 * draw(number, 'stay'), 0.01 + 0.2 * draw(number, 'first stay')) as leaves
        from (select unnest(range({size.customers})) as number)"""
    billed = f"""
        select *, (day_at(greatest(joins, 0)) + (draw(number, 'billing') * 28)::integer
            + to_months(month::integer))::date as due_on
        from ({life}) cross join (select unnest(range({size.months})) as month)
        where due_on < day_at(leaves) and due_on <= last_day()"""
    return {
        "customers": f"""
            select customer_id, day_at(joins) as signed_up_on,
                one_of(['north', 'south', 'east', 'west'], draw(number, 'region')) as region,
                one_of(['organic', 'paid_search', 'referral', 'partner'], draw(number, 'channel'))
                    as acquisition_channel,
                one_of(['personal', 'team', 'business'], draw(number, 'segment')) as segment,
                draw(number, 'email') < 0.8 as consents_to_email,
                draw(number, 'phone') < 0.5 as consents_to_phone,
                draw(number, 'push') < 0.6 as consents_to_push
            from ({life}) order by customer_id""",
        "subscriptions": _subscriptions(life),
        "activity": _activity(size),
        "payments": f"""
            select customer_id * 1000 + month as payment_id, customer_id, due_on,
                case
                    when draw(payment_id, 'lost') >= 0.01
                        then least(due_on + (draw(payment_id, 'late') ** 40 * 40)::integer, last_day())
                end as paid_on,
                money(19 + number % 60) as amount,
                one_of(['card', 'direct_debit', 'bank_transfer'], draw(number, 'method')) as payment_method
            from ({billed}) order by payment_id""",
        "support_tickets": f"""
            select customer_id * 1000 + month as ticket_id, customer_id,
                due_on + interval 9 hour as opened_at,
                case when due_on < last_day() - 3 then opened_at + interval 2 day end as resolved_at,
                one_of(['billing', 'bug', 'how_to', 'performance'], draw(ticket_id, 'topic')) as topic,
                case when resolved_at is not null then floor(1 + draw(ticket_id, 'rating') * 5)::tinyint end
                    as satisfaction
            from ({billed}) where draw(customer_id * 1000 + month, 'ticket') < 0.14 order by ticket_id""",
        "retention_contacts": f"""
            select customer_id * 1000 + month as contact_id, null::varchar as action_id, customer_id,
                one_of(['nudge_email', 'discount', 'call', 'plan_change', 'pause', 'no_action'],
                    draw(contact_id, 'offer')) as offer,
                due_on as contacted_on,
                case when offer <> 'no_action' and draw(contact_id, 'accepted') < 0.3 then due_on end
                    as accepted_on,
                money(case when offer = 'no_action' then 0 else 5 end) as cost,
                draw(contact_id, 'trial') < 0.4 or offer = 'no_action' as is_randomized,
                case when is_randomized then 1.0 / 6 end as propensity
            from ({billed}) where draw(customer_id * 1000 + month, 'contact') < 0.08 order by contact_id""",
    }


def _subscriptions(life: str) -> str:
    """Return the first period of each customer and, for seven in ten, a second one: a higher fee, or another plan."""
    return f"""
        select customer_id * 100 + period as subscription_id, customer_id,
            one_of(
                ['basic', 'standard', 'premium'],
                draw(number, 'plan' || (period * draw(number, 'moves'))::integer)
            ) as plan,
            case when draw(number, 'annual') < 0.2 then 'annual' else 'monthly' end as billing_period,
            money(19 + number % 60 + 2 * period) as monthly_fee,
            case when period = 1 then day_at(joins) else changed_on end as started_on,
            case when period = 1 and has_second then changed_on
                when day_at(leaves) <= last_day() then day_at(leaves) end as ended_on,
            case when billing_period = 'annual' then started_on + 365 end as commitment_ends_on
        from (
            select *, day_at(greatest(joins, 0) * 0.5 + leaves * 0.5) as change_day,
                draw(number, 'second') < 0.7 and change_day <= last_day() as has_second,
                change_day as changed_on
            from ({life})
        )
        cross join (select unnest([1, 2]) as period)
        where period = 1 or has_second
        order by subscription_id"""


def _activity(size: DataSize) -> str:
    """Return the events, by time; half of them go to every fifth customer."""
    return f"""
        select
            customer(case when draw(event, 'heavy') < 0.5 then picked - picked % 5 else picked end)
                as customer_id,
            date_trunc('hour', first_day() + share * (last_day() + 1 - first_day()) * interval 1 day)
                as occurred_at,
            case
                when kind < 0.712 then 'login_session'
                when kind < 0.962 then 'feature_use'
                when kind < 0.989 then 'pricing_page_view'
                when kind < 0.995 then 'data_export'
                else 'add_on_purchase'
            end as activity_type,
            case
                when kind < 0.712 then 1 + (draw(event, 'quantity') ** 3 * 4)::integer
                when kind < 0.962 then 1 + (draw(event, 'quantity') * 6)::integer
                else 1
            end::integer as quantity,
            money(case when kind >= 0.995 then 5 * (1 + (draw(event, 'amount') * 11)::integer) end) as amount
        from (
            select
                event,
                event / {size.events} as share,
                draw(event, 'kind') as kind,
                least(
                    floor({size.customers} * (share + draw(event, 'customer')) / 2)::bigint,
                    {size.customers} - 1
                ) as picked
            from (select range as event from range({size.events}))
        )"""
