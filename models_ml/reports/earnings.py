"""Whether the programme earns, in the words of rpt_policy_value: the verdict of the figure that the policy names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models_ml.evaluation.intervals import (
    EARNS,
    LOSES,
    MINIMUM_CONTROLS,
    MINIMUM_LEAVERS,
    NOT_YET,
    TOO_LITTLE,
)
from models_ml.evaluation.programme_value import UNIVERSAL_HOLDOUT
from models_ml.reports.figures import money
from models_ml.reports.monitoring_figures import value_by_month
from models_ml.reports.monitoring_findings import MonitoringData, Row
from models_ml.reports.page import Figure, Section, Table, Text

QUESTION = "Is the programme earning?"
NONE = "–"
ALL_MONTHS = "all"  # the period of rpt_policy_value that holds every month together
WORDS = {
    UNIVERSAL_HOLDOUT: "Whole programme, against the universal holdout",
    "pick_holdout": "Chosen customers, contacted against left alone",
    "doubly_robust": "All episodes as they were run, doubly robust",
}
ANSWERS = {EARNS: "yes", LOSES: "no", NOT_YET: "not yet known", TOO_LITTLE: "too little evidence"}
TO_COME = "with what is still to come"  # of every value: earned so far is a column of its own
INTERVALS_EXPLAINED = (
    "The interval at every look holds however often this page is read, and gives the verdict. That of one look is"
    " for a single look at a month named beforehand. Earned so far is margin less costs; still to come is what"
    " customers who are there because of the programme are expected to bring. Controls are customers left alone by"
    " chance. Doubly robust: outcomes weighted by the probabilities of the draws, together with a forecast of them; it"
    " is right as long as one of the two is."
)


def earning_answer(data: MonitoringData) -> tuple[str, str]:
    """Say whether the programme earns: one word, and the amount with its interval."""
    total = _headline(data)
    if total is None:
        why = "the figure that the policy names cannot be read yet"
        return "not known yet", why if _latest_totals(data) else "no month has finished"
    if total["verdict"] == TOO_LITTLE:
        return ANSWERS[TOO_LITTLE], _evidence(total)
    return ANSWERS[total["verdict"]], f"{_amount(total, 'value')} {TO_COME}, 95 %: {_every_look(total)}"


def earning_sentence(data: MonitoringData) -> str:
    """Say the same as one sentence without a full stop."""
    total = _headline(data)
    if total is None and _latest_totals(data):
        return "The figure that the policy names for what the programme earns cannot be read yet"
    if total is None:
        return "No month has finished yet, so nothing is known of what the programme earns"
    if total["verdict"] == TOO_LITTLE:
        return f"There is too little evidence of what the programme earns ({_evidence(total)}){_wait(total)}"
    months = f"{total['months']} month{'s' * (total['months'] != 1)}"
    amount = f"{_amount(total, 'value')} from {months} {TO_COME}, 95 % interval {_every_look(total)}"
    if total["verdict"] == NOT_YET:
        return f"Whether the programme earns is not yet distinguishable ({amount}){_wait(total)}"
    return f"The programme {total['verdict']} ({amount})"


def earning_section(data: MonitoringData) -> Section:
    """Return what the programme has earned, by figure and by month."""
    totals = _latest_totals(data)
    if not totals:
        text = "Contacted and held-out customers are compared here once the first month of the programme has finished."
        return Section(QUESTION, [Text(text)])
    headline = _headline(data)
    months = [
        row
        for row in data.policy_value
        if row["is_headline"]
        and row["is_latest"]
        and row["period"] != ALL_MONTHS
        and row["value"] is not None
    ]
    months.sort(key=lambda row: row["period"])
    parts: list[Figure | Table | Text] = [Text(f"{earning_sentence(data)}.")]
    if len(months) > 1:
        month = "calendar month" if months[0]["method"] == UNIVERSAL_HOLDOUT else "month of the openings"
        words = f"Value by {month}, {TO_COME}, with 95 % intervals of one look."
        parts.append(Figure(value_by_month(months), words))
    parts += [_table(totals), Text(INTERVALS_EXPLAINED)]
    if data.planned_realised:
        parts.append(_planned_realised_table(data.planned_realised))
    parts += [Text(f"{WORDS[row['method']]}: {row['estimand']}.") for row in totals]
    if headline is not None:
        parts.append(
            Text(f"The verdict is that of: {WORDS[headline['method']].lower()}, as the policy names it.")
        )
    else:
        parts.append(
            Text("The verdict will be that of the figure that the policy names, not of those above.")
        )
    parts += [Text(words) for words in _remarks(data, totals)]
    return Section(QUESTION, parts)


def _remarks(data: MonitoringData, totals: list[Row]) -> Iterator[str]:
    for row in totals:
        if row["contaminated_controls"]:
            yield (
                f"{WORDS[row['method']]}: {row['contaminated_controls']:,} of {row['controls']:,} controls were"
                " contacted all the same. They stay controls, which draws the value towards nothing."
            )
        if row["reason"]:
            yield f"{WORDS[row['method']]}: nothing can be estimated, {row['reason']}."
    revised = [row for row in data.policy_value if row["revision"] and row["is_latest"]]
    for row in revised:
        yield f"{row['period']}, {WORDS[row['method']].lower()}, revision {row['revision']}: {row['revision_reason']}."


def _table(totals: list[Row]) -> Table:
    cells = [
        (
            WORDS[row["method"]],
            f"{row['months']}",
            f"{row['customers']:,}",
            f"{row['controls']:,}",
            *(_whole(row[name]) for name in ("realised_value", "value_to_come", "value", "value_per_month")),
            _range(row, "value_low", "value_high"),
            _range(row, "value_low_every_look", "value_high_every_look"),
            row["verdict"],
        )
        for row in totals
    ]
    columns = (
        *(
            "Measured on",
            "Months",
            "Customers",
            "Controls",
            "Earned so far",
            "Still to come",
            "Value",
            "A month",
        ),
        *("95 %, one look", "95 %, every look", "Verdict"),
    )
    caption = f"What the programme has earned, all finished months together; money in {totals[0]['currency']}"
    return Table(columns, cells, caption)


def _planned_realised_table(rows: Sequence[Row]) -> Table:
    """Return what contacts were expected to bring beside what they brought, by offer."""
    cells = []
    for row in rows:
        has_ratio = row["realised_over_planned"] is not None
        cells.append(
            (
                "all offers" if row["offer"] == "all" else row["offer"],
                f"{row['contacts']:,}",
                f"{row['controls']:,}",
                _whole(row["planned_value"]),
                _whole(row["realised_value"]),
                _range(row, "realised_low", "realised_high"),
                f"{row['realised_over_planned']:.2f}".replace("-", "−")
                if has_ratio
                else row["reason"] or NONE,
                _on_one_line(f"{row['ratio_low']:.2f}", f"{row['ratio_high']:.2f}") if has_ratio else NONE,
            )
        )
    columns = (
        *("Offer", "Contacts", "Controls", "Planned", "Realised", "95 %, one look"),
        *("Realised over planned", "Its 95 %, one look"),
    )
    caption = (
        "Contacts of finished episodes: what was planned, and what the chosen customers who were left alone (controls)"
        f" say; money in {rows[0]['currency']}"
    )
    return Table(columns, cells, caption)


def _latest_totals(data: MonitoringData) -> list[Row]:
    found = {
        row["method"]: row for row in data.policy_value if row["is_latest"] and row["period"] == ALL_MONTHS
    }
    return [found[method] for method in WORDS if method in found]


def _headline(data: MonitoringData) -> Row | None:
    return next((row for row in _latest_totals(data) if row["is_headline"]), None)


def _evidence(row: Row) -> str:
    treated = "outside the holdout" if row["method"] == UNIVERSAL_HOLDOUT else "not left alone"
    return (
        f"{row['controls']:,} of at least {MINIMUM_CONTROLS} controls, {row['control_leavers']:,} of at least"
        f" {MINIMUM_LEAVERS} who left, and {row['treated_leavers']:,} of {MINIMUM_LEAVERS} among customers {treated}"
    )


def _wait(row: Row) -> str:
    more = row["months_needed"]
    if more is None:
        return "; when a verdict is to be expected cannot be said yet, or lies beyond ten years"
    return f"; at the present rate a verdict is to be expected in about {more} more month{'s' * (more != 1)}"


def _amount(row: Row, column: str) -> str:
    return NONE if row[column] is None else money(row[column], row["currency"])


def _interval(row: Row, low: str, high: str) -> str:
    return NONE if row[low] is None else f"{_amount(row, low)} to {_amount(row, high)}"


def _range(row: Row, low: str, high: str) -> str:
    """Return an interval for a table that names its currency elsewhere."""
    return NONE if row[low] is None else _on_one_line(_whole(row[low]), _whole(row[high]))


def _whole(amount: float | None) -> str:
    return NONE if amount is None else f"{round(amount):,}".replace("-", "−")


def _on_one_line(low: str, high: str) -> str:
    return f"{low} to {high}".replace("-", "−").replace(" ", "\u00a0")


def _every_look(row: Row) -> str:
    return _interval(row, "value_low_every_look", "value_high_every_look")
