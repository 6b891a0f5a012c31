"""Whether the policy earns, in the words of rpt_policy_value; its absence is said, not hidden."""

from __future__ import annotations

from models_ml.monitoring.reading import MonitoringData, Row
from models_ml.reports.figures import money
from models_ml.reports.monitoring_figures import value_by_month
from models_ml.reports.page import Figure, Section, Table, Text

POOLED = "all"
HEADLINE = "doubly_robust"  # the narrowest interval of the three
TITLE = "Is the policy earning?"
NONE = "–"
_METHODS = {
    "doubly_robust": "chosen customers, doubly robust",
    "pick_holdout": "chosen customers, plain contrast",
    "universal_holdout": "whole programme, plain contrast",
}


def policy_answer(data: MonitoringData) -> tuple[str, str]:
    """Say whether the policy earns: one word, and the amount behind it."""
    pooled = _headline(data)
    if pooled is None or pooled["value"] is None:
        return "not known yet", "no outcome yet"
    earns = "yes" if pooled["value"] > 0 else "no"
    interval = f"{_amount(pooled, 'value')} so far, 95 %: {_interval(pooled)}"
    return (earns if pooled["is_distinguishable"] else "not yet known"), interval


def policy_sentence(data: MonitoringData) -> str:
    """Say the same as one sentence without a full stop."""
    pooled = _headline(data)
    if pooled is None or pooled["value"] is None:
        return "No outcome says yet what the policy earns"
    beginning = "The policy" if pooled["is_distinguishable"] else "What the policy has earned is"
    return f"{beginning} {str(pooled['verdict']).rstrip('.')}"


def policy_section(data: MonitoringData) -> Section:
    """Return what the policy has earned against contacting nobody, by method and by month."""
    pooled = _headline(data)
    if pooled is None or pooled["value"] is None:
        text = "Outcomes of contacted and held-out customers are compared here once the first horizon has passed."
        return Section(TITLE, [Text(text)])
    months = [
        row
        for row in data.policy_value or ()
        if row["method"] == HEADLINE and row["period"] != POOLED and row["value"] is not None
    ]
    months.sort(key=lambda row: row["period"])
    drawn = [
        Figure(value_by_month(months), "Money earned against contacting nobody, by month of the decision.")
    ]
    return Section(
        TITLE, [*(drawn if len(months) > 1 else []), _table(data), Text(f"{policy_sentence(data)}.")]
    )


def _table(data: MonitoringData) -> Table:
    rows = {row["method"]: row for row in data.policy_value or () if row["period"] == POOLED}
    cells = [
        (
            words,
            f"{rows[method]['months']}",
            f"{rows[method]['customers']:,}",
            f"{rows[method]['left_alone']:,}",
            _amount(rows[method], "value"),
            _interval(rows[method]),
        )
        for method, words in _METHODS.items()
        if method in rows
    ]
    columns = ("Measured on", "Months", "Customers", "Left alone", "Value", "95 % interval")
    return Table(columns, cells, "Value against contacting nobody, all months together")


def _headline(data: MonitoringData) -> Row | None:
    rows = [row for row in data.policy_value or () if (row["period"], row["method"]) == (POOLED, HEADLINE)]
    return rows[0] if rows else None


def _amount(row: Row, column: str) -> str:
    return NONE if row[column] is None else money(row[column], row["currency"])


def _interval(row: Row) -> str:
    return f"{_amount(row, 'value_low')} to {_amount(row, 'value_high')}"
