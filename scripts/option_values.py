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
