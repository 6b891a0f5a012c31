{#-
    Faults of the priors of offer effects, as a select of seed_row and problem: a row for an offer or signal that does not
    exist, an incomplete belief about acceptance, and an offer without a prior for a signal. All arguments are CTEs: the
    rows of offer_effect_priors, of offers, the signals, and the priors after * has been filled in.
-#}
{% macro prior_faults(priors, offers, signals, complete_priors) -%}
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
    left join {{ complete_priors }}
        on {{ offers }}.offer = {{ complete_priors }}.offer and {{ signals }}.signal = {{ complete_priors }}.signal
    where {{ complete_priors }}.offer is null
{%- endmacro %}
