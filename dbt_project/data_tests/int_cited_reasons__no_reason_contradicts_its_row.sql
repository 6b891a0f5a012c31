-- A cited value is the customer's own and lies on the side that the reason names. What is cited as high (low) lies
-- above (below) at least half of the customers at risk; days since an event that no window holds count as the most.
{% set reasons = declared_reasons() -%}
{% set recencies = reasons | selectattr('measure', 'equalto', 'recency') | map(attribute='feature') | list -%}

with cited as (

    select * from {{ ref('int_cited_reasons') }}

),

stored_features as (

    select * from {{ ref('customer_features') }}

),

run as (

    select * from {{ ref('int_run') }}

),

-- Of the run's date alone: these rows are read once per feature.
features as (

    select stored_features.*
    from stored_features
    inner join run on stored_features.as_of_date = run.as_of_date

),

compared as (

    select
        cited.*,
        case cited.feature
            {% for feature in reasons -%}
                when '{{ feature.feature }}' then {{ reason_value(feature) }}
            {% endfor -%}
            else cast(null as double)
        end as own_value,
        case cited.feature
            {% for feature in reasons if feature.measure == 'category' -%}
                when '{{ feature.feature }}' then features.{{ feature.feature }}
            {% endfor -%}
            else cast(null as string)
        end as own_category,
        case
            {% for recency in recencies -%}
                when cited.feature = '{{ recency }}' then -1
            {% endfor -%}
            else 0
        end as absent_up_to
    from cited
    left join features
        on cited.customer_id = features.customer_id and cited.as_of_date = features.as_of_date

),

-- Where the cited value nearest to the middle lies beyond half of the customers, all others do.
nearest as (

    select
        feature,
        direction,
        case direction when 'high' then min(own_value) else max(own_value) end as nearest_value
    from compared
    where direction in ('high', 'low')
    group by feature, direction

),

shares as (

    {% for feature in reasons if 'high' == feature.upper_direction or 'low' == feature.lower_direction -%}
        {%- set value = reason_value(feature) -%}
        select
            nearest.feature,
            nearest.direction,
            {% if feature.measure == 'recency' %}count(*){% else %}count({{ value }}){% endif %} as customers,
            sum(case
                when nearest.direction = 'high' and {{ value }} < nearest.nearest_value then 1
                when nearest.direction = 'low' and {{ value }} > nearest.nearest_value then 1
                {% if feature.measure == 'recency' -%}
                    when nearest.direction = 'low' and {{ value }} is null then 1
                {% endif -%}
                else 0
            end) as customers_beyond
        from features
        inner join nearest on nearest.feature = '{{ feature.feature }}'
        group by nearest.feature, nearest.direction
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

contradictions as (

    select
        customer_id,
        feature,
        direction,
        feature_value,
        own_value
    from compared
    where feature_value is distinct from own_value
        or category is distinct from own_category
        or (own_value is null and own_category is null)
        or (direction = 'present' and own_value <= absent_up_to)
        or (direction = 'rising' and own_value <= 1)
        or (direction = 'falling' and own_value >= 1)
    union all
    select
        'all of them' as customer_id,
        feature,
        direction,
        cast(customers as double) as feature_value,
        cast(customers_beyond as double) as own_value
    from shares
    where 2 * customers_beyond < customers

)

select * from contradictions
