{{ config(severity='warn') }}

-- A feature without a text is worded by its column name.
with features as (

    select * from {{ ref('int_feature_schema') }}

),

reason_texts as (

    select * from {{ ref('reason_texts') }}

),

wordless as (

    select features.feature
    from features
    left join reason_texts on features.feature = reason_texts.feature
    where reason_texts.feature is null

)

select * from wordless
