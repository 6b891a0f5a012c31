{{ config(materialized='table') }}

{% set left_over = error_text(
    "customer_features holds ", "stored.customers", " customers on ", "run.as_of_date", ", where the data of this run give ",
    "computed.customers", ": features of an earlier attempt. "
    ~ "What people read is as it was. Next: run dbt build, without leaving customer_features out, so that they are built "
    ~ "again. To let it pass in one run: --vars '{allow_lost_input: [features]}'"
) -%}

with run as (

    select * from {{ ref('int_run') }}

),

computed as (

    select count(*) as customers
    from {{ ref('int_customer_as_of_dates') }} as at_risk
    inner join run on at_risk.as_of_date = run.as_of_date

),

stored as (

    select count(*) as customers
    from {{ ref('customer_features') }} as features
    inner join run on features.as_of_date = run.as_of_date

),

passed as (

    select
        cast(run.as_of_date as date) as as_of_date,
        cast(case
            when stored.customers <> computed.customers and not {{ is_allowed_loss("'features'") }}
                then {{ raise_error(left_over) }}
            else stored.customers
        end as bigint) as customers_at_risk
    from run
    cross join computed
    cross join stored
    where {{ input_is_complete() }}

)

select * from passed
