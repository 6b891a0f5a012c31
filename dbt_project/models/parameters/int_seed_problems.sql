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

signals as (

    {{ prior_signals() }}

),

faults as (

    {% for seed, relation in {
        'policy': 'policy', 'channels': 'channels', 'offers': 'offers', 'offer_effect_priors': 'priors',
        'activity_map': ref('activity_map'), 'reason_texts': ref('reason_texts'),
    }.items() -%}
        {{ declared_faults(seed, relation) }}
        union all
    {% endfor -%}
    {% for seed, seed_faults in {
        'policy': policy_faults('policy'),
        'offers': offer_faults('offers', 'channels'),
        'offer_effect_priors': prior_faults('priors', 'offers', 'signals'),
        'reason_texts': reason_text_faults(ref('reason_texts')),
        'channels': channel_override_faults('channels'),
    }.items() -%}
        select
            '{{ seed }}' as seed,
            seed_row,
            problem
        from ({{ seed_faults }}) as {{ seed }}_faults
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

described as (

    select
        cast('seeds/{{ var("source") }}/' || seed || '.csv' as string) as seed_file,
        cast(seed_row as string) as seed_row,
        cast(problem as string) as problem
    from faults

)

select * from described
