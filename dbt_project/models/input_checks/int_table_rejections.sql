-- The reason for which most rows of a table are set aside, before others one that has doubled since the previous run.
-- Ids that match no customer stand beside the first ids of the customers, so that two spellings of one id show.
with rejected as (

    select * from {{ ref('quarantine') }}

),

customers as (

    select * from {{ valid_rows('customers') }}

),

counts as (

    select * from {{ ref('int_table_counts') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

earlier_volume as (

    select *
    from {{ earlier_runs('rpt_run_volume', {
        'as_of_date': 'date', 'measure': 'string', 'item': 'string', 'detail': 'string', 'row_count': 'bigint',
    }) }} as volume

),

reason_counts as (

    select
        staging_model,
        quarantine_reason,
        count(*) as rows_of_reason
    from rejected
    group by staging_model, quarantine_reason

),

reasons as (

    select
        reason_counts.*,
        row_number() over (
            partition by reason_counts.staging_model
            order by
                case
                    when rows_of_reason >= limits.lost_rows
                        and rows_of_reason >= 2 * coalesce(earlier_volume.row_count, 0) then 0
                    else 1
                end asc,
                reason_counts.rows_of_reason desc, reason_counts.quarantine_reason asc
        ) as place
    from reason_counts
    cross join limits
    inner join counts on reason_counts.staging_model = counts.staging_model
    left join earlier_volume
        on earlier_volume.measure = 'quarantined'
            and counts.previous_as_of_date = earlier_volume.as_of_date
            and reason_counts.staging_model = earlier_volume.item
            and reason_counts.quarantine_reason = earlier_volume.detail

),

shown as (

    select distinct
        rejected.staging_model,
        rejected.quarantine_reason,
        case
            when rejected.quarantine_reason in ('unknown_customer', 'duplicate_customer_id') then rejected.customer_id
            else coalesce(rejected.record_id, rejected.customer_id, 'no id')
        end as shown_value
    from rejected
    inner join reasons
        on rejected.staging_model = reasons.staging_model
            and rejected.quarantine_reason = reasons.quarantine_reason
            and reasons.place = 1

),

numbered as (

    select
        *,
        row_number() over (partition by staging_model order by shown_value) as place
    from shown

),

first_values as (

    select
        staging_model,
        {{ join_text("'\"' || shown_value || '\"'", "', '", "shown_value") }} as first_values
    from numbered
    where place <= 5
    group by staging_model

),

first_customers as (

    select
        {{ join_text("'\"' || customer_id || '\"'", "', '", "customer_id") }} as first_ids,
        max(customer_count) as customer_count
    from (
        select
            customer_id,
            count(*) over () as customer_count,
            row_number() over (order by customer_id nulls last) as place
        from customers
    ) as numbered_customers
    where place <= 5

),

rejections as (

    select
        cast(reasons.staging_model as string) as staging_model,
        cast(reasons.quarantine_reason as string) as quarantine_reason,
        cast(reasons.rows_of_reason as bigint) as rows_of_reason,
        cast(first_values.first_values as string) as first_values,
        cast({{ error_text(
            ", ", "reasons.rows_of_reason", " as ", "reasons.quarantine_reason", ", first values: ",
            "first_values.first_values"
        ) }} || case
            when reasons.quarantine_reason <> 'unknown_customer' then ''
            else coalesce(
                    ', where the first of '
                    || cast(first_customers.customer_count as string)
                    || ' valid customers are '
                    || first_customers.first_ids, ', where no customer is valid'
                )
        end as string) as in_words
    from reasons
    inner join first_values on reasons.staging_model = first_values.staging_model
    cross join first_customers
    where reasons.place = 1

)

select * from rejections
