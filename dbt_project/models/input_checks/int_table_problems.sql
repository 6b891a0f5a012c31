-- The first rule that a table breaks: most of it set aside, most of what is new set aside, more set aside than before,
-- fewer or more rows of days that the previous run knew.
with counts as (

    select * from {{ ref('int_table_counts') }}

),

limits as (

    select * from {{ ref('int_monitoring_limits') }}

),

rejected as (

    select * from {{ ref('int_table_rejections') }}

),

shares as (

    select
        counts.*,
        delivered_rows - valid_rows as rejected_rows,
        previous_delivered_rows - previous_valid_rows as previous_rejected_rows,
        delivered_rows_since - valid_rows_since as rejected_rows_since,
        cast(delivered_rows - valid_rows as double) / nullif(delivered_rows, 0) as share,
        cast(previous_delivered_rows - previous_valid_rows as double) / nullif(previous_delivered_rows, 0)
            as previous_share,
        cast(valid_rows_until_previous_run as double) / nullif(previous_valid_rows, 0) as ratio
    from counts

),

judged as (

    select
        shares.*,
        case
            when rejected_rows >= lost_rows and share >= set_aside_share then 'set_aside'
            when rejected_rows_since >= lost_rows
                and rejected_rows_since >= set_aside_share * delivered_rows_since then 'set_aside_lately'
            when rejected_rows - previous_rejected_rows >= lost_rows
                and share - previous_share >= set_aside_rise
                and {{ share_differs('share', 'delivered_rows', 'previous_share', 'previous_delivered_rows') }}
                then 'more_set_aside'
            when ratio < earlier_rows_from
                and {{ count_differs('valid_rows_until_previous_run', 'previous_valid_rows') }} then 'fewer_rows'
            -- Consents may have no day: those of new customers are then no fault.
            when ratio > earlier_rows_to
                and staging_model <> 'stg_consents'
                and {{ count_differs('valid_rows_until_previous_run', 'previous_valid_rows') }} then 'more_rows'
        end as problem
    from shares
    cross join limits

),

problems as (

    select
        cast(judged.as_of_date as date) as as_of_date,
        cast(judged.feed as string) as subject,
        cast(judged.staging_model as string) as staging_model,
        cast(judged.problem as string) as problem,
        cast(case
            when judged.problem = 'set_aside_lately'
                then cast(judged.rejected_rows_since as double) / judged.delivered_rows_since
            when judged.problem in ('fewer_rows', 'more_rows') then judged.ratio
            else judged.share
        end as double) as share,
        cast(case
            when judged.problem = 'set_aside_lately' then judged.rejected_rows_since
            when judged.problem in ('fewer_rows', 'more_rows') then judged.valid_rows_until_previous_run
            else judged.rejected_rows
        end as bigint) as rows_now,
        cast(case
            when judged.problem in ('fewer_rows', 'more_rows') then judged.previous_valid_rows
            when judged.problem <> 'set_aside_lately' then judged.previous_rejected_rows
        end as bigint) as rows_then,
        cast(judged.previous_as_of_date as date) as compared_with,
        cast(case
            when judged.problem not in ('fewer_rows', 'more_rows') then rejected.first_values
        end as string) as first_values,
        cast(judged.staging_model || ': ' || case judged.problem
            when 'set_aside' then {{ error_text(
                "", "rejected_rows", " of ", "delivered_rows", " rows (", per_cent('share'), " %) are set aside"
            ) }} || coalesce({{ error_text(
                "; at the run of ", "previous_as_of_date", " it was ", per_cent('previous_share'), " %"
            ) }}, '')
            when 'set_aside_lately' then {{ error_text(
                "", "rejected_rows_since", " of ", "delivered_rows_since", " rows since the run of ",
                "previous_as_of_date", " are set aside"
            ) }}
            when 'more_set_aside' then {{ error_text(
                "", per_cent('share'), " % of ", "delivered_rows", " rows are set aside; at the run of ",
                "previous_as_of_date", " it was ", per_cent('previous_share'), " %"
            ) }}
            else {{ error_text(
                "of days up to ", "previous_as_of_date", " it holds ", "valid_rows_until_previous_run",
                " valid rows, where the run of that day counted ", "previous_valid_rows", " (", per_cent('ratio'), " %)"
            ) }}
        end || case
            when judged.problem in ('fewer_rows', 'more_rows') then '' else coalesce(rejected.in_words, '')
        end as string) as description
    from judged
    left join rejected on judged.staging_model = rejected.staging_model
    where judged.problem is not null

)

select * from problems
