"""Who gets which offer: groups of customers by single features, with the gains seen there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.evaluation import Estimate
from models_ml.evaluation.intervals import student_interval
from models_ml.uplift.settings import PageSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial


@dataclass(frozen=True)
class Group:
    """Customers alike in one feature; ``treated`` (k,) shares by offer, ``gains`` money of each offer for all of them.

    A gain is None where the group has fewer than two rows of the offer or the control.
    """

    label: str
    customers: int
    treated: Floats
    gains: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class FeatureGroups:
    """The groups of one feature; ``information``: how much it tells about the planned arm, nats."""

    feature: str
    information: float
    groups: tuple[Group, ...]


def feature_groups(
    trial: Trial, planned: np.ndarray, scores: Floats, settings: PageSettings
) -> list[FeatureGroups]:
    """Return the features that tell most about the plan, each with its groups; none where all are treated alike.

    Parameters
    ----------
    planned : ndarray of shape (n,), int
        Planned arm of each row.
    scores : ndarray of shape (n, k + 1)
        Doubly robust scores of money, from what has not seen the row.
    """
    if len(np.unique(planned)) < 2:
        return []
    found = []
    for feature in trial.schema.features:
        column = trial.features[feature.feature]
        code, labels = (
            _categories(column, settings) if feature.role == "categorical" else _parts(column, settings)
        )
        information = _mutual_information(code, planned)
        groups = tuple(
            _group(label, trial, planned, scores, np.flatnonzero(code == position))
            for position, label in enumerate(labels)
        )
        found.append(FeatureGroups(feature.feature, information, groups))
    found.sort(key=lambda of: -of.information)
    return found[: settings.features_at_most]


def plan_groups(trial: Trial, policy: Floats, scores: Floats) -> tuple[Group, ...]:
    """Return the customers grouped by what a policy does with them, those without an offer first.

    Parameters
    ----------
    policy, scores : ndarray of shape (n, k + 1)
        The policy as 0 and 1, and doubly robust scores of money, both from what has not seen the row.
    """
    arm = policy.argmax(axis=1)
    labels = ["gets no offer", *(f"gets “{offer}”" for offer in trial.offers)]
    found = (_group(labels[at], trial, arm, scores, np.flatnonzero(arm == at)) for at in range(len(labels)))
    return tuple(group for group in found if group.customers)


def _categories(column: pa.ChunkedArray, settings: PageSettings) -> tuple[np.ndarray, list[str]]:
    counts = pc.value_counts(column.drop_null()).to_pylist()
    ordered = sorted(counts, key=lambda row: (-row["counts"], row["values"]))
    kept = sorted(row["values"] for row in ordered[: settings.categories_at_most])
    code = pc.index_in(column, value_set=pa.array(kept, column.type)).fill_null(len(kept))
    code = np.asarray(code.to_numpy(zero_copy_only=False) if isinstance(code, pa.Array) else code.to_numpy())
    return code, [
        *(f"= {value}" for value in kept),
        *(["other or missing"] if (code == len(kept)).any() else []),
    ]


def _parts(column: pa.ChunkedArray, settings: PageSettings) -> tuple[np.ndarray, list[str]]:
    values = np.asarray(column.to_numpy(), dtype=np.float64)
    known = values[~np.isnan(values)]
    shares = np.linspace(0, 1, settings.groups_at_most + 1)[1:-1]
    edges = np.unique(np.quantile(known, shares, method="inverted_cdf")) if len(known) else np.empty(0)
    edges = edges[edges < known.max()] if len(known) else edges  # an empty last part tells nothing
    code = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
    texts = [f"{edge:.4g}".replace("-", "−") for edge in edges]
    labels = [f"up to {texts[0]}"] if texts else ["any value"]
    labels += [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    labels += [f"above {texts[-1]}"] if texts else []
    return code, [*labels, *(["missing"] if len(known) < len(values) else [])]


def _mutual_information(code: np.ndarray, planned: np.ndarray) -> float:
    width = int(planned.max()) + 1
    counts = np.bincount(code * width + planned, minlength=(int(code.max()) + 1) * width)
    joint = (counts / len(code)).reshape(-1, width)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / independent[held])).sum())


def _group(label: str, trial: Trial, planned: np.ndarray, scores: Floats, rows: np.ndarray) -> Group:
    offers = range(1, len(trial.arms))
    treated = np.array([(planned[rows] == at).mean() if len(rows) else 0.0 for at in offers])
    seen = np.bincount(trial.arm[rows], minlength=len(trial.arms))
    gains = tuple(
        _mean(scores[rows, at] - scores[rows, CONTROL]) if min(seen[CONTROL], seen[at]) > 1 else None
        for at in offers
    )
    return Group(label, len(rows), treated, gains)


def _mean(values: Floats) -> Estimate | None:
    """Return the mean with its interval; None where all values are alike, which leave its error unknown."""
    mean = float(values.mean())
    count = len(values)
    if (values == values[0]).all():
        return None
    return student_interval(mean, (values - mean) / count * np.sqrt(count / (count - 1.0)))
