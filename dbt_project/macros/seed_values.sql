{#- A whole number of a seed, from its text: 30 and 30.0 are the same. -#}
{% macro seed_integer(column) %}cast(cast({{ column }} as double) as integer){% endmacro %}

{#- The policy parameters with their values as text: policy.csv, where a dbt variable of the same name overrides a value. -#}
{% macro policy_values() -%}
    select
        cast(policy_rows.parameter as string) as parameter,
        cast(trim(coalesce(policy_overrides.chosen_value, policy_rows.value)) as string) as value,
        policy_rows.unit,
        policy_rows.source,
        policy_overrides.chosen_value is not null as is_overridden
    from {{ ref('policy') }} as policy_rows
    left join (
        select
            cast(null as string) as parameter,
            cast(null as string) as chosen_value
        where false
        {%- for parameter in policy_parameters() if var(parameter.name, none) is not none %}
        union all
        select
            '{{ parameter.name }}' as parameter,
            {{ sql_text(var(parameter.name) | string) }} as chosen_value
        {%- endfor %}
    ) as policy_overrides on policy_rows.parameter = policy_overrides.parameter
{%- endmacro %}

{#- The channel capacities that `--vars '{channel_capacity: {email: 500}}'` sets, one row per channel. -#}
{% macro channel_overrides() -%}
    select
        cast(null as string) as channel,
        cast(null as string) as monthly_capacity
    where false
    {%- set given = var('channel_capacity', none) -%} {#- check_variables refuses what is no mapping -#}
    {%- for channel, capacity in (given if given is mapping else {}).items() %}
    union all
    select
        {{ sql_text(channel | string) }} as channel,
        {{ sql_text(capacity | string) }} as monthly_capacity
    {%- endfor %}
{%- endmacro %}

{#- The channels with their monthly capacity: channels.csv, where the variable channel_capacity overrides a value. -#}
{% macro channel_values() -%}
    select
        channel_rows.channel,
        coalesce(capacity_overrides.monthly_capacity, channel_rows.monthly_capacity) as monthly_capacity,
        channel_rows.unit,
        channel_rows.source
    from {{ ref('channels') }} as channel_rows
    left join ({{ channel_overrides() }}) as capacity_overrides on channel_rows.channel = capacity_overrides.channel
{%- endmacro %}

{#- The reasons for which a customer may leave, in the order of the effect coefficients. -#}
{% macro reason_signals() %}
    {{ return(signal_expressions().keys() | list) }}
{% endmacro %}

{#- The intercept and the reason signals, as a select of one column, signal: what every offer needs a prior for. -#}
{% macro prior_signals() -%}
    {% for signal in ['intercept'] + reason_signals() -%}
        select '{{ signal }}' as signal
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
{%- endmacro %}

{#-
    A condition that is true while no seed row is at fault, and otherwise stops the run, naming the first
    five faults. It stands in the `where` of the models through which every seed passes.
-#}
{% macro seeds_are_sound() -%}
(
    select
        case
            when count(*) = 0 then true
            else {{ raise_error("'The seeds hold ' || cast(count(*) as string) || ' problem(s): ' || min(first_problems.listed) || '. Correct the rows, then run dbt build again'") }}
        end
    from {{ ref('int_seed_problems') }} as seed_problems
    cross join (
        select
            {{ join_text("seed_file || ', ' || seed_row || ': ' || problem", "'; '", "seed_file, seed_row, problem") }} as listed
        from (
            select * from {{ ref('int_seed_problems') }}
            order by seed_file, seed_row, problem
            limit 5
        ) as first_five
    ) as first_problems
)
{%- endmacro %}
