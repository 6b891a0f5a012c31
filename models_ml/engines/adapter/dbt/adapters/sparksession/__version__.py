"""Version of the adapter, which is that of dbt-spark below it."""

version = "1.11.0"
