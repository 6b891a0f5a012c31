-- Decisions of earlier runs, and those that the service has made since them. The date of the run itself is left out, so
-- that a second run of the date starts from the same state; what the service decided after the first one counts. A
-- decision of the service takes the place of the run's own for that customer: it has the same action_id.
with run as (

    select * from {{ ref('int_run') }}

),

history as (

    select * from {{ earlier_runs('retention_actions_history', previous_columns()) }} as earlier_runs

),

served as (

    select served_actions.* from {{ served_decisions() }} as served_actions

),

decided as (

    select history.*
    from history
    inner join run on history.as_of_date < run.as_of_date
    left join served on history.action_id = served.action_id
    where served.action_id is null

),

previous as (

    select * from decided
    union all
    select
        {% for column in previous_columns() -%}
            served.{{ column }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from served
    inner join run on served.as_of_date <= run.as_of_date

)

select * from previous
