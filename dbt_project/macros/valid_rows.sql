{#- The rows of a staging table that passed their checks, as a subquery; quarantine holds the others. -#}
{% macro valid_rows(table) -%}
    (select * from {{ ref('int_checked_' ~ table) }} where quarantine_reason is null)
{%- endmacro %}

{#-
    The rows of `judged` with their quarantine_reason: their fault, or that another row without a fault has the same
    key. A faulty copy never displaces a sound one; of several sound copies the first in the stated order stays.

    judged: a CTE with a column `fault`, null where the row is sound.
-#}
{% macro set_copies_aside(judged, key, copy_order, reason) %}
    select
        copies.*,
        coalesce(copies.fault, case when copies.copy_number > 1 then '{{ reason }}' end) as quarantine_reason
    from (
        select
            {{ judged }}.*,
            row_number() over (
                partition by {{ key }}
                order by
                    case when fault is null then 0 else 1 end
                    {%- for column in copy_order.split(', ') -%}
                        , {{ column }}{{ ' nulls last' if ' nulls ' not in column }}
                    {%- endfor %}
            ) as copy_number
        from {{ judged }}
    ) as copies
{% endmacro %}

{#- Whether an id is missing: null, or the blanks that exports write for it. -#}
{% macro is_missing_id(id) -%}
    coalesce(trim({{ id }}), '') = ''
{%- endmacro %}

{#-
    Whether a day is a placeholder that systems write where no day is known: before 1900, 1900-01-01 or the first day of
    Unix time.
-#}
{% macro is_placeholder_day(day) -%}
    (cast({{ day }} as date) <= date '1900-01-01' or cast({{ day }} as date) = date '1970-01-01')
{%- endmacro %}

{#- The last day of a stretch: null where an open end stands for it, such as 9999-12-31. -#}
{% macro stated_end(day) -%}
    case when {{ day }} < date '2200-01-01' then {{ day }} end
{%- endmacro %}

{#- A day or time that may be missing: null where a placeholder stands for it. -#}
{% macro stated_day(day) -%}
    case when not {{ is_placeholder_day(day) }} then {{ day }} end
{%- endmacro %}

{#- The largest amount or quantity that is taken as one: sums of cents beyond it would overflow. -#}
{% macro largest_countable() %}1e12{% endmacro %}

{#-
    A raw amount or quantity in the type of its contract. NaN, an infinite and a larger number than can be counted become
    one that `is_beyond_counting`, so that the row is quarantined where a cast would stop the run; so does a fraction where
    the contract has a whole number, which a cast would round. Products of fractions, such as 1.001 * 1000, are whole but
    for rounding. An integer becomes the largest of its type.
-#}
{% macro countable(amount, type) -%}
    {%- set number = "cast(" ~ amount ~ " as double)" -%}
    {%- set largest, beyond = ('1e9', '2147483647') if type == 'integer' else (largest_countable(), '9999999999999') -%}
    {%- set whole = "round(" ~ number ~ ", 0)" -%}
    case
        when abs({{ number }}) <= {{ largest }}
            {%- if type in ('bigint', 'integer') %} and abs({{ number }} - {{ whole }}) < 1e-6{% endif %}
            then cast({{ whole if type in ('bigint', 'integer') else amount }} as {{ type }})
        when {{ amount }} is not null then cast({{ beyond }} as {{ type }})
    end
{%- endmacro %}

{#- Whether a staged amount or quantity is none that can be counted; a null is not beyond counting. -#}
{% macro is_beyond_counting(amount) -%}
    coalesce(abs({{ amount }}) > {{ largest_countable() }}, false)
{%- endmacro %}

{#-
    An amount where it is in the stated currency (the parameter `currency`) and null elsewhere, so that the row is
    quarantined: for staging selects of sources whose rows name their currency. A row without a currency is taken as
    stated.
-#}
{% macro amount_in_stated_currency(amount, currency_column) -%}
    case
        when coalesce(upper(trim({{ currency_column }})), '') in ('', (
            select upper(stated_policy.value)
            from ({{ policy_values() }}) as stated_policy
            where stated_policy.parameter = 'currency'
        )) then {{ amount }}
    end
{%- endmacro %}

{#-
    Every reported contact that names a customer or an action, as a subquery: also those set aside as broken, which exclude
    a customer from further contacts all the same. What is not reported is taken on the safe side: without an offer it was
    an offer, without a day (or with a placeholder for it) it was the last day of the data.
-#}
{% macro contacts_that_exclude() -%}
    (
        select
            contacts.action_id,
            contacts.customer_id,
            coalesce(contacts.offer, 'unknown') as offer,
            coalesce({{ stated_day('contacts.contacted_on') }}, exclusion_run.data_ends_on) as contacted_on,
            {{ stated_day('contacts.contacted_on') }} is not null as is_day_reported,
            contacts.quarantine_reason is not null as is_set_aside,
            case when contacts.quarantine_reason is null then contacts.accepted_on end as accepted_on,
            contacts.is_randomized
        from {{ ref('int_checked_retention_contacts') }} as contacts
        cross join {{ ref('int_run') }} as exclusion_run
    )
{%- endmacro %}

{#-
    False for the id of an erased person, so that rows which the raw data still holds do not enter again; where the
    history is another target's, those who were erased there count too. See `bayespilot erase`.
-#}
{% macro is_not_erased(customer_id) -%}
    {{ is_not_among(ref('erased_customers'), customer_id) }}
    {%- if history_is_elsewhere() %}
    and {{ is_not_among(earlier_runs('erased_customers', {'customer_hash': 'string', 'salt': 'string'}), customer_id) }}
    {%- endif %}
{%- endmacro %}

{#- The same of one list of erased persons, which keeps a salted hash of each id. Nothing is hashed where it is empty. -#}
{% macro is_not_among(erased, customer_id) -%}
    coalesce(
        case
            when (select count(*) from {{ erased }}) > 0
                then {{ salted_hash("(select max(salt) from " ~ erased ~ ")", customer_id) }}
        end, ''
    ) not in (select customer_hash from {{ erased }})
{%- endmacro %}
