with activity_map as (

    select * from {{ ref('activity_map') }}

),

reason_texts as (

    select * from {{ ref('reason_texts') }}

),

problems as (

    select
        'activity_map' as seed,
        coalesce(activity_type, '(no type)') as seed_row,
        'meaning must be engagement, price_interest, leaving_signal or purchase' as problem
    from activity_map
    where meaning is null or meaning not in ('engagement', 'price_interest', 'leaving_signal', 'purchase')
    union all
    select
        'activity_map' as seed,
        activity_type || ', ' || meaning as seed_row,
        'the pair of type and meaning stands in more than one row' as problem
    from activity_map
    group by activity_type, meaning
    having count(*) > 1
    union all
    select
        'activity_map' as seed,
        coalesce(activity_type, '(no type)') as seed_row,
        'the row states no activity_type, counts_as_event, unit or source' as problem
    from activity_map
    where activity_type is null or counts_as_event is null or unit is null or source is null
    union all
    select
        'reason_texts' as seed,
        coalesce(feature, '(no feature)') as seed_row,
        'the row states no feature, reason_text, unit or source, or repeats a feature' as problem
    from reason_texts
    group by feature
    having count(*) > 1 or count(feature) = 0 or count(reason_text) = 0 or count(unit) = 0 or count(source) = 0

)

select * from problems
