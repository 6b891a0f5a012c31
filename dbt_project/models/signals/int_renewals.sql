-- When a customer billed for longer than the horizon can leave next: at the end of the commitment, else at the next
-- year after the running row of terms began, which a change of fee or plan moves. Customers billed more often can leave
-- at any time.
with features as (

    select * from {{ ref('customer_features') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

renewals as (

    select
        cast(features.customer_id as string) as customer_id,
        cast(features.as_of_date as date) as as_of_date,
        {% for column, expression in renewal_expressions().items() -%}
            cast({{ expression }} as integer) as {{ column }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from features
    cross join parameters

)

select * from renewals
