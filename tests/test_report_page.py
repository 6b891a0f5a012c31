"""The page layout and the style of figures, which every report shares."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from models_ml.decisions.decide import PlanSummary
from models_ml.decisions.what_if import Answer, Curve, MonthLimit
from models_ml.reports import figures, monitoring_figures, policy_figures
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text, render, write_page


def drawing() -> str:
    with figures.axes() as (figure, axis):
        axis.plot([0, 1, 2], [0, 1, 4], label="value")
        axis.legend()
    return figures.svg(figure)


def page(**changes: object) -> Page:
    parts: dict[str, object] = {
        "title": "Report",
        "subtitle": "of a test",
        "verdict": "a < b & c",
        "facts": [Fact("Value", "12 EUR", "a month")],
        "sections": [
            Section(
                "Part",
                [
                    Text("<script>alert(1)</script>"),
                    Table(("offer", "value"), [("call", "1,204 EUR"), ("<b>", "–")], highlight=1),
                    Figure(drawing(), "first"),
                    Figure(drawing(), "second"),
                    Text("between"),
                    Figure(drawing(), "third"),
                ],
            )
        ],
        "footer": "version 1",
    }
    return Page(**parts | changes)  # type: ignore[arg-type]


def test_the_same_figure_gives_the_same_drawing() -> None:
    assert drawing() == drawing()


def test_names_and_amounts_of_offers_are_drawn_as_they_stand() -> None:
    names = ["Pay $5, then $10", "No $\\x off $3"]
    drawn = policy_figures.value_and_cost(names, [25_500_000.0, -3000.0], [1.0, 2.0], "JPY", "by offer").svg
    said = re.findall(r"<text[^>]*>([^<]*)<", drawn)
    assert {*names, "25.5 M", "20 M", "−3,000"} <= set(said)
    assert not [text for text in said if text.startswith("1e")]


def test_a_prediction_far_above_the_outcomes_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring_figures, "svg", limits)
    observed = {"observed_churn": 0.02, "observed_lower": 0.01, "observed_upper": 0.03}
    months = [
        observed | {"outcome_month": date(2026, 5, 1), "predicted_churn": 0.02},
        observed | {"outcome_month": date(2026, 6, 1), "predicted_churn": 0.4},
    ]
    low, high = monitoring_figures.calibration(months)  # type: ignore[misc]
    assert low == 0.0
    assert high > 0.4


@pytest.mark.parametrize("worst", [-80.0, 10.0])
def test_a_policy_that_loses_is_drawn(monkeypatch: pytest.MonkeyPatch, worst: float) -> None:
    monkeypatch.setattr(policy_figures, "svg", limits)
    values = {"greedy": 20.0, "break-even": worst, "top risk": 5.0}
    summary = PlanSummary(30.0, 5.0, (1,), 30.0, 0.0, 0.0, {}, values)
    present = Answer(100.0, 100.0, summary)
    drawn = policy_figures.value_curve(
        Curve(MonthLimit("budget", "EUR", 100.0, 0.0, 0.0), (present,), (present,)), "EUR"
    )
    low, high = drawn.svg  # type: ignore[misc]
    assert high > 30.0
    assert low == 0.0 if worst > 0 else low < worst


def limits(figure: Any) -> Any:
    return figure.axes[0].get_ylim()


def test_texts_are_escaped_and_drawings_are_not() -> None:
    html = render(page())
    assert "a &lt; b &amp; c" in html
    assert "<script" not in html
    assert "<td>&lt;b&gt;</td>" in html
    assert html.count("<svg") == 3


def test_a_page_asks_nothing_of_the_network() -> None:
    html = render(page())
    assert not re.search(r"""(?:src|href)=["'](?!#)""", html)
    assert "@import" not in html
    assert "url(http" not in html


def test_columns_of_numbers_stand_right_and_the_chosen_row_is_marked() -> None:
    html = render(page())
    assert '<th class="amount">value</th>' in html
    assert "<th>offer</th>" in html
    assert re.search(r'<tr class="chosen">\s*<td>&lt;b&gt;', html)
    assert html.count('class="chosen"') == 1


def test_a_table_without_rows_says_so() -> None:
    html = render(page(sections=[Section("Part", [Table(("offer", "value"), [], "Contacts")])]))
    assert "<p>Nothing.</p>" in html
    assert "<table" not in html


def test_neighbouring_figures_share_a_row() -> None:
    assert render(page()).count('<div class="figures">') == 2


def test_a_page_is_written_aside_and_renamed(tmp_path: Path) -> None:
    target = tmp_path / "reports" / "demo" / "page.html"
    write_page(target, page())
    write_page(target, page(title="Second"))
    assert "<title>Second</title>" in target.read_text(encoding="utf-8")
    assert [file.name for file in target.parent.iterdir()] == ["page.html"]
