{{ config(materialized='table') }}

with policy as (

    {{ policy_values() }}

),

channels as (

    {{ channel_values() }}

),

offers as (

    select * from {{ ref('offers') }}

),

priors as (

    select * from {{ ref('offer_effect_priors') }}

),

complete_priors as (

    select * from {{ ref('int_offer_effect_priors') }}

),

signals as (

    {{ prior_signals() }}

),

row_faults as (

    {% for seed, relation in {
        'policy': 'policy', 'channels': 'channels', 'offers': 'offers', 'offer_effect_priors': 'priors',
        'activity_map': ref('activity_map'), 'reason_texts': ref('reason_texts'),
    }.items() -%}
        {{ declared_faults(seed, relation) }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

policy_faults as (

    {{ policy_faults('policy') }}

),

offer_faults as (

    {% for fault in expression_faults() -%}
        select
            '{{ fault.offer }}' as seed_row,
            '{{ fault.problem }}' as problem
        union all
    {% endfor %}
    {% for column in ['contact_cost', 'incentive_cost'] -%}
        select
            offer as seed_row,
            '{{ column }} ' || {{ column }} || ' must be at least 0' as problem
        from offers
        where try_cast({{ column }} as double) < 0
        union all
    {% endfor %}
    select
        offers.offer as seed_row,
        'channel ' || offers.channel || ' is not in channels.csv' as problem
    from offers
    left join channels on offers.channel = channels.channel
    where offers.channel is not null and channels.channel is null
    union all
    select
        offer as seed_row,
        'no_action is reserved for leaving a customer alone' as problem
    from offers
    where offer = 'no_action'
    union all
    select
        'row 20' as seed_row,
        'at most 19 offers can be randomised' as problem
    from offers
    having count(*) > 19

),

prior_faults as (

    select
        priors.offer || ', ' || priors.signal as seed_row,
        case
            when offers.offer is null and priors.offer <> '*' then 'offers.csv has no such offer'
            else 'there is no such signal'
        end as problem
    from priors
    left join offers on priors.offer = offers.offer
    left join signals on priors.signal = signals.signal
    where (offers.offer is null and priors.offer <> '*') or (signals.signal is null and priors.signal <> '*')
    union all
    select
        offers.offer || ', ' || signals.signal as seed_row,
        'the offer has no prior for this signal' as problem
    from offers
    cross join signals
    left join complete_priors on offers.offer = complete_priors.offer and signals.signal = complete_priors.signal
    where complete_priors.offer is null

),

reason_faults as (

    {{ reason_text_faults(ref('reason_texts'), ref('int_feature_reasons')) }}

),

all_faults as (

    select * from row_faults
    union all
    select
        'policy' as seed,
        *
    from policy_faults
    union all
    select
        'offers' as seed,
        *
    from offer_faults
    union all
    select
        'offer_effect_priors' as seed,
        *
    from prior_faults
    union all
    select
        'reason_texts' as seed,
        *
    from reason_faults
    union all
    select
        'channels' as seed,
        chosen.channel as seed_row,
        'the variable channel_capacity names a channel that channels.csv does not hold' as problem
    from ({{ channel_overrides() }}) as chosen
    left join channels on chosen.channel = channels.channel
    where channels.channel is null

),

described as (

    select
        cast('seeds/{{ var("source") }}/' || seed || '.csv' as varchar) as seed_file,
        cast(seed_row as varchar) as seed_row,
        cast(problem as varchar) as problem
    from all_faults

)

select * from described
