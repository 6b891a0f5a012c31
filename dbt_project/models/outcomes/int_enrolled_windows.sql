{{ config(materialized='table') }}

-- Customers enrolled in the programme, for each finished month that is not kept yet. The first decision about
-- a customer enrols them, on the month's last day too; a new assignment enrols everybody anew.
with decisions as (

    select * from {{ ref('int_enrolment_decisions') }}

),

earlier as (

    select * from {{ ref('int_earlier_enrolled_months') }}

),

months as (

    select distinct
        outcome_month,
        assignment
    from decisions

),

enrolling as (

    select
        decisions.*,
        row_number() over (partition by customer_id, assignment order by outcome_month) as month_number
    from decisions

),

assignments as (

    select distinct assignment
    from months

),

enrolled as (

    select
        earlier.customer_id,
        earlier.assignment,
        earlier.first_month,
        earlier.is_untouched,
        earlier.enrolled_on,
        earlier.at_enrolment_cents,
        earlier.value_cents
    from earlier
    inner join assignments on earlier.assignment = assignments.assignment
    union all
    select
        enrolling.customer_id,
        enrolling.assignment,
        cast(null as date) as first_month,
        enrolling.is_untouched,
        enrolling.decided_on as enrolled_on,
        enrolling.value_cents as at_enrolment_cents,
        enrolling.value_cents
    from enrolling
    left join earlier on enrolling.customer_id = earlier.customer_id and enrolling.assignment = earlier.assignment
    where enrolling.month_number = 1 and earlier.customer_id is null

),

windows as (

    select
        cast(enrolled.customer_id as string) as customer_id,
        cast(months.outcome_month as date) as outcome_month,
        cast(
            min(coalesce(enrolled.first_month, months.outcome_month)) over (partition by months.assignment) as date
        ) as first_month,
        cast(enrolled.assignment as string) as assignment,
        cast(enrolled.is_untouched as boolean) as is_untouched,
        cast(enrolled.enrolled_on as date) as enrolled_on,
        cast(enrolled.at_enrolment_cents as bigint) as at_enrolment_cents,
        cast(coalesce(decisions.newest_value_cents, enrolled.value_cents) as bigint) as value_cents,
        cast(last_day(months.outcome_month) as date) as closes_on
    from enrolled
    inner join months
        on enrolled.assignment = months.assignment
            and enrolled.enrolled_on <= last_day(months.outcome_month)
    left join decisions
        on enrolled.customer_id = decisions.customer_id
            and months.outcome_month = decisions.outcome_month

)

select * from windows
