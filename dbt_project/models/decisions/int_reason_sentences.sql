-- The three features that push a planned customer's risk up the most, in words.
with reasons as (

    select * from {{ ref('int_churn_reasons') }}

),

reason_texts as (

    select * from {{ ref('reason_texts') }}

),

worded as (

    select
        reasons.customer_id,
        reasons.as_of_date,
        reasons.reason_rank,
        coalesce(reason_texts.reason_text, replace(reasons.feature, '_', ' ')) as reason
    from reasons
    left join reason_texts on reasons.feature = reason_texts.feature

),

sentences as (

    select
        cast(customer_id as varchar) as customer_id,
        cast(as_of_date as date) as as_of_date,
        {% for rank in [1, 2, 3] -%}
            cast(max(case when reason_rank = {{ rank }} then reason end) as varchar) as reason_{{ rank }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from worded
    group by customer_id, as_of_date

)

select * from sentences
