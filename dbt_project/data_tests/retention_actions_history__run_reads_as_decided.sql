-- The rows of the run's date are read from history as they were decided.
{% set of_run = 'inner join ' ~ ref('int_run') ~ ' as run on policy_runs.as_of_date = run.as_of_date' -%}

{{ nights_read_otherwise(of_run) }}
