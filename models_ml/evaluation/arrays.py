"""What callers give as numbers, brought into arrays: the same words for the same fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models_ml.errors import BayesPilotError


def as_numbers(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return values as float64, all finite.

    Parameters
    ----------
    name : str
        What the caller calls them.
    values : array-like
    shape : tuple of int, optional
        That they must have.

    Raises
    ------
    BayesPilotError
        If they are not numbers, not finite, or of another shape.

    Examples
    --------
    >>> as_numbers("cost", [1, 2.5], (2,))
    array([1. , 2.5])
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BayesPilotError(
            f"{name} holds something other than numbers",
            values=[str(error)],
            next_step="give one number per row, without text, and the same number of columns in every row",
        ) from error
    if shape is not None and numbers.shape != shape:
        raise BayesPilotError(
            f"{name} has shape {numbers.shape} instead of {shape}", next_step="give one entry for each row"
        )
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        raise BayesPilotError(
            f"{name} is not a finite number",
            where=f"first row {int(np.argwhere(wrong)[0][0])}" if numbers.ndim else "",
            values=numbers[wrong].tolist(),
            next_step="leave out rows without a value, or fill them in",
        )
    return numbers
