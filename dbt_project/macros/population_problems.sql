{#-
    A select with one row where nobody is at risk at the run's date, or far fewer or more customers than at the previous
    run; none otherwise.
-#}
{% macro population_problems() -%}
    with run as (

        select * from {{ ref('int_run') }}

    ),

    at_risk as (

        select * from {{ ref('int_customer_as_of_dates') }}

    ),

    limits as (

        select * from {{ ref('int_monitoring_limits') }}

    ),

    earlier_volume as (

        select *
        from {{ earlier_runs('rpt_run_volume', {
            'as_of_date': 'date', 'measure': 'string', 'row_count': 'bigint',
        }) }} as volume
        where measure = 'customers_at_risk'

    ),

    previous as (

        select
            earlier_volume.as_of_date,
            earlier_volume.row_count,
            row_number() over (order by earlier_volume.as_of_date desc) as place
        from earlier_volume
        cross join limits
        inner join run
            on earlier_volume.as_of_date <= run.as_of_date
                and earlier_volume.as_of_date >= {{ add_days('run.as_of_date', '-limits.compared_days') }}

    ),

    counted as (

        select
            run.as_of_date,
            count(at_risk.customer_id) as customers,
            max(previous.row_count) as previous_customers,
            max(previous.as_of_date) as previous_as_of_date
        from run
        left join at_risk on run.as_of_date = at_risk.as_of_date
        left join previous on previous.place = 1
        group by run.as_of_date

    ),

    judged as (

        select
            counted.*,
            cast(customers as double) / nullif(previous_customers, 0) as ratio,
            case
                when customers = 0 then 'nobody_at_risk'
                when customers < population_from * previous_customers
                    and {{ count_differs('customers', 'previous_customers') }} then 'fewer_at_risk'
                when customers > population_to * previous_customers
                    and {{ count_differs('customers', 'previous_customers') }} then 'more_at_risk'
            end as problem
        from counted
        cross join limits

    ),

    problems as (

        select
            cast(as_of_date as date) as as_of_date,
            cast('customers at risk' as string) as subject,
            cast(null as string) as staging_model,
            cast(problem as string) as problem,
            cast(ratio as double) as share,
            cast(customers as bigint) as rows_now,
            cast(previous_customers as bigint) as rows_then,
            cast(previous_as_of_date as date) as compared_with,
            cast(null as string) as first_values,
            cast(
                case
                    when problem = 'nobody_at_risk' then {{ error_text("customers at risk: none on ", "as_of_date", "") }}
                    else {{ error_text("customers at risk: ", "customers", " on ", "as_of_date", "") }}
                end || coalesce({{ error_text(
                    ", where the run of ", "previous_as_of_date", " counted ", "previous_customers", ""
                ) }}, '') || coalesce({{ error_text(" (", per_cent('ratio'), " %)") }}, '') as string
            ) as description
        from judged
        where problem is not null

    )

    select * from problems
{%- endmacro %}
