{{ config(tags=['all_rows']) }}

-- No row of any night was changed, added or removed since it was decided, except by an erasure, which leaves the row's
-- hash. It reads all nights: run it to audit the history, and in CI.
{{ nights_read_otherwise() }}
