-- What earlier runs decided; the run's own date is left out, so that running it again starts from the same place.
with run as (

    select * from {{ ref('int_run') }}

),

history as (

    select *
    from {{ earlier_runs('retention_actions_history', {
        'action_id': 'varchar', 'customer_id': 'varchar', 'as_of_date': 'date', 'action': 'varchar',
        'planned_action': 'varchar', 'channel': 'varchar',
        'expected_cost': 'double', 'arm': 'varchar', 'propensity_no_action': 'double',
        'valid_from': 'date', 'valid_to': 'date',
    }) }} as earlier_runs

),

previous as (

    select history.*
    from history
    inner join run on history.as_of_date < run.as_of_date

)

select * from previous
