{{ config(materialized='table') }}

-- What the service decided in the last minute, which is not Parquet yet. Read before the Parquet of the log: a row that
-- moves from here to there in the meantime is read twice, none is missed.
with decisions as (

    select * from {{ served_journal(served_columns()) }} as journal

)

select * from decisions
