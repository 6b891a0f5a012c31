"""Features that are too good to be true: they know the label, or stand for the customer's id.

A feature that separates churners from stayers almost perfectly was usually written after the customer had left (a
status column, a closing date), so the pipeline that reads it fails on customers whose future is open.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm, rankdata

from models_ml.errors import BayesPilotError
from models_ml.training.examples import Examples
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import LeakageLimits

RESERVED = ("customer_id", "as_of_date", "has_churned", "churned_on", "horizon_ends_on", "example_weight")
_SAMPLES = 2_000
_CHURNERS_DRAWN, _STAYERS_DRAWN = 1_000, 2_000  # more customers hardly narrow what chance explains


@dataclass(frozen=True)
class Suspect:
    """A feature that is too good to be true, and what shows it."""

    feature: str
    evidence: str


def check_names(schema: FeatureSchema, label: str) -> None:
    """Refuse the label, the id or a date of the label as a feature.

    Raises
    ------
    BayesPilotError
        Naming the features.
    """
    wrong = [name for name in schema.names if name in {*RESERVED, label}]
    if wrong:
        raise BayesPilotError(
            "the label or a key is declared as a feature: a pipeline that reads it learns nothing about churn",
            where="the declared features",
            values=wrong,
            next_step="remove it from the features (its role in customer_features.yml, or the schema)",
        )


def find_suspects(
    features: pa.Table,
    schema: FeatureSchema,
    has_churned: np.ndarray,
    *,
    limits: LeakageLimits,
    without_notice: np.ndarray | None = None,
    run_categories: Mapping[str, Collection[str | None]] | None = None,
) -> list[Suspect]:
    """Return the features that are too good to be true, in the order of the schema.

    Parameters
    ----------
    features : pyarrow.Table of n rows
        The features on the judged date.
    has_churned : ndarray of shape (n,), bool
    without_notice : ndarray of shape (n,), bool, optional
        Customers without an announced end; the others leave as announced, which many features may know.
    run_categories : mapping, optional
        The categories of each categorical feature at the run's date; without it, no category counts as vanished.
    """
    open_rows = np.ones(len(has_churned), dtype=bool) if without_notice is None else without_notice
    judged, churned = features.filter(pa.array(open_rows)), has_churned[open_rows]
    if min(churned.sum(), (~churned).sum()) < limits.leavers_at_least:
        return []
    found: list[Suspect] = []
    for feature in schema.features:
        column = judged[feature.feature]
        if feature.role == "categorical":
            present = None if run_categories is None else run_categories[feature.feature]
            found += _suspect_category(feature.feature, column, churned, present, limits)
        else:
            found += _suspect_number(feature.feature, column, churned, limits)
    return found


def screen(
    examples: Examples,
    limits: LeakageLimits,
    trusted: Collection[str],
    run_categories: Mapping[str, Collection[str | None]] | None = None,
) -> None:
    """Refuse features of the judged rows that are too good to be true; ``trusted`` names those to let pass.

    Raises
    ------
    BayesPilotError
        Naming each feature with its evidence and the way to allow it.
    """
    notice = examples.has_given_notice
    suspects = find_suspects(
        examples.features,
        examples.schema,
        examples.has_churned,
        limits=limits,
        without_notice=None if notice is None else ~notice,
        run_categories=run_categories,
    )
    refuse_suspects(suspects, trusted)


def refuse_suspects(suspects: Sequence[Suspect], trusted: Collection[str]) -> None:
    """Refuse to train on suspects that nobody has declared as known on the date.

    Raises
    ------
    BayesPilotError
        Naming each feature with its evidence and the way to allow it.
    """
    refused = [suspect for suspect in suspects if suspect.feature not in trusted]
    if refused:
        kept = [name for name in trusted if name not in ("", "none")]  # setting the parameter replaces it
        names = ", ".join(dict.fromkeys([*kept, *(suspect.feature for suspect in refused)]))
        raise BayesPilotError(
            "cannot train: a feature is too good to be true; it was probably written after customers had left",
            where="training_examples",
            values=[f"{suspect.feature}: {suspect.evidence}" for suspect in refused],
            next_step=(
                "deliver the feature as it was known on each date, or remove it; if it really was known then,"
                f" set trusted_features to '{names}' in policy.csv"
            ),
        )


@functools.cache
def auc_by_chance(auc: float, churners: int, stayers: int, probability: float) -> float:
    """Return the AUC in so many customers that a feature of this true AUC does not exceed with this probability.

    Drawn with normal values of churners and stayers. A standard error around the AUC that was seen would be 0 for
    perfect separation, which chance brings about in every fourth sample of 20 and 20 at a true AUC of 0.99.

    Examples
    --------
    >>> auc_by_chance(0.99, 20, 20, 0.99)
    1.0
    >>> round(auc_by_chance(0.99, 100, 1000, 0.99), 3)
    0.996
    """
    random = np.random.default_rng(0)
    churners, stayers = min(churners, _CHURNERS_DRAWN), min(stayers, _STAYERS_DRAWN)
    apart = np.sqrt(2) * norm.ppf(auc)
    found = [
        np.searchsorted(np.sort(random.normal(size=stayers)), random.normal(apart, 1, churners)).mean()
        / stayers
        for _ in range(_SAMPLES)
    ]
    return float(np.quantile(found, probability, method="higher"))


def _suspect_number(
    name: str, column: pa.ChunkedArray, churned: np.ndarray, limits: LeakageLimits
) -> Iterator[Suspect]:
    """Yield the feature if its values, or their being missing, separate leavers from stayers."""
    values = column.cast(pa.float64()).to_numpy()
    missing = np.isnan(values)
    scores = [("", np.where(missing, np.inf, values))]
    if missing.any():
        scores += [("", np.where(missing, -np.inf, values)), (" by being missing", missing.astype(float))]
    for how, score in scores:
        auc = _auc(score, churned)
        if _separates(auc, churned, limits):
            yield Suspect(name, f"separates leavers from stayers{how} (AUC {auc:.3f})")
            return


def _suspect_category(
    name: str,
    column: pa.ChunkedArray,
    churned: np.ndarray,
    present: Collection[str | None] | None,
    limits: LeakageLimits,
) -> Iterator[Suspect]:
    codes, labels = _codes(column)
    if len(labels) == len(churned):
        yield Suspect(name, "has another value for every customer: it is an id")
        return
    auc = _auc(_rate_of_other_half(codes, churned), churned)
    if _separates(auc, churned, limits):
        yield Suspect(name, f"separates leavers from stayers (AUC {auc:.3f})")
        return
    if present is None:
        return
    members = np.bincount(codes, minlength=len(labels))
    leavers = np.bincount(codes[churned], minlength=len(labels))
    for code in np.flatnonzero(
        (leavers >= limits.category_leaver_share * churned.sum())
        & (leavers >= limits.category_churn_rate * members)
    ):
        if labels[code] not in present:
            yield Suspect(
                name,
                f"{leavers[code]} of {members[code]} customers with {labels[code]!r} left,"
                " and nobody at the run's date has this value",
            )
            return


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str | None]]:
    """Return each row's category as a position in the list of categories; missing is one of them."""
    labels = pc.unique(column)
    return np.asarray(pc.index_in(column, value_set=labels).to_numpy()), labels.to_pylist()


def _rate_of_other_half(codes: np.ndarray, churned: np.ndarray) -> np.ndarray:
    """Return each row's churn rate of its category in the other half of the rows, (n,): no row sees itself."""
    half = np.arange(len(codes)) % 2
    rates = np.empty(len(codes))
    for mine in (0, 1):
        other = half != mine
        members = np.bincount(codes[other], minlength=codes.max() + 1)
        leavers = np.bincount(codes[other], weights=churned[other], minlength=codes.max() + 1)
        overall = churned[other].mean()
        rate = np.where(members > 0, leavers / np.maximum(members, 1), overall)
        rates[half == mine] = rate[codes[half == mine]]
    return rates


def _auc(score: np.ndarray, churned: np.ndarray) -> float:
    """Return the AUC of a score in whichever direction separates (Mann–Whitney), 0.5 to 1."""
    ranks = rankdata(score)
    churners = int(churned.sum())
    auc = (ranks[churned].sum() - churners * (churners + 1) / 2) / (churners * (len(churned) - churners))
    return float(max(auc, 1 - auc))


def _separates(auc: float, churned: np.ndarray, limits: LeakageLimits) -> bool:
    churners = int(churned.sum())
    stayers = len(churned) - churners
    return auc > limits.auc and auc > auc_by_chance(limits.auc, churners, stayers, limits.confidence)
