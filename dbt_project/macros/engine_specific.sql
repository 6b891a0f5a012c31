{#- What differs between engines, behind adapter.dispatch. -#}

{% macro raise_error(message) %}{{ return(adapter.dispatch('raise_error', 'bayespilot')(message)) }}{% endmacro %}

{#- `message` is a SQL expression; it must depend on a column, or the engine may evaluate it while planning. -#}
{% macro default__raise_error(message) %}error({{ message }}){% endmacro %}

{% macro spark__raise_error(message) %}raise_error({{ message }}){% endmacro %}

{#- A message for raise_error: texts and columns in turn, beginning with a text. -#}
{% macro error_text() -%}
    {%- for part in varargs -%}
        {%- if loop.index0 % 2 == 0 -%}'{{ part | replace("'", "''") }}'{%- else -%}cast({{ part }} as string){%- endif -%}
        {%- if not loop.last %} || {% endif -%}
    {%- endfor -%}
{%- endmacro %}


{% macro stable_draw(key) %}{{ return(adapter.dispatch('stable_draw', 'bayespilot')(key)) }}{% endmacro %}

{#- A number in [0, 1) from 32 bits of the key's md5: the same on every engine and in every run. -#}
{% macro default__stable_draw(key) %}
cast(cast('0x' || substr(md5({{ key }}), 1, 8) as bigint) as double) / 4294967296
{%- endmacro %}

{% macro spark__stable_draw(key) %}
cast(conv(substr(md5({{ key }}), 1, 8), 16, 10) as double) / 4294967296
{%- endmacro %}


{% macro day_bit(day_number) %}{{ return(adapter.dispatch('day_bit', 'bayespilot')(day_number)) }}{% endmacro %}

{% macro default__day_bit(day_number) %}(cast(1 as bigint) << cast({{ day_number }} as integer)){% endmacro %}

{% macro spark__day_bit(day_number) %}shiftleft(cast(1 as bigint), {{ day_number }}){% endmacro %}


{% macro days_between(earlier, later) %}{{ return(adapter.dispatch('days_between', 'bayespilot')(earlier, later)) }}{% endmacro %}

{% macro default__days_between(earlier, later) %}cast({{ later }} - {{ earlier }} as integer){% endmacro %}

{% macro spark__days_between(earlier, later) %}datediff({{ later }}, {{ earlier }}){% endmacro %}


{% macro add_days(day, days) %}{{ return(adapter.dispatch('add_days', 'bayespilot')(day, days)) }}{% endmacro %}

{% macro default__add_days(day, days) %}cast({{ day }} + cast({{ days }} as integer) as date){% endmacro %}

{% macro spark__add_days(day, days) %}date_add({{ day }}, cast({{ days }} as int)){% endmacro %}


{% macro day_series(first_day, last_day) %}{{ return(adapter.dispatch('day_series', 'bayespilot')(first_day, last_day)) }}{% endmacro %}

{#- A select of one column `day`; both ends are included and are scalar expressions. -#}
{% macro default__day_series(first_day, last_day) %}
select cast(unnest(generate_series({{ first_day }}, {{ last_day }}, interval 1 day)) as date) as day
{%- endmacro %}

{% macro spark__day_series(first_day, last_day) %}
select explode(sequence({{ first_day }}, {{ last_day }}, interval 1 day)) as day
{%- endmacro %}


{% macro join_text(expression, separator, order_by) %}
{{- return(adapter.dispatch('join_text', 'bayespilot')(expression, separator, order_by)) }}
{%- endmacro %}

{% macro default__join_text(expression, separator, order_by) %}string_agg({{ expression }}, {{ separator }} order by {{ order_by }}){% endmacro %}

{% macro spark__join_text(expression, separator, order_by) %}listagg({{ expression }}, {{ separator }}) within group (order by {{ order_by }}){% endmacro %}


{% macro raw_columns(relation) %}{{ return(adapter.dispatch('raw_columns', 'bayespilot')(relation)) }}{% endmacro %}

{#- Name and type of each column of a raw table or file, as a list of pairs; none when it is missing. -#}
{% macro default__raw_columns(relation) %}
    {%- set location = relation | string -%}
    {%- if location.startswith(("'", "read_")) -%}
        {%- set file = modules.re.search("'([^']|'')*'", location).group(0) -%}
        {%- set files = run_query("select count(*) as files from glob(" ~ file ~ ")").columns[0].values()[0] -%}
        {%- if files == 0 -%}{{ return(none) }}{%- endif -%}
    {%- endif -%}
    {%- set described = run_query("describe select * from " ~ location) -%}
    {%- set pairs = [] -%}
    {%- for row in described.rows -%}{%- do pairs.append([row[0], row[1]]) -%}{%- endfor -%}
    {{ return(pairs) }}
{% endmacro %}

{% macro spark__raw_columns(relation) %}{{ return(adapter.columns_of(relation | string)) }}{% endmacro %}


{% macro count_bits(bits) %}{{ return(adapter.dispatch('count_bits', 'bayespilot')(bits)) }}{% endmacro %}

{% macro default__count_bits(bits) %}coalesce(bit_count({{ bits }}), 0){% endmacro %}


{% macro bits_without(bits, unwanted) %}({{ bits }} & ~({{ unwanted }})){% endmacro %}


{% macro text_hash(text) %}{{ return(adapter.dispatch('text_hash', 'bayespilot')(text)) }}{% endmacro %}

{#- SHA-256 of a text in hexadecimal digits. -#}
{% macro default__text_hash(text) %}sha256({{ text }}){% endmacro %}

{% macro spark__text_hash(text) %}sha2({{ text }}, 256){% endmacro %}


{#- The same of a salt and a text with a stroke between them. -#}
{% macro salted_hash(salt, text) %}{{ text_hash(salt ~ " || '/' || " ~ text) }}{% endmacro %}


{% macro fingerprint_number(columns) %}{{ return(adapter.dispatch('fingerprint_number', 'bayespilot')(columns)) }}{% endmacro %}

{#- A whole number below 2^32 that stands for the values of a row, as cheap as the engine has one. -#}
{% macro default__fingerprint_number(columns) %}cast(hash({{ columns | join(', ') }}) & 4294967295 as bigint){% endmacro %}

{% macro spark__fingerprint_number(columns) %}(xxhash64({{ columns | join(', ') }}) & 4294967295){% endmacro %}


{% macro matches(text, pattern) %}{{ return(adapter.dispatch('matches', 'bayespilot')(text, pattern)) }}{% endmacro %}

{#- Whether a text holds a regular expression; `pattern` anchors it. -#}
{% macro default__matches(text, pattern) %}regexp_matches({{ text }}, '{{ pattern }}'){% endmacro %}

{% macro spark__matches(text, pattern) %}({{ text }} rlike r'{{ pattern }}'){% endmacro %}


{% macro utc_time(text) %}{{ return(adapter.dispatch('utc_time', 'bayespilot')(text)) }}{% endmacro %}

{#- A time in words as a timestamp of UTC, by the zone that it names: a cast to timestamp would drop the zone. -#}
{% macro default__utc_time(text) %}cast(cast({{ text }} as timestamp with time zone) as timestamp){% endmacro %}

{% macro spark__utc_time(text) %}cast({{ text }} as timestamp){% endmacro %}


{% macro text_of_file(path) %}{{ return(adapter.dispatch('text_of_file', 'bayespilot')(path)) }}{% endmacro %}

{#- The text of a file in the project folder. -#}
{% macro default__text_of_file(path) %}
    {%- set found = run_query("select content from read_text([" ~ sql_text(path) ~ "])").columns[0].values() -%}
    {{ return(found[0] or '') }}
{% endmacro %}

{% macro spark__text_of_file(path) %}{{ return(adapter.text_of_file(path)) }}{% endmacro %}


{% macro quantile_of(column, share) %}{{ return(adapter.dispatch('quantile_of', 'bayespilot')(column, share)) }}{% endmacro %}

{#- The quantile of a column at a share of 0 to 1, between two values where it lies there. -#}
{% macro default__quantile_of(column, share) %}quantile_cont({{ column }}, {{ share }}){% endmacro %}

{% macro spark__quantile_of(column, share) %}percentile({{ column }}, {{ share }}){% endmacro %}


{% macro sql_text(text) %}{{ return(adapter.dispatch('sql_text', 'bayespilot')(text)) }}{% endmacro %}

{#- A text of the project as a SQL literal; null for none. -#}
{% macro default__sql_text(text) -%}
    {%- if text is none -%}null{%- else -%}'{{ text | replace("'", "''") }}'{%- endif -%}
{%- endmacro %}

{#- Spark reads a stroke to the left as the beginning of a sign. -#}
{% macro spark__sql_text(text) -%}
    {%- if text is none -%}null{%- else -%}'{{ text | replace("\\", "\\\\") | replace("'", "\\'") }}'{%- endif -%}
{%- endmacro %}


{% macro number_text(number) %}{{ return(adapter.dispatch('number_text', 'bayespilot')(number)) }}{% endmacro %}

{#- A number between 0.0001 and 10,000,000, or 0, as the shortest text that means it. -#}
{% macro default__number_text(number) %}cast({{ number }} as string){% endmacro %}

{#- Spark writes numbers below 0.001 with an exponent. -#}
{% macro spark__number_text(number) -%}
regexp_replace(cast(cast({{ number }} as decimal(38, 17)) as string), r'(\.[0-9]+?)0+$', '$1')
{%- endmacro %}


{% macro map_type(key_type, value_type) %}{{ return(adapter.dispatch('map_type', 'bayespilot')(key_type, value_type)) }}{% endmacro %}

{% macro default__map_type(key_type, value_type) %}map({{ key_type }}, {{ value_type }}){% endmacro %}

{% macro spark__map_type(key_type, value_type) %}map<{{ key_type }}, {{ value_type }}>{% endmacro %}


{% macro map_rows(map, key, value) %}{{ return(adapter.dispatch('map_rows', 'bayespilot')(map, key, value)) }}{% endmacro %}

{#- Two columns of a select, which yields one row per entry of a map. -#}
{% macro default__map_rows(map, key, value) -%}
unnest(map_keys({{ map }})) as {{ key }},
unnest(map_values({{ map }})) as {{ value }}
{%- endmacro %}

{% macro spark__map_rows(map, key, value) %}explode({{ map }}) as ({{ key }}, {{ value }}){% endmacro %}


{% macro delete_rows(relation, condition, day_column) %}{{ return(adapter.dispatch('delete_rows', 'bayespilot')(relation, condition, day_column)) }}{% endmacro %}

{#- A statement that deletes the rows of whole days; `condition` reads day_column alone. -#}
{% macro default__delete_rows(relation, condition, day_column) %}delete from {{ relation }} where {{ condition }}{% endmacro %}

{#- Each day is a partition. -#}
{% macro spark__delete_rows(relation, condition, day_column) -%}
    {%- set found = run_query(
        "select distinct cast(" ~ day_column ~ " as string) as day from " ~ relation ~ " where " ~ condition) -%}
    {%- set partitions = [] -%}
    {%- for row in found.rows -%}
        {%- do partitions.append("partition (" ~ day_column ~ " = date '" ~ row[0] ~ "')") -%}
    {%- endfor -%}
    {%- if partitions -%}alter table {{ relation }} drop if exists {{ partitions | join(', ') }}{%- endif -%}
{%- endmacro %}


{% macro partition_column(column_name) %}{{ return(adapter.dispatch('partition_column', 'bayespilot')(column_name)) }}{% endmacro %}

{#- The column by whose values a table is stored in parts; none where the engine warns of it. -#}
{% macro default__partition_column(column_name) %}{{ return(none) }}{% endmacro %}

{% macro spark__partition_column(column_name) %}{{ return(column_name) }}{% endmacro %}


{% macro warehouse_folder() %}{{ return(adapter.dispatch('warehouse_folder', 'bayespilot')()) }}{% endmacro %}

{#- The folder of the warehouse, beside which the service keeps its log. -#}
{% macro default__warehouse_folder() %}{{ return(modules.re.sub('[^/]*$', '', target.path)) }}{% endmacro %}

{#- Where that of DuckDB would lie: the service is the same for both. -#}
{% macro spark__warehouse_folder() %}
    {{ return(modules.re.sub('[^/]*$', '', env_var('RETENTION_DB', env_var('DBT_PROFILES_DIR', '.') ~ '/warehouse/'))) }}
{% endmacro %}


{% macro files_like(pattern) %}{{ return(adapter.dispatch('files_like', 'bayespilot')(pattern)) }}{% endmacro %}

{#- The files that a pattern of paths names, a list in the order of their names. -#}
{% macro default__files_like(pattern) %}
    {{ return(run_query("select file from glob(" ~ sql_text(pattern) ~ ") order by file").columns[0].values() | list) }}
{% endmacro %}

{% macro spark__files_like(pattern) %}{{ return(adapter.files_like(pattern)) }}{% endmacro %}


{% macro rows_of_parquet(files) %}{{ return(adapter.dispatch('rows_of_parquet', 'bayespilot')(files)) }}{% endmacro %}

{#- The rows of Parquet files of one shape, to select from. -#}
{% macro default__rows_of_parquet(files) -%}
read_parquet([{% for file in files %}{{ sql_text(file) }}{{ ', ' if not loop.last }}{% endfor %}], hive_partitioning = false)
{%- endmacro %}

{% macro spark__rows_of_parquet(files) -%}
(
    {%- for file in files %}
    select * from parquet.`{{ file | replace('`', '``') }}`
    {{ 'union all' if not loop.last }}
    {%- endfor %}
) as rows_of_files
{%- endmacro %}


{% macro rows_of_json(file, columns) %}{{ return(adapter.dispatch('rows_of_json', 'bayespilot')(file, columns)) }}{% endmacro %}

{#- The rows of a file with one JSON object a line, to select from; what cannot be read is left out or has nulls. -#}
{% macro default__rows_of_json(file, columns) -%}
    {%- set types = [] -%}
    {%- for name, type in columns.items() -%}{%- do types.append(name ~ ": '" ~ type ~ "'") -%}{%- endfor -%}
read_json({{ sql_text(file) }}, format = 'newline_delimited', ignore_errors = true, columns = {{ '{' ~ types | join(', ') ~ '}' }})
{%- endmacro %}

{% macro spark__rows_of_json(file, columns) -%}
    {%- set types = [] -%}
    {%- for name, type in columns.items() -%}{%- do types.append(name ~ ' ' ~ type) -%}{%- endfor -%}
(
    select read_line.*
    from (select from_json(value, '{{ types | join(', ') }}') as read_line from text.`{{ file | replace('`', '``') }}`)
) as rows_of_file
{%- endmacro %}
