"""The one exception that BayesPilot raises for what a person can correct."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable

SHOWN_VALUES = 5
DEFAULT_SOURCE = "demo"  # of dbt_project.yml
# What is wrong with a disk, by the number of the system's error, and what to do about it.
DISK_FAULTS = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("the disk is full for this account", "make room"),
    errno.EROFS: ("the folder cannot be written", "mount it for writing, or set RETENTION_DB"),
}
# All that stands between :// and the last @ of an address, and the values of parameters that are secrets by their name.
_USER_INFO = re.compile(r"""(?<=://)[^\s"'<>]*@""")
_SECRET_PARAMETER = re.compile(
    r"""(?i)([?&;\s](?:[\w-]*(?:password|passwd|pwd|token|secret|signature|api_?key|access_?key)|sig)=)[^&;\s"'<>]+"""
)

_OPTIONS = r"(?: --?[\w-]+(?: [\w.:+]+)?)*"
# A command that names no source, up to the variables that it gives.
BUILD_COMMAND = re.compile(
    rf"\bdbt build\b(?!{_OPTIONS} --vars '\{{[^}}]*\bsource:)({_OPTIONS} --vars '\{{)?"
)


def without_credentials(text: str) -> str:
    """Return a text in which names, passwords and tokens of addresses are masked.

    Examples
    --------
    >>> without_credentials("no answer from http://name:se@cret@host:5000/api?token=abc&page=2")
    'no answer from http://***@host:5000/api?token=***&page=2'
    """
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFO.sub("***@", text))


def naming_source(text: str, source: str) -> str:
    r"""Return a text in which the commands of dbt name the source, which what raised it may not know.

    Examples
    --------
    >>> print(naming_source("then dbt build again, or dbt build --full-refresh --vars '{retrain: true}'", "acme"))
    then dbt build --vars '{source: acme}' again, or dbt build --full-refresh --vars '{source: acme, retrain: true}'
    >>> print(naming_source("dbt build -s +int_offers, or dbt build -s x --vars '{source: acme}'", "acme"))
    dbt build --vars '{source: acme}' -s +int_offers, or dbt build -s x --vars '{source: acme}'
    >>> naming_source("dbt build --vars '{retrain: true, source: acme}'", "acme")
    "dbt build --vars '{retrain: true, source: acme}'"
    >>> naming_source("dbt build", "demo")
    'dbt build'
    """
    if source == DEFAULT_SOURCE:
        return text
    return BUILD_COMMAND.sub(
        lambda found: (
            f"dbt build{found[1]}source: {source}, "
            if found[1]
            else f"dbt build --vars '{{source: {source}}}'"
        ),
        text,
    )


class BayesPilotError(Exception):
    """Something a person can correct: what is wrong, where, the first offending values and the next command.

    Credentials in addresses are masked, wherever they stand.

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
        super().__init__(without_credentials("\n".join(lines)))
