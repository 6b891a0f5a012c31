with priors as (

    select * from {{ ref('offer_effect_priors') }}

),

offers as (

    select * from {{ ref('offers') }}

),

signals as (

    {% for signal in ['intercept'] + reason_signals() -%}
        select '{{ signal }}' as signal
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

needed as (

    select
        offers.offer,
        signals.signal
    from offers
    cross join signals

),

checks as (

    select
        priors.offer || ', ' || priors.signal as seed_row,
        'unknown offer: offers.csv does not hold it' as problem
    from priors
    left join offers on priors.offer = offers.offer
    where offers.offer is null
    union all
    select
        priors.offer || ', ' || priors.signal as seed_row,
        'unknown signal' as problem
    from priors
    left join signals on priors.signal = signals.signal
    where signals.signal is null
    union all
    select
        needed.offer || ', ' || needed.signal as seed_row,
        'the offer has no prior for this signal' as problem
    from needed
    left join priors on needed.offer = priors.offer and needed.signal = priors.signal
    where priors.offer is null
    union all
    select
        offer || ', ' || signal as seed_row,
        'mean must be a number and sd greater than 0' as problem
    from priors
    where mean is null or sd is null or sd <= 0
    union all
    select
        offer || ', ' || signal as seed_row,
        'the prior stands in more than one row' as problem
    from priors
    group by offer, signal
    having count(*) > 1
    union all
    select
        offer || ', ' || signal as seed_row,
        'the row states no unit or no source' as problem
    from priors
    where unit is null or source is null

),

problems as (

    select
        'offer_effect_priors' as seed,
        seed_row,
        problem
    from checks

)

select * from problems
