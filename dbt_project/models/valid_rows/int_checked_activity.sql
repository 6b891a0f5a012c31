with activity as (

    select * from {{ ref('stg_activity') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

activity_map as (

    select * from {{ ref('int_activity_map') }}

),

run as (

    select * from {{ ref('int_run') }}

),

declared_types as (

    select distinct activity_type
    from activity_map

),

checked as (

    select
        activity.*,
        cast(activity.occurred_at as date) as occurred_on,
        case
            when customers.customer_id is null and {{ is_missing_id('activity.customer_id') }}
                then 'missing_customer_id'
            when customers.customer_id is null then 'unknown_customer'
            when activity.occurred_at is null then 'missing_occurred_at'
            when {{ is_placeholder_day('activity.occurred_at') }} then 'placeholder_date'
            when cast(activity.occurred_at as date) > run.data_ends_on then 'after_data_end'
            when declared_types.activity_type is null then 'undeclared_activity_type'
            when activity.quantity is null then 'missing_quantity'
            when {{ is_beyond_counting('activity.quantity') }} then 'quantity_out_of_range'
            when {{ is_beyond_counting('activity.amount') }} then 'amount_out_of_range'
        end as quarantine_reason
    from activity
    cross join run
    left join customers on activity.customer_id = customers.customer_id
    left join declared_types on activity.activity_type = declared_types.activity_type
    where {{ is_not_erased('case when customers.customer_id is null then activity.customer_id end') }}

)

select * from checked
