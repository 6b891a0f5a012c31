{#-
    Faults of the priors of offer effects, as a select of seed_row and problem: a row for an offer or signal that does not
    exist, an incomplete belief about acceptance, and an offer without a prior for a signal. All arguments are CTEs: the
    rows of offer_effect_priors, of offers, and the signals.
-#}
{% macro prior_faults(priors, offers, signals) -%}
    select
        {{ priors }}.offer || ', ' || {{ priors }}.signal as seed_row,
        case
            when {{ offers }}.offer is null and {{ priors }}.offer <> '*' then 'offers.csv has no such offer'
            else 'there is no such signal'
        end as problem
    from {{ priors }}
    left join {{ offers }} on {{ priors }}.offer = {{ offers }}.offer
    left join {{ signals }} on {{ priors }}.signal = {{ signals }}.signal
    where ({{ offers }}.offer is null and {{ priors }}.offer <> '*')
        or ({{ signals }}.signal is null and {{ priors }}.signal <> '*')
    union all
    select
        offer || ', ' || signal as seed_row,
        case
            when signal = 'intercept'
                then 'acceptance_mean and acceptance_sd must be empty: the intercept is acceptance_rate of offers.csv'
            else 'acceptance_mean and acceptance_sd must both stand, or both be empty'
        end as problem
    from {{ priors }}
    where (signal = 'intercept' and coalesce(acceptance_mean, acceptance_sd) is not null)
        or (acceptance_mean is null) <> (acceptance_sd is null)
    union all
    select
        {{ offers }}.offer || ', ' || {{ signals }}.signal as seed_row,
        'the offer has no prior for this signal' as problem
    from {{ offers }}
    cross join {{ signals }}
    left join {{ priors }} on {{ prior_applies(priors, offers, signals) }}
    where {{ priors }}.offer is null
{%- endmacro %}

{#- Whether a row of offer_effect_priors speaks of an offer and a signal, by name or by *. -#}
{% macro prior_applies(priors, offers, signals) -%}
    ({{ offers }}.offer = {{ priors }}.offer or {{ priors }}.offer = '*')
    and (
        {{ signals }}.signal = {{ priors }}.signal
        or ({{ priors }}.signal = '*' and {{ signals }}.signal <> 'intercept')
    )
{%- endmacro %}
