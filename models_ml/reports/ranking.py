"""How well a pipeline ranks customers, in the words of the terminal and the pages."""

from __future__ import annotations


def ranking_words(auc: float, announced_churn_share: float | None, auc_without_notice: float | None) -> str:
    """Return the AUC and, where part of the churn was announced, the AUC without the customers who had given notice.

    Examples
    --------
    >>> ranking_words(0.8125, 0.25, 0.7)
    'AUC 0.812; 25 % of the churn was announced, AUC without customers who had given notice: 0.700'
    >>> ranking_words(0.8125, None, None), ranking_words(0.8125, 0.0, 0.8125)
    ('AUC 0.812', 'AUC 0.812')
    """
    words = f"AUC {auc:.3f}"
    if not announced_churn_share:
        return words
    rest = "not known" if auc_without_notice is None else f"{auc_without_notice:.3f}"
    return (
        f"{words}; {100 * announced_churn_share:.0f} % of the churn was announced,"
        f" AUC without customers who had given notice: {rest}"
    )
