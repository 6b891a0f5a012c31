"""The style of every figure, without a display and byte for byte reproducible; money and shares as text."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Okabe and Ito (2008): told apart under every common colour blindness.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
QUIET = "#8a93a3"
WIDTH = 5.0  # inches: two figures stand side by side on a wide screen, one on a phone, legible on both

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, sharp, searchable
    "svg.hashsalt": "bayespilot",
    "text.parse_math": False,  # two dollar signs in the name of an offer are no formula
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "grid.color": "#e6e9ee",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "lines.linewidth": 2,
}


@contextlib.contextmanager
def axes(width: float = WIDTH, height: float = 3.5) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of ``width`` × ``height`` inches and its axes, in the common style."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        drawn = figure.add_subplot()
        for side in (drawn.xaxis, drawn.yaxis):
            side.set_major_formatter(FuncFormatter(lambda number, _: plain_number(number)))
            side.isDefault_majfmt = True  # names and dates replace it
        yield figure, drawn


def svg(figure: Figure) -> str:
    """Return the figure as an inline SVG element; the same figure gives the same text."""
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # Several drawings share one page: their names must not meet.
    return re.sub(r'\s(?:width|height)="[\d.]+pt"', "", drawing, count=2)


def plain_number(number: float) -> str:
    """Return a number as axes and bars show it, from a million on in millions (M).

    Examples
    --------
    >>> plain_number(25_500_000), plain_number(-2500), plain_number(0.1 + 0.2)
    ('25.5 M', '−2,500', '0.3')
    """
    size, unit = (number / 1e6, " M") if abs(number) >= 1e6 else (number, "")
    return f"{size:,.6g}{unit}".replace("-", "−")


def money(amount: float, currency: str) -> str:
    """Return an amount in whole units.

    Examples
    --------
    >>> money(12345.6, "EUR"), money(-0.2, "EUR")
    ('12,346 EUR', '0 EUR')
    """
    whole = round(amount)
    return f"{'−' if whole < 0 else ''}{abs(whole):,} {currency}"


def share(part: float, digits: int = 1) -> str:
    """Return a share of one in per cent.

    Examples
    --------
    >>> share(0.1234)
    '12.3 %'
    """
    return f"{100 * part:.{digits}f} %"
