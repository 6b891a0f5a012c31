{#-
    Whether missing values jumped: their odds grew by a large factor, by a share of customers above the limit, and by
    more than random variation. Features that are null by nature ("no ticket yet") move with the business and stay below that.
    Reads the columns of rpt_feature_drift and int_monitoring_limits.
-#}
{% macro missing_jumped() -%}
    coalesce(
        missing_share - missing_share_then >= missing_share_rise
        and missing_share * (1 - missing_share_then)
        >= missing_odds_ratio * greatest(missing_share_then, share_floor) * (1 - missing_share)
        and missing_share - missing_share_then > chance_deviation * sqrt(
            (missing_share_then * reference_rows + missing_share * customers) / (reference_rows + customers)
            * (1 - (missing_share_then * reference_rows + missing_share * customers) / (reference_rows + customers))
            * (1 / reference_rows + 1 / customers)
        ), false
    )
{%- endmacro %}
