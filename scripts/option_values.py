"""Options that hold several numbers, read in one place."""

from __future__ import annotations

import typer


def whole_numbers(text: str, option: str, least: int = 0) -> list[int]:
    """Read '1,2,3': each a whole number of at least ``least``, and none of them twice.

    Raises
    ------
    typer.BadParameter
        Where it is anything else: wrong usage, exit code 2.

    Examples
    --------
    >>> whole_numbers("3, 1", "--seeds")
    [3, 1]
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not part.isdecimal() or int(part) < least]
    wrong += sorted({part for part in parts if parts.count(part) > 1} - set(wrong))
    if wrong:
        raise typer.BadParameter(
            f"{', '.join(map(repr, wrong))}: name different numbers of at least {least},"
            f" such as {least + 1},{least + 2}",
            param_hint=option,
        )
    return [int(part) for part in parts]


def holdout_shares(text: str, option: str = "--holdout") -> list[float]:
    """Read '0.05,0.1': each a share from 0.05 to 0.95, and none of them twice.

    Raises
    ------
    typer.BadParameter
        Where it is anything else: wrong usage, exit code 2.

    Examples
    --------
    >>> holdout_shares("0.05, 0.2")
    [0.05, 0.2]
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or len(set(shares)) < len(shares) or any(not 0.05 <= share <= 0.95 for share in shares):
        raise typer.BadParameter(
            f"{text!r}: name different shares within 0.05 to 0.95, such as 0.05,0.1", param_hint=option
        )
    return shares
