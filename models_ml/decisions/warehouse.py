"""What a what-if reads from the warehouse: the tables that the last build decided from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import duckdb

from models_ml.decisions.candidates import Candidates, Terms, collect
from models_ml.decisions.planned_actions import PlanTables, read_candidates, read_terms
from models_ml.decisions.whatif import Month, MonthLimit, open_share
from models_ml.errors import BayesPilotError
from models_ml.paths import warehouse_path

TABLES = replace(
    PlanTables(**{field.name: f"from {field.name}" for field in fields(PlanTables)}),
    int_offers="from int_measured_offers",  # with the acceptance that the decision took
)


@dataclass(frozen=True)
class Inputs:
    """Everything that the last build decided from."""

    as_of_date: date
    terms: Terms
    month: Month
    candidates: Candidates


@contextmanager
def open_warehouse(source: str) -> Iterator[Any]:
    """Yield a read-only connection to the source's warehouse.

    Raises
    ------
    BayesPilotError
        If the warehouse is missing or locked, or a table that is read inside is missing.
    """
    path = warehouse_path(source)
    build = f"dbt build --vars '{{source: {source}}}'"
    if not path.is_file():
        raise BayesPilotError("there is no warehouse yet", where=str(path), next_step=build)
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set python_enable_replacements = false")  # a missing table is missing
            yield connection
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise BayesPilotError(
            f"the warehouse lacks what is read: {error}", where=str(path), next_step=build
        ) from error
    except duckdb.IOException as error:
        raise BayesPilotError(
            f"the warehouse cannot be opened: {error}",
            where=str(path),
            next_step="wait until dbt has finished, or close what has the file open",
        ) from error


def read_inputs(connection: Any) -> Inputs:  # noqa: ANN401 - a DuckDB connection
    """Read customers, terms and limits of the last build.

    Raises
    ------
    BayesPilotError
        If nobody was to be decided on.
    """
    (as_of_date,) = connection.execute("select max(as_of_date) from int_decision_candidates").fetchall()[0]
    if as_of_date is None:
        raise BayesPilotError(
            "the last build had nobody to decide on",
            where="int_decision_candidates",
            next_step="dbt build (without --empty)",
        )
    terms = read_terms(connection, TABLES)
    limits = connection.execute(
        "select limit_type, limit_name, monthly_limit, used from int_month_limits order by all"
    ).fetchall()
    month = Month(tuple(MonthLimit(*row) for row in limits), open_share(as_of_date, terms.policy))
    return Inputs(as_of_date, terms, month, collect(read_candidates(connection, TABLES), terms))
