"""Where the Python models run: one module per engine other than DuckDB, which dbt-duckdb binds by itself."""
