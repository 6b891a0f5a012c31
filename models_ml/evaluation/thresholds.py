"""What fixed cut-offs on churn probability would do: a reading aid, never how actions are chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def threshold_evaluation(
    has_churned: np.ndarray,
    churn_probability: np.ndarray,
    thresholds: Sequence[float],
    *,
    weight: np.ndarray | None = None,
    value_if_contacted: np.ndarray | None = None,
) -> list[dict[str, float]]:
    """Sweep cut-offs: who is at or above each, and how right that is.

    Parameters
    ----------
    has_churned : ndarray of shape (n,), bool or 0/1
    churn_probability : ndarray of shape (n,), 0 to 1
    thresholds : cut-offs, 0 to 1
    weight : ndarray of shape (n,), > 0, optional
    value_if_contacted : ndarray of shape (n,), optional
        Money that contacting each row returns; adds ``profit``, its weighted sum above the cut-off.

    Returns
    -------
    list of dict
        ``threshold``, ``contacted_share``, ``precision`` (0 where nobody is contacted), ``recall`` and, where
        asked for, ``profit``.

    Examples
    --------
    >>> threshold_evaluation(np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), [0.9])
    [{'threshold': 0.9, 'contacted_share': 0.333333333, 'precision': 1.0, 'recall': 0.5}]
    """
    weight = np.ones(len(churn_probability)) if weight is None else weight
    churned = weight * has_churned
    rows = []
    for threshold in thresholds:
        above = churn_probability >= threshold
        reached, found = float(weight[above].sum()), float(churned[above].sum())
        row = {
            "threshold": float(threshold),
            "contacted_share": round(reached / float(weight.sum()), 9),
            "precision": round(found / reached, 9) if reached else 0.0,
            "recall": round(found / float(churned.sum()), 9),
        }
        if value_if_contacted is not None:
            row["profit"] = round(float((weight * value_if_contacted)[above].sum()), 2)
        rows.append(row)
    return rows
