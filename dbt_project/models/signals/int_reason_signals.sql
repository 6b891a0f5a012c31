-- Signals of the reasons for which a customer may leave, 0 (no sign) to 2 (strong). Declining engagement starts below
-- three quarters of the usual pace, or after two usual gaps, so that random variation gives no signal. Dormant is
-- hardly any use for half a year, fewer than three days of it (or purchases, where activity is not
-- mapped to engagement), with at least that tenure.
with features as (

    select * from {{ ref('customer_features') }}

),

signals as (

    select
        cast(customer_id as string) as customer_id,
        cast(as_of_date as date) as as_of_date,
        {% for signal, expression in signal_expressions(use_column()).items() -%}
            cast({{ expression }} as double) as signal_{{ signal }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from features

)

select * from signals
