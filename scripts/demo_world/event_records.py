"""The records of a month: invoices, tickets, contacts, subscription periods, customers, tracked activity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from demo_world import economy, records
from demo_world.contacts import Contacts
from demo_world.economy import BoolArray, CodeArray, DayArray, FloatArray, IntArray
from demo_world.state import NEVER, Account, ChurnDrivers, State
from demo_world.subscriptions import BillingDay, Presence

PAYMENT_FAILS = np.array([0.035, 0.025, 0.05])  # by payment method; times the customer's own risk
STILL_FAILS = 0.45  # while the last invoice failed
UNPAID_SHARE = 0.4  # of failing invoices; the others are paid late
LOST_SHARE = 0.15  # of unpaid invoices are never paid
BAD_TICKET_SHARE = 0.3
ANSWERS_SURVEY = 0.7

WEEKEND_FACTOR = 0.6
PAUSED_FACTOR = 0.3
FEATURE_USE_SHARE = 0.35  # of active days
FIRST_HOUR, LAST_HOUR = 6, 21  # UTC; the tracker rounds down to the hour


def invoices(
    state: State, account: Account, presence: Presence, billing: BillingDay, rng: np.random.Generator
) -> tuple[pa.Table, BoolArray, BoolArray, BoolArray]:
    """Return the month's invoices, and for each customer: billed, paid late, left unpaid for long."""
    traits, count = state.traits, state.customers
    due_month = np.where(account.is_annual, billing.renews | presence.opens, ~account.is_paused)
    is_billed = billing.is_served & due_month
    probability = PAYMENT_FAILS[traits.payment_method] * traits.payment_risk
    failed_before = state.drivers.payment_failing > 0.9
    probability = np.where(failed_before, np.maximum(probability, STILL_FAILS), probability)
    fails = is_billed & (rng.random(count) < probability)
    is_unpaid = fails & (rng.random(count) < UNPAID_SHARE)
    is_late = fails & ~is_unpaid
    months = np.where(account.is_annual, 12, 1)
    reduced_months = np.where(account.is_annual, economy.DISCOUNT_INVOICES, 1)
    discount = np.where(account.discounted_invoices > 0, economy.DISCOUNT_SHARE * reduced_months, 0.0)
    amount = np.round(account.fee_cents * (months - discount)).astype(np.int64)
    due_on = state.starts_on + billing.offset.astype("m8[D]")
    paid_on = _paid_on(state, due_on, is_late, is_unpaid, rng)
    at = np.flatnonzero(is_billed)
    issued = records.table(
        "payments",
        payment_id=records.numbered_ids(traits.customer_id[at], account.payment_number[at] + 1),
        customer_id=traits.customer_id[at],
        due_on=records.days(due_on[at]),
        paid_on=records.days(paid_on[at]),
        amount=records.money(amount[at]),
        payment_method=records.text(traits.payment_method[at], economy.PAYMENT_METHODS),
    )
    return issued, is_billed, is_late, is_unpaid


def _paid_on(
    state: State, due_on: DayArray, is_late: BoolArray, is_unpaid: BoolArray, rng: np.random.Generator
) -> DayArray:
    """Return when each customer pays; an unpaid invoice stays open for a month or two, some for good."""
    count = state.customers
    usual = rng.integers(0, 4, count) * (state.traits.payment_method > 0)  # cards are charged on the due day
    delay = np.where(
        is_late, rng.integers(7, 31, count), np.where(is_unpaid, rng.integers(35, 66, count), usual)
    )
    is_lost = is_unpaid & (rng.random(count) < LOST_SHARE)
    return np.where(is_lost, NEVER, due_on + delay.astype("m8[D]"))


def tickets(
    state: State, presence: Presence, rng: np.random.Generator
) -> tuple[pa.Table, IntArray, FloatArray]:
    """Return the month's tickets, how many each customer opened, and the support pain that they add."""
    days_served = np.maximum(presence.ends - presence.starts, 0)
    mean = state.traits.support_need * days_served / state.days
    opened = np.minimum(small_counts(mean, rng.random(state.customers)), 2)
    at, number = repeated(opened)
    badness, hurt = rng.random((2, state.customers, 2))[:, at, number]
    is_bad = badness < BAD_TICKET_SHARE
    pain = np.zeros(state.customers)
    np.add.at(pain, at, np.where(is_bad, 0.6 + 0.9 * hurt, 0.0))
    count = len(at)
    opened_at = moments(state, presence, at, rng)
    hours = np.where(is_bad, rng.lognormal(4.6, 0.7, count), rng.lognormal(2.2, 0.8, count))
    score = np.where(is_bad, rng.choice([1, 2, 3], count, p=[0.5, 0.4, 0.1]), rng.choice([3, 4, 5], count))
    is_silent = rng.random(count) >= ANSWERS_SURVEY
    topic = rng.choice(len(economy.TICKET_TOPICS), count, p=[0.3, 0.3, 0.25, 0.15]).astype(np.int8)
    customer_id = state.traits.customer_id[at]
    issued = records.table(
        "support_tickets",
        ticket_id=records.numbered_ids(customer_id, state.account.ticket_number[at] + number + 1),
        customer_id=customer_id,
        opened_at=records.times(opened_at),
        resolved_at=records.times(opened_at + np.ceil(hours).astype("m8[h]")),
        topic=records.text(topic, economy.TICKET_TOPICS),
        satisfaction=pa.array(score, pa.int8(), mask=is_silent),
    )
    return issued, opened, pain


def contact_records(
    state: State, presence: Presence, contacts: Contacts, accepts: BoolArray, rng: np.random.Generator
) -> pa.Table:
    """Return the planned contacts (controls included) that took place."""
    account = state.account
    took_place = presence.is_contacted[contacts.position]
    at = contacts.position[took_place]
    offer = presence.contact_offer[at]
    contacted_on = state.starts_on + presence.contact_offset[at].astype("m8[D]")
    answer_offset = presence.contact_offset + rng.integers(0, 5, state.customers)
    accepted_on = state.starts_on + np.minimum(answer_offset, presence.ends - 1)[at].astype("m8[D]")
    incentive = economy.incentive_cents(offer, account.plan[at], account.fee_cents[at])
    cost = np.where(offer >= 0, economy.CONTACT_COST_CENTS[offer], 0) + np.where(accepts[at], incentive, 0)
    customer_id = state.traits.customer_id[at]
    return records.table(
        "retention_contacts",
        contact_id=records.numbered_ids(customer_id, account.contact_number[at] + 1),
        action_id=pa.array([contacts.action_id[i] for i in np.flatnonzero(took_place)], pa.string()),
        customer_id=customer_id,
        offer=records.text(np.where(offer < 0, len(economy.OFFERS), offer), (*economy.OFFERS, "no_action")),
        contacted_on=records.days(contacted_on),
        accepted_on=records.days(np.where(accepts[at], accepted_on, NEVER)),
        cost=records.money(cost),
        is_randomized=contacts.is_randomized[took_place],
        propensity=pa.array(contacts.propensity[took_place], from_pandas=True),
    )


def opened_periods(state: State, account: Account, at: IntArray, started_on: DayArray) -> pa.Table:
    """Return the subscription periods that start on ``started_on`` for the customers at some positions."""
    customer_id = state.traits.customer_id[at]
    return records.table(
        "subscriptions",
        subscription_id=records.subscription_ids(customer_id, account.subscription_number[at]),
        customer_id=customer_id,
        plan=records.text(account.plan[at], economy.PLANS),
        billing_period=records.text(account.is_annual[at].astype(np.int8), ("monthly", "annual")),
        monthly_fee=records.money(account.fee_cents[at]),
        started_on=records.days(started_on[at]),
        ended_on=pa.nulls(len(at), records.DAY),
        commitment_ends_on=records.days(account.commitment_ends_on[at]),
    )


def ended_periods(state: State, before: Account, presence: Presence, billing: BillingDay) -> pa.Table:
    """Return the periods that ended: replaced by another one on the same day, or because the customer left."""
    is_replaced = billing.opens_period & ~presence.opens
    by_billing, by_leaving = np.flatnonzero(is_replaced), np.flatnonzero(presence.leaves)
    number = before.subscription_number
    customer_id = state.traits.customer_id
    ids = [
        records.subscription_ids(customer_id[by_billing], number[by_billing]),
        records.subscription_ids(customer_id[by_leaving], (number + is_replaced)[by_leaving]),
    ]
    offsets = np.concatenate([billing.offset[by_billing], presence.ends[by_leaving]])
    ended_on = state.starts_on + offsets.astype("m8[D]")
    columns = [pa.array(np.concatenate(ids)), records.days(ended_on)]
    return pa.Table.from_arrays(columns, schema=records.ENDINGS)


def customer_records(state: State, at: IntArray) -> pa.Table:
    """Return the master data of the customers at some positions."""
    traits = state.traits
    return records.table(
        "customers",
        customer_id=traits.customer_id[at],
        signed_up_on=records.days(traits.signed_up_on[at]),
        region=records.text(traits.region[at], economy.REGIONS),
        acquisition_channel=records.text(traits.acquisition_channel[at], economy.ACQUISITION_CHANNELS),
        segment=records.text(traits.segment[at], economy.SEGMENTS),
        consents_to_email=traits.consents_to_email[at],
        consents_to_phone=traits.consents_to_phone[at],
        consents_to_push=traits.consents_to_push[at],
    )


def month_activity(
    state: State, drivers: ChurnDrivers, presence: Presence, rng: np.random.Generator
) -> tuple[pa.Table, BoolArray]:
    """Return the month's events, and whether each customer was active at all."""
    at_day, day = _active_days(state, drivers, presence, rng)
    served = presence.is_present & (drivers.engagement > -3.0)
    view_draw, add_on_draw = rng.random((2, state.customers))
    views = small_counts((0.04 + 1.5 * drivers.price_shock) * served, view_draw)
    exports = (drivers.exit_intent >= 0.8) * presence.is_present * rng.integers(1, 3, state.customers)
    add_ons = small_counts(economy.ADD_ONS_A_MONTH * served, add_on_draw)
    uses = rng.random(len(at_day)) < FEATURE_USE_SHARE
    visits_on = on_hours(state, day, rng)
    at_view, at_export, at_add_on = (repeated(counts)[0] for counts in (views, exports, add_ons))
    parts = [
        _events(state, economy.LOGIN_SESSION, at_day, visits_on, 1 + rng.poisson(0.6, len(at_day))),
        _events(
            state, economy.FEATURE_USE, at_day[uses], visits_on[uses], 1 + rng.poisson(3.0, int(uses.sum()))
        ),
        _events(state, economy.PRICING_PAGE_VIEW, at_view, moments(state, presence, at_view, rng)),
        _events(state, economy.DATA_EXPORT, at_export, moments(state, presence, at_export, rng)),
        _events(
            state,
            economy.ADD_ON_PURCHASE,
            at_add_on,
            moments(state, presence, at_add_on, rng),
            amount_cents=economy.ADD_ON_CENTS[rng.integers(0, len(economy.ADD_ON_CENTS), len(at_add_on))],
        ),
    ]
    was_active = np.zeros(state.customers, dtype=bool)
    for at in (at_day, at_view, at_export, at_add_on):
        was_active[at] = True
    return pa.concat_tables(parts), was_active


def _active_days(
    state: State, drivers: ChurnDrivers, presence: Presence, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return customer position and day offset of every active day, ordered by customer and day."""
    offsets = np.arange(state.days)
    weekday = (state.starts_on.astype(np.int64) + offsets + 3) % 7  # 1970-01-01 was a Thursday; 0 = Monday
    factor = np.where(weekday >= 5, WEEKEND_FACTOR, 1.0)
    paused = np.where(state.account.is_paused, PAUSED_FACTOR, 1.0)
    a_day = state.traits.usual_active_days * np.exp(drivers.engagement) * paused / 30.0
    probability = np.minimum(a_day[:, None] * factor / factor.mean(), 0.97)
    is_active = rng.random((state.customers, state.days), dtype=np.float32) < probability
    is_active &= (presence.starts[:, None] <= offsets) & (offsets < presence.ends[:, None])
    at, day = np.nonzero(is_active)
    return at, day


def _events(
    state: State,
    activity_type: int,
    at: IntArray,
    occurred_at: DayArray,
    quantity: IntArray | None = None,
    amount_cents: IntArray | None = None,
) -> pa.Table:
    codes: CodeArray = np.full(len(at), activity_type, dtype=np.int8)
    return records.table(
        "activity",
        customer_id=state.traits.customer_id[at],
        occurred_at=records.times(occurred_at),
        activity_type=records.text(codes, economy.ACTIVITY_TYPES),
        quantity=np.ones(len(at), dtype=np.int64) if quantity is None else quantity,
        amount=pa.nulls(len(at), records.MONEY) if amount_cents is None else records.money(amount_cents),
    )


def repeated(counts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the position of each event's customer, and its number 0.. among that customer's events.

    Examples
    --------
    >>> [each.tolist() for each in repeated(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    position = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return position, np.arange(len(position)) - first[position]


def small_counts(mean: npt.NDArray[np.floating], uniform: FloatArray) -> IntArray:
    """Return Poisson counts (n,), cut off at 8, by inverting one uniform number each.

    Each customer uses one number, whatever the mean: a contact of one customer does not change the draws of others.

    Examples
    --------
    >>> small_counts(np.array([1.0, 1.0, 0.0]), np.array([0.3, 0.5, 0.9])).tolist()
    [0, 1, 0]
    """
    probability = np.exp(-mean)
    cumulated, counts = probability, np.zeros(len(mean), dtype=np.int64)
    for count in range(1, 9):
        counts += uniform >= cumulated
        probability = probability * mean / count
        cumulated = cumulated + probability
    return counts


def moments(state: State, presence: Presence, at: IntArray, rng: np.random.Generator) -> DayArray:
    """Return a random full hour within the served days of the month for each event of a customer."""
    starts, ends = presence.starts[at], presence.ends[at]
    day = starts + np.floor(rng.random(len(at)) * (ends - starts)).astype(np.int64)
    return on_hours(state, day, rng)


def on_hours(state: State, day_offset: IntArray, rng: np.random.Generator) -> DayArray:
    """Return a random full hour of the day, around noon more often, on each day of the month."""
    hour = FIRST_HOUR + rng.binomial(LAST_HOUR - FIRST_HOUR, 0.5, len(day_offset))
    return state.starts_on.astype("M8[h]") + (24 * day_offset + hour).astype("m8[h]")
