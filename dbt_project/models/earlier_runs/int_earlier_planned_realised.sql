-- Planned against realised value as the last run reported it; nothing where all is to be computed anew.
{% set columns = {
    'offer': 'string', 'contacts': 'bigint', 'controls': 'bigint', 'planned_value': 'double',
    'realised_value': 'double', 'realised_low': 'double', 'realised_high': 'double',
    'realised_over_planned': 'double', 'ratio_low': 'double', 'ratio_high': 'double', 'reason': 'string',
    'last_month': 'date',
} -%}

with reported as (

    select *
    from {{ own_earlier_runs('rpt_planned_realised', columns) }} as earlier_runs
    where {{ 'true' if builds_on_what_is_kept() else 'false' }}

)

select * from reported
