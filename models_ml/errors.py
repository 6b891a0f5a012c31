"""The one exception that BayesPilot raises for what a person can correct."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_VALUES = 5


class BayesPilotError(Exception):
    """Something a person can correct: what is wrong, where, the first offending values and the next command.

    Parameters
    ----------
    what : str
        What is wrong, as one sentence without a full stop.
    where : str, optional
        File, table or column that holds the fault.
    values : iterable, optional
        Offending values; the first five are shown.
    next_step : str, optional
        The command to run or the edit to make.

    Examples
    --------
    >>> print(BayesPilotError("negative cost", where="offers.csv", values=[-1.0], next_step="correct the row"))
    negative cost
      where: offers.csv
      first values: -1.0
      next: correct the row
    """

    def __init__(
        self, what: str, *, where: str = "", values: Iterable[object] = (), next_step: str = ""
    ) -> None:
        offending = list(values)
        lines = [what]
        if where:
            lines.append(f"  where: {where}")
        if offending:
            more = f" (and {len(offending) - SHOWN_VALUES} more)" if len(offending) > SHOWN_VALUES else ""
            lines.append(f"  first values: {', '.join(map(str, offending[:SHOWN_VALUES]))}{more}")
        if next_step:
            lines.append(f"  next: {next_step}")
        super().__init__("\n".join(lines))
