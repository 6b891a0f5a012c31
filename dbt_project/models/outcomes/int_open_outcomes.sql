-- Decisions from this day on have outcomes that may still change. Months before it are final: earlier runs have kept
-- them.
with final_months as (

    select *
    from {{ own_earlier_runs('int_final_months', {'outcome_month': 'date'}) }} as earlier_runs
    where {{ 'true' if builds_on_what_is_kept() else 'false' }}

),

open_outcomes as (

    select
        cast(coalesce(
            {{ add_days('last_day(max(outcome_month))', 1) }}, cast('1900-01-01' as date)
        ) as date) as open_from
    from final_months

)

select * from open_outcomes
