{{ config(materialized='table') }}

with churn_reasons as (

    select * from {{ ref('int_churn_reasons') }}

),

feature_reasons as (

    select * from {{ ref('int_feature_reasons') }}

),

reason_texts as (

    select * from {{ ref('reason_texts') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

-- Reasons of one wording say the same, whatever their period.
templates as (

    {{ reason_templates() }}

),

worded as (

    select
        churn_reasons.*,
        {{ worded_reason() }} as reason_text,
        row_number() over (
            partition by churn_reasons.customer_id, templates.wording order by churn_reasons.reason_rank
        ) as wording_rank
    from churn_reasons
    inner join templates
        on churn_reasons.feature = templates.feature and churn_reasons.direction = templates.direction

),

ranked as (

    select
        worded.*,
        row_number() over (partition by customer_id order by reason_rank) as citation_rank
    from worded
    where wording_rank = 1

),

cited as (

    select
        cast(customer_id as string) as customer_id,
        cast(as_of_date as date) as as_of_date,
        cast(citation_rank as integer) as reason_rank,
        cast(family as string) as family,
        cast(feature as string) as feature,
        cast(direction as string) as direction,
        cast(feature_value as double) as feature_value,
        cast(category as string) as category,
        cast(reason_text as string) as reason_text
    from ranked
    where citation_rank <= 3

)

select * from cited
