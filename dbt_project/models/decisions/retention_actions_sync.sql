{{ config(materialized='table') }}

-- What is stored is read before the table is replaced, so that an unchanged row keeps its updated_at, --full-refresh
-- loses nothing and --empty changes nothing.
{% set said = {
    'action_id_hash': 'string', 'action_id': 'string', 'customer_id': 'string', 'as_of_date': 'date',
    'status': 'string', 'status_reason': 'string', 'action': 'string', 'action_label': 'string',
    'channel': 'string', 'priority': 'integer', 'expected_cost': 'double', 'incremental_expected_value': 'double',
    'currency': 'string', 'rationale': 'string', 'valid_from': 'date', 'valid_to': 'date',
} -%}
{% set dated = dict(said, status_as_of_date='date', updated_at='timestamp', row_hash='string') -%}
{% set payload = said.keys() | reject('in', ('status', 'status_reason')) | list -%}

with states as (

    select * from {{ ref('int_action_states') }}

),

executed as (

    select * from {{ ref('int_executed_actions') }}

),

run as (

    select * from {{ ref('int_run') }}

),

parameters as (

    select * from {{ ref('int_policy_parameters') }}

),

stored as (

    select * from {{ own_earlier_runs('retention_actions_sync', dated) }} as earlier_run

),

-- Later than every change before it, whatever the clock says: a cursor misses nothing.
change_time as (

    select
        greatest(
            {{ run_time() }}, coalesce(max(updated_at) + interval '1' microsecond, {{ run_time() }})
        ) as changed_at
    from stored

),

-- What is withdrawn before its last day stays withdrawn after it.
of_history as (

    select
        {% for column in payload -%}
            states.{{ column }},
        {% endfor -%}
        case when lapsed.action_id_hash is not null then lapsed.status else states.status end as status,
        case when lapsed.action_id_hash is not null then lapsed.status_reason else states.status_reason end
            as status_reason
    from states
    left join stored as lapsed
        on states.action_id_hash = lapsed.action_id_hash
            and states.status = 'expired'
            and lapsed.status = 'withdrawn'

),

-- History has no such action any more: its date was decided again, and otherwise.
decided_again as (

    select
        {% for column in payload -%}
            stored.{{ column }},
        {% endfor -%}
        case when executed.action_id is not null then 'executed' else 'withdrawn' end as status,
        case when executed.action_id is null then 'decided_again' end as status_reason
    from stored
    cross join parameters
    inner join run on stored.valid_to > {{ add_days('run.as_of_date', '-parameters.sync_days') }}
    left join states on stored.action_id_hash = states.action_id_hash
    left join executed on stored.action_id = executed.action_id
    where states.action_id_hash is null

),

known as (

    select * from of_history
    union all
    select * from decided_again

),

hashed as (

    select
        known.*,
        {{ row_hash(said) }} as row_hash
    from known

),

tonight as (

    select
        {% for column in said -%}
            hashed.{{ column }},
        {% endfor -%}
        case
            when hashed.status = stored.status
                and coalesce(hashed.status_reason, '') = coalesce(stored.status_reason, '')
                then stored.status_as_of_date
            else run.as_of_date
        end as status_as_of_date,
        case when hashed.row_hash = stored.row_hash then stored.updated_at else change_time.changed_at end
            as updated_at,
        hashed.row_hash
    from hashed
    cross join run
    cross join change_time
    left join stored on hashed.action_id_hash = stored.action_id_hash

),

-- What nothing new is known of stays for its days, tombstones of erased customers too.
carried_over as (

    select
        {% for column in dated -%}
            stored.{{ column }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from stored
    left join run on true
    left join parameters on true
    left join tonight on stored.action_id_hash = tonight.action_id_hash
    where tonight.action_id_hash is null
        and coalesce(
            greatest(coalesce(stored.valid_to, stored.status_as_of_date), stored.status_as_of_date)
            > {{ add_days('run.as_of_date', '-parameters.sync_days') }}, true
        )

),

combined as (

    select * from tonight
    union all
    select * from carried_over

),

actions as (

    select
        cast(action_id_hash as string) as action_id_hash,
        cast(status as string) as status,
        cast(status_reason as string) as status_reason,
        cast(status_as_of_date as date) as status_as_of_date,
        cast(updated_at as timestamp) as updated_at,
        cast(row_hash as string) as row_hash,
        {% for column in payload if column != 'action_id_hash' -%}
            cast({{ column }} as {{ said[column] }}) as {{ column }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from combined

)

select * from actions
