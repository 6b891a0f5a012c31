{{ config(severity='warn') }}

-- Stored features that no longer follow from the raw data; `--vars '{rebuild_dates: [...]}'` builds these dates again.
with changes as (

    select * from {{ ref('rpt_history_changes') }}

)

select * from changes
