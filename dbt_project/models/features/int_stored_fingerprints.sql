{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date',
    on_schema_change='fail',
    pre_hook='{{ forget_fingerprints() }}',
) }}

-- Taken after customer_features is built, so that a build which fails there names the change again.
with fingerprints as (

    select * from {{ ref('int_date_fingerprints') }}

),

feature_dates as (

    select * from {{ ref('int_feature_dates') }}

),

features as (

    select distinct as_of_date
    from {{ ref('customer_features') }}

),

stored as (

    select distinct as_of_date
    from {{ own_earlier_runs('int_stored_fingerprints', {'as_of_date': 'date'}) }} as stored_before
    where {{ 'false' if flags.FULL_REFRESH else 'true' }}

),

-- Dates of this run, those without a customer too, and dates that were built before fingerprints were kept or before an
-- erasure.
taken as (

    select fingerprints.*
    from fingerprints
    left join feature_dates on fingerprints.as_of_date = feature_dates.as_of_date
    left join features on fingerprints.as_of_date = features.as_of_date
    left join stored on fingerprints.as_of_date = stored.as_of_date
    where feature_dates.as_of_date is not null or (features.as_of_date is not null and stored.as_of_date is null)

)

select * from taken
