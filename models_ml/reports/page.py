"""The page layout of every report: a verdict, headline facts, then sections of text, tables and figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from models_ml.files import write_text

TEMPLATE = "page.html.j2"

# A number with its unit (per cent, a currency code), optionally ± another; a dash or nothing where there is none.
_AMOUNT = r"[+\-−]?\d[\d,]*(?:\.\d+)?(?:e[+\-−]?\d+)?(?: ?%|×| [A-Z]{3})?"
_NUMBER = re.compile(rf"{_AMOUNT}(?: ?[±–] ?{_AMOUNT})?|[–-]|")


@dataclass(frozen=True)
class Fact:
    """A headline number: what it is, its ready-made text, and a short remark."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Text:
    """One paragraph of plain text."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """Ready-made cells; columns of numbers align right; ``highlight`` is the index of the row to mark."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    highlight: int | None = None
    kind: str = "table"

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only, one entry per column; none does in a table without rows."""
        return [
            bool(self.rows) and all(is_number(row[place]) for row in self.rows)
            for place in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Figure:
    """An inline SVG (from `models_ml.reports.figures.svg`) with the sentence that says what it shows."""

    svg: str
    caption: str
    kind: str = "figure"


@dataclass(frozen=True)
class Section:
    """A part of the page; neighbouring figures share a row where the screen is wide."""

    title: str
    blocks: Sequence[Text | Table | Figure]
    intro: str = ""

    @property
    def rows(self) -> list[list[Text | Table | Figure]]:
        """Blocks as they stand on the page: runs of figures together, everything else alone."""
        rows: list[list[Text | Table | Figure]] = []
        for block in self.blocks:
            if isinstance(block, Figure) and rows and isinstance(rows[-1][0], Figure):
                rows[-1].append(block)
            else:
                rows.append([block])
        return rows


@dataclass(frozen=True)
class Page:
    """A report: the verdict in one sentence, a warning below it, the facts behind it, and the sections."""

    title: str
    subtitle: str
    verdict: str
    facts: Sequence[Fact]
    sections: Sequence[Section]
    footer: str
    warning: str | None = None


def render(page: Page) -> str:
    """Return the page as one HTML document that needs no network; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("models_ml.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup
    return environment.get_template(TEMPLATE).render(page=page)


def write_page(path: Path, page: Page) -> None:
    """Write the page; a reader never sees half of one."""
    write_text(path, render(page))


def on_one_line(day: date) -> str:
    """Return a date as ISO text that no line break divides.

    Examples
    --------
    >>> on_one_line(date(2026, 10, 31)).replace("\u2011", "-")
    '2026-10-31'
    """
    return day.isoformat().replace("-", "\u2011")


def is_number(cell: str) -> bool:
    """Say whether a cell reads as a number, with or without a unit.

    Examples
    --------
    >>> [is_number(cell) for cell in ("12.5 %", "−3 EUR", "1,204", "–", "call", "4 calls of 9")]
    [True, True, True, True, False, False]
    """
    return bool(_NUMBER.fullmatch(cell))
