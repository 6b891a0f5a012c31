{#-
    The feeds of a source, in the words of rpt_feed_freshness and rpt_input_problems; activity is also one feed per type.
    Consents have no freshness, and customers at risk are what all feeds together yield.
-#}
{% macro feed_names() %}
    {{ return([
        'customers', 'consents', 'subscriptions', 'payments due', 'payments settled', 'support tickets',
        'retention contacts', 'activity', 'customers at risk',
    ]) }}
{% endmacro %}

{#- The feed that stands for the rows of a staging table, named without its prefix. -#}
{% macro feed_of_table(table) -%}
    {{ {'payments': 'payments due'}.get(table, table | replace('_', ' ')) }}
{%- endmacro %}

{#-
    What the source declares of its feeds in sources.yml, as `meta: feeds: {customers: {stopped: warn, changed: ignore}}`:
    a mapping of feed to that value of `topic`. stopped (no events, or far fewer or more than usual) and lost (rows set
    aside, or not there any more) are error (where nothing is declared), warn or ignore; changed is warn (where nothing is
    declared) or ignore.
-#}
{% macro declared_feeds(topic) %}
    {%- set known = {
        'stopped': ['error', 'warn', 'ignore'], 'lost': ['error', 'warn', 'ignore'], 'changed': ['warn', 'ignore'],
    } -%}
    {%- set chosen = {} -%}
    {%- if execute -%}
        {%- for node in declared_raw_tables() -%}
            {%- set meta = node.source_meta or node.meta or node.config.meta or {} -%}
            {%- for feed, settings in (meta.get('feeds') or {}).items() -%}
                {%- if (feed not in feed_names() and not feed.startswith('activity: ')) or settings is not mapping -%}
                    {{ feed_fault(feed, "not a feed, or without settings", feed_names() + ['activity: <type>']) }}
                {%- endif -%}
                {%- for name, value in settings.items() -%}
                    {%- if value not in known.get(name, []) -%}
                        {{ feed_fault(feed ~ ": " ~ name ~ ": " ~ value, "not a setting of a feed",
                            ['stopped: error, warn or ignore', 'lost: error, warn or ignore', 'changed: warn or ignore']) }}
                    {%- endif -%}
                {%- endfor -%}
                {%- if settings.get(topic) -%}{%- do chosen.update({feed: settings[topic]}) -%}{%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(chosen) }}
{% endmacro %}

{% macro feed_fault(found, problem, choices) %}
    {{ exceptions.raise_compiler_error(
        "feeds of the source '" ~ var('source') ~ "' are declared wrongly: " ~ found ~ " is " ~ problem
        ~ ".\n  where: dbt_project/sources/" ~ var('source') ~ "/sources.yml, config: meta: feeds"
        ~ "\n  next: write one of: " ~ choices | join('; ')) }}
{% endmacro %}

{#- The feeds that the source declares with this value of a topic, as a condition on a column. -#}
{% macro is_declared(feed_column, topic, value) -%}
    {%- set feeds = [] -%}
    {%- for feed, declared in declared_feeds(topic).items() if declared == value -%}
        {%- do feeds.append("'" ~ feed | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {%- if feeds -%}
        ({{ feed_column }} in ({{ feeds | join(', ') }})
        {%- if "'activity'" in feeds %} or {{ feed_column }} like 'activity: %'{%- endif -%})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- The feed of a kind of fact: what is known later of a row belongs to the feed of the row. -#}
{% macro feed_of_fact(fact) -%}
    case
        {% for feed in ['subscriptions', 'support tickets', 'retention contacts'] -%}
            when {{ fact }} like '{{ feed }}%' then '{{ feed }}'
        {% endfor -%}
        else {{ fact }}
    end
{%- endmacro %}

{#- Says in one line which stored dates no longer follow from the raw data, and the command that rebuilds them. -#}
{% macro warn_of_changed_history() %}
    {%- if execute and not flags.EMPTY -%}
        {%- set changed = run_query(
            "select cast(as_of_date as string) as day, feed, facts_when_built, facts_now from " ~ this
            ~ " order by as_of_date, feed") -%}
        {%- if changed.rows | length > 0 -%}
            {%- set days = [] -%}{%- set feeds = {} -%}
            {%- for row in changed.rows -%}
                {%- if row[0] not in days -%}{%- do days.append(row[0]) -%}{%- endif -%}
                {%- do feeds.update({row[1]: row[0] ~ ": " ~ row[2] ~ " facts when built, " ~ row[3] ~ " now"}) -%}
            {%- endfor -%}
            {%- set said = [] -%}
            {%- for feed, counts in feeds.items() -%}{%- do said.append(feed ~ " (" ~ counts ~ ")") -%}{%- endfor -%}
            {%- do exceptions.warn(
                "The raw data behind " ~ days | length ~ " stored feature date(s) has changed since: "
                ~ days | join(', ') ~ "; feeds at the latest of them: " ~ said | join(', ')
                ~ ". Labels follow the new data, features do not. Rows: rpt_history_changes. Next: bayespilot run --source "
                ~ var('source') ~ " --vars '{rebuild_dates: [" ~ days | join(', ') ~ "]}'") -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
