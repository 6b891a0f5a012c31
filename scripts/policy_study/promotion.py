"""A real randomised promotion: each of 84,534 customers got a mailing or not by the toss of a coin.

A purchase earns $10, a mailing costs $0.15.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingClassifier

from models_ml.errors import BayesPilotError
from models_ml.evaluation import PolicyValue, policy_value
from models_ml.evaluation.contrasts import contrast_of_totals
from models_ml.evaluation.intervals import Estimate

SALE, MAILING = 10.0, 0.15  # dollars
MAILED_WITH = 0.5
FEATURES = [f"V{number}" for number in range(1, 8)]


@dataclass(frozen=True)
class Promotion:
    """Rows of the trial: ``reward`` in dollars; ``mails`` is the targeted policy; ``predicted`` (n, 2)."""

    is_mailed: np.ndarray
    reward: np.ndarray
    mails: np.ndarray
    predicted: np.ndarray


def read_promotion(folder: Path) -> Promotion:
    """Read train.parquet and learn, in two halves that never see themselves, whom a mailing makes buy.

    Raises
    ------
    BayesPilotError
        If the folder holds no train.parquet.
    """
    file = folder / "train.parquet"
    if not file.is_file():
        raise BayesPilotError("there is no promotion data", where=str(file), next_step="name its folder")
    table = pq.read_table(file)
    is_mailed = table.column("Promotion").to_numpy(zero_copy_only=False) == "Yes"
    purchase = table.column("purchase").to_numpy()
    features = np.column_stack([table.column(name).to_numpy().astype(float) for name in FEATURES])
    half = np.random.default_rng(0).permutation(len(purchase)) % 2
    chance = np.zeros((len(purchase), 2))
    for part in (0, 1):
        for mailed in (0, 1):
            learn = (half != part) & (is_mailed == mailed)
            fitted = HistGradientBoostingClassifier(
                max_iter=60, learning_rate=0.05, min_samples_leaf=500, early_stopping=False
            )
            fitted.fit(features[learn], purchase[learn])
            chance[half == part, mailed] = fitted.predict_proba(features[half == part])[:, 1]
    predicted = SALE * chance - np.array([0.0, MAILING])
    reward = SALE * purchase - MAILING * is_mailed
    return Promotion(is_mailed, reward, predicted[:, 1] > predicted[:, 0], predicted)


def plain_contrast(promotion: Promotion, rows: np.ndarray) -> Estimate:
    """Mean reward of the mailed less that of the others among some rows, spread over all rows."""
    contrast = contrast_of_totals(
        promotion.reward[rows], ~promotion.is_mailed[rows], np.ones(int(rows.sum()))
    )
    return contrast.times(float(rows.mean()))


def value_of(promotion: Promotion, mails: np.ndarray, method: str) -> PolicyValue:
    """Value per customer of mailing those in ``mails``, against mailing nobody."""
    return policy_value(
        promotion.is_mailed.astype(np.int64),
        np.full(len(mails), MAILED_WITH),
        promotion.reward,
        mails.astype(np.int64),
        reference=0,
        predicted_reward=promotion.predicted,
        method=method,  # type: ignore[arg-type]
    )


def compare(promotion: Promotion) -> list[tuple[str, str, Estimate]]:
    """Return (policy, method, value per customer in dollars): everyone, then the targeted policy."""
    rows: list[tuple[str, str, Estimate]] = []
    for name, mails in (
        ("mail everyone", np.ones_like(promotion.mails)),
        (f"targeted ({promotion.mails.mean():.0%} mailed)", promotion.mails),
    ):
        rows.append((name, "plain contrast", plain_contrast(promotion, mails)))
        rows += [(name, method, value_of(promotion, mails, method)) for method in ("dr", "snips", "ips")]
    return rows
