{{ config(severity='warn') }}

-- Reasons to retrain; a nightly build never retrains by itself.
with advice as (

    select * from {{ ref('rpt_retraining_advice') }}

)

select * from advice
