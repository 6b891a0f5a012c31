{#- A share as per cent with one decimal, as an expression. -#}
{% macro per_cent(share) -%}round(100.0 * {{ share }}, 1){%- endmacro %}

{#-
    Whether a count differs from an earlier one by at least lost_rows and by more than random variation. Reads
    int_monitoring_limits.
-#}
{% macro count_differs(now, earlier) -%}
    (
        abs({{ now }} - {{ earlier }}) >= lost_rows
        and abs({{ now }} - {{ earlier }}) > chance_deviation * sqrt({{ now }} + {{ earlier }})
    )
{%- endmacro %}

{#- Whether a share differs from an earlier one by more than random variation. Reads int_monitoring_limits. -#}
{% macro share_differs(now, rows_now, earlier, rows_earlier) -%}
    abs({{ now }} - {{ earlier }}) > chance_deviation * sqrt(
        ({{ now }} * {{ rows_now }} + {{ earlier }} * {{ rows_earlier }}) / ({{ rows_now }} + {{ rows_earlier }})
        * (1 - ({{ now }} * {{ rows_now }} + {{ earlier }} * {{ rows_earlier }}) / ({{ rows_now }} + {{ rows_earlier }}))
        * (1 / {{ rows_now }} + 1 / {{ rows_earlier }})
    )
{%- endmacro %}

{#-
    What `--vars '{allow_lost_input: [activity]}'` lets pass in one run: a list of feeds, of customers at risk and of
    features.
-#}
{% macro allowed_losses() %}
    {%- set asked = var('allow_lost_input', none) or [] -%}
    {%- set allowed = [] -%}
    {%- for name in ([asked] if asked is string or asked is not sequence else asked) | map('string') -%}
        {%- if name not in input_subjects() and not name.startswith('activity: ') -%}
            {{ exceptions.raise_compiler_error(
                "allow_lost_input holds '" ~ name ~ "', which is no input."
                ~ "\n  next: choose of " ~ input_subjects() | join(', ') ~ ", activity: <type>") }}
        {%- endif -%}
        {%- do allowed.append("'" ~ name | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{ return(allowed) }}
{% endmacro %}

{#- What can be lost: feeds, customers at risk and their features. -#}
{% macro input_subjects() %}{{ return(feed_names() + ['features']) }}{% endmacro %}

{#- Whether the variable allow_lost_input names a subject, as a condition; activity stands for all its types. -#}
{% macro is_allowed_loss(subject) -%}
    {%- set allowed = allowed_losses() -%}
    {%- if allowed -%}
        ({{ subject }} in ({{ allowed | join(', ') }})
        {%- if "'activity'" in allowed %} or {{ subject }} like 'activity: %'{%- endif -%})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- How to let a loss pass, as the end of a message; `subjects` is an expression with quoted names in a list. -#}
{% macro how_to_allow(subjects) -%}
    {{ error_text(
        ". What people read is as it was. Next: correct the data, then run dbt build again (rows: rpt_input_problems,"
        ~ " quarantine). To let it pass in one run: --vars '{allow_lost_input: [", subjects,
        "]}'; for good: config: meta: feeds in dbt_project/sources/" ~ var('source') ~ "/sources.yml"
    ) }}
{%- endmacro %}

{#-
    A condition that is true while no input is lost, and otherwise stops the run, naming the first five losses. It stands
    in the `where` of int_input_gate, and of models through which the input of the run enters when only a part is built:
    what the last check found still holds then.
-#}
{% macro input_is_complete() -%}
(
    select
        case
            when count(*) = 0 then true
            else {{ raise_error(
                error_text("Input of ", "min(as_of_date)", " is lost, ", "count(*)", " problem(s): ", "min(first_losses.listed)")
                ~ " || " ~ how_to_allow("min(first_losses.subjects)")
            ) }}
        end
    from {{ ref('rpt_input_problems') }} as losses
    cross join (
        select
            {{ join_text("description", "'; '", "place") }} as listed,
            {{ join_text("'\"' || subject || '\"'", "', '", "place") }} as subjects
        from (
            select
                *,
                row_number() over (order by problem_number) as place
            from {{ ref('rpt_input_problems') }}
            where status = 'stop' and not {{ is_allowed_loss('subject') }}
        ) as numbered_losses
        where place <= 5
    ) as first_losses
    where losses.status = 'stop' and not {{ is_allowed_loss('losses.subject') }}
)
{%- endmacro %}

{#- Says in one line each what does not stop the run: losses let pass, and signs of a source that is written wrongly. -#}
{% macro warn_of_input_problems() %}
    {%- if execute and not flags.EMPTY -%}
        {%- set found = run_query(
            "select description, status from " ~ this ~ " where status <> 'stop' order by problem_number") -%}
        {%- for row in found.rows -%}
            {%- do exceptions.warn(
                ("Input let pass by allow_lost_input: " if row[1] == 'allowed' else "Input: ") ~ row[0]
                ~ ". Rows: rpt_input_problems.") -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{#-
    Whether the last seven days of a feed differ from the usual ones by more than random variation, over enough days to
    know. Reads feed_weeks and limits of rpt_feed_freshness.
-#}
{% macro week_differs() -%}
    feed_weeks.days_compared >= limits.week_days
        and abs(feed_weeks.events_last_7_days - feed_weeks.usual_events_per_7_days)
        > limits.chance_deviation * sqrt(feed_weeks.events_last_7_days + feed_weeks.usual_events_per_7_days)
{%- endmacro %}
