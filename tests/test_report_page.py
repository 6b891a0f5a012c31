"""The page layout and the style of figures, which every report shares."""

from __future__ import annotations

import re
from pathlib import Path

from models_ml.reports import figures
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


def test_neighbouring_figures_share_a_row() -> None:
    assert render(page()).count('<div class="figures">') == 2


def test_a_page_is_written_aside_and_renamed(tmp_path: Path) -> None:
    target = tmp_path / "reports" / "demo" / "page.html"
    write_page(target, page())
    write_page(target, page(title="Second"))
    assert "<title>Second</title>" in target.read_text(encoding="utf-8")
    assert [file.name for file in target.parent.iterdir()] == ["page.html"]
