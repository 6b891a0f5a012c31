"""Folds of equal composition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def stratified_folds(strata: Sequence[ArrayLike], folds: int, seed: int | Sequence[int]) -> NDArray[np.int64]:
    """Return a fold (0 to ``folds`` − 1) for each row; every combination of strata is spread evenly.

    Parameters
    ----------
    strata : sequence of array-like of shape (n,)
    folds : int, at least 2
    seed : int, or several

    Examples
    --------
    >>> fold = stratified_folds([[0, 0, 0, 0, 1, 1]], 2, seed=1)
    >>> sorted(fold[:4].tolist()), sorted(fold[4:].tolist())
    ([0, 0, 1, 1], [0, 1])
    """
    random = np.random.default_rng(seed)
    mixed = random.permutation(len(np.asarray(strata[0])))
    keys = np.stack([np.asarray(stratum)[mixed] for stratum in strata])
    order = mixed[np.lexsort(keys)]  # a stable sort: random within each combination
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold
