with offers as (

    select * from {{ ref('offers') }}

),

checks as (

    {% for condition, problem in {
        "offer is null": "the offer has no name",
        "offer = 'no_action'": "no_action is reserved for leaving a customer alone",
        "action_label is null": "action_label is missing",
        "channel is null or channel not in ('email', 'phone', 'push')": "channel must be email, phone or push",
        "contact_cost is null or contact_cost < 0": "contact_cost must be 0 or more",
        "incentive_cost is null or incentive_cost < 0": "incentive_cost must be 0 or more",
        "acceptance_rate is null or acceptance_rate < 0 or acceptance_rate > 1": "acceptance_rate must lie within 0 and 1",
        "acceptance_sd is null or acceptance_sd <= 0": "acceptance_sd must be greater than 0",
        "monthly_capacity is null": "monthly_capacity is missing; write 0 to switch the offer off",
        "monthly_capacity < 0": "monthly_capacity must be 0 or more",
        "lock_out_days is null or lock_out_days < 0": "lock_out_days must be 0 or more",
        "eligible_when is null": "eligible_when is missing; write true to admit everyone",
        "unit is null or source is null": "the row states no unit or no source",
    }.items() -%}
        select
            coalesce(offer, '(no name)') as seed_row,
            '{{ problem }}' as problem
        from offers
        where {{ condition }}
        union all
    {% endfor %}
    {% for fault in eligibility_faults() -%}
        select
            '{{ fault.offer }}' as seed_row,
            '{{ fault.problem }}' as problem
        union all
    {% endfor %}
    select
        offer as seed_row,
        'the offer stands in more than one row' as problem
    from offers
    group by offer
    having count(*) > 1
    union all
    select
        'row 20' as seed_row,
        'at most 19 offers can be randomised' as problem
    from offers
    having count(*) > 19

),

problems as (

    select
        'offers' as seed,
        seed_row,
        problem
    from checks

)

select * from problems
