"""The population at training: bins, shares and sizes per feature, frozen with the pipeline to measure drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.errors import BayesPilotError
from models_ml.training.pipeline import DIGITS
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import PopulationBins, load_settings

SCORE = "churn_probability"
_DIGITS = 9  # of stored shares
_SPREAD = (0.05, 0.95)
_SLICED_TYPES = ("DOUBLE", "FLOAT", "REAL", "DECIMAL")  # money and ratios; counts are watched as a whole


@dataclass(frozen=True)
class Slice:
    """Shares of a feature's bins among the customers of one category.

    Attributes
    ----------
    feature, category : str
        The categorical feature and its value that make the slice.
    shares : tuple of float
        Weighted share of the slice's rows per bin, 0 to 1, summing to 1.
    rows : float
        Rows of the slice; with unequal weights the effective number.
    """

    feature: str
    category: str
    shares: tuple[float, ...]
    rows: float


@dataclass(frozen=True)
class FeatureBins:
    """Frozen bins of one feature.

    Attributes
    ----------
    role : str
        ``numeric``, ``categorical``, or ``score`` for the churn probability itself.
    kind : str
        ``quantiles`` (cuts are upper edges, the last bin is open), ``values`` or ``categories`` (one bin per
        cut, then one for everything else). In each kind the last bin holds missing values.
    shares : tuple of float
        Weighted share of the training rows per bin, 0 to 1, summing to 1.
    rows : float
        Rows behind the shares; with unequal weights the effective number (Kish), (Σw)² / Σw².
    median_size, lower_size, upper_size : float or None
        Median, 5 % and 95 % quantile of the absolute values other than zero: what a change of unit moves.
    sized_rows : int
        Rows with such a value.
    slices : tuple of Slice
        The same bins among the customers of one category; only for numbers that are not counts.
    """

    feature: str
    role: str
    kind: str
    cuts: tuple[Any, ...]
    shares: tuple[float, ...]
    rows: float
    median_size: float | None
    lower_size: float | None
    upper_size: float | None
    sized_rows: int
    slices: tuple[Slice, ...]

    @property
    def bin_count(self) -> int:
        """Bins of the feature, those of other and of missing values included."""
        return len(self.cuts) + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the bins, in order."""
        if self.kind != "quantiles":
            return (*(_text(cut) for cut in self.cuts), "other", "missing")
        if not self.cuts:
            return ("any", "missing")
        inner = [
            f"{_text(low)} to {_text(high)}" for low, high in zip(self.cuts, self.cuts[1:], strict=False)
        ]
        return (f"up to {_text(self.cuts[0])}", *inner, f"above {_text(self.cuts[-1])}", "missing")

    def assign(self, column: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Return the bin of each value as its position, int, shape (n,); NaN counts as missing.

        Examples
        --------
        >>> cuts = (10.0, 20.0)
        >>> fee = FeatureBins("fee", "numeric", "quantiles", cuts, (0.3, 0.3, 0.4, 0.0), 9, 15, 5, 30, 9, ())
        >>> fee.assign(pa.array([10.0, 10.5, 99.0, None])).tolist()
        [0, 1, 2, 3]
        """
        missing = self.bin_count - 1
        if self.kind == "categories":
            found = pc.index_in(column, value_set=pa.array(self.cuts, column.type))
            position = pc.fill_null(found, missing - 1).to_numpy(zero_copy_only=False)
            is_missing = column.is_null().to_numpy(zero_copy_only=False)
            return np.where(is_missing, missing, position).astype(int)
        values = numbers(column)
        cuts = np.asarray(self.cuts, dtype=float)
        position = np.searchsorted(cuts, values, side="left")
        if self.kind == "values":
            position = np.where(np.isin(values, cuts), position, missing - 1)
        return np.where(np.isnan(values), missing, position).astype(int)


def freeze_bins(
    table: pa.Table,
    weight: np.ndarray,
    schema: FeatureSchema,
    *,
    churn_probability: np.ndarray | None = None,
    bins: PopulationBins | None = None,
) -> list[dict[str, Any]]:
    """Freeze the bins of every feature; ready for JSON, in the order of the schema.

    Parameters
    ----------
    table : pa.Table
        Feature columns of the rows that calibrated the pipeline, at least one row.
    weight : ndarray of shape (n,)
        Positive weights by which the rows represent all customers at risk.
    schema : FeatureSchema
        Which columns to read, and their roles.
    churn_probability : ndarray of shape (n,), optional
        Scores of the same rows by the deployed pipeline, 0 to 1; their bins come last, as `SCORE`.
    bins : PopulationBins, optional
        How to group; those of ``settings.toml`` by default.

    Raises
    ------
    BayesPilotError
        If there is no row, or the weights are not positive and one per row.
    """
    grouping = bins or load_settings().population
    _check(table.num_rows, weight)
    frozen = [
        _categories(feature.feature, table[feature.feature], weight, grouping)
        if feature.role == "categorical"
        else _numeric(feature.feature, "numeric", numbers(table[feature.feature]), weight, grouping)
        for feature in schema.features
    ]
    sliced = [feature.data_type.upper().startswith(_SLICED_TYPES) for feature in schema.features]
    columns = [table[name] for name in schema.names]
    if churn_probability is not None:
        # As churn_scores holds them: a cut on a step of isotonic regression must not lie beside the step.
        score = np.round(np.asarray(churn_probability, dtype=float), DIGITS)
        frozen.append(_numeric(SCORE, "score", score, weight, grouping))
        columns.append(pa.chunked_array([score]))
        sliced.append(False)
    groups = list(_groups(frozen, columns, grouping))
    return to_rows(
        replace(one, slices=_slices(one.assign(column), one.bin_count, weight, groups)) if is_sliced else one
        for one, column, is_sliced in zip(frozen, columns, sliced, strict=True)
    )


def sizes(values: np.ndarray, weight: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Return median, 5 % and 95 % quantile of the absolute values other than zero; None without any.

    Examples
    --------
    >>> sizes(np.array([0.0, -2.0, 4.0, 6.0, np.nan]), np.ones(5))
    (4.0, 2.0, 6.0)
    """
    size = np.abs(values)
    counts = size > 0  # neither zero nor NaN
    if not counts.any():
        return None, None, None
    found = np.quantile(size[counts], [0.5, *_SPREAD], weights=weight[counts], method="inverted_cdf")
    return float(found[0]), float(found[1]), float(found[2])


def numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return a numeric column as doubles, missing values as NaN."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def to_rows(frozen: Iterable[FeatureBins]) -> list[dict[str, Any]]:
    """Return plain lists and dicts, as they stand in a deployment record."""
    return [_plain(asdict(one)) for one in frozen]


def read_bins(rows: Iterable[Mapping[str, Any]]) -> list[FeatureBins]:
    """Return the bins as they stand in a deployment record."""
    return [
        FeatureBins(
            **{
                **row,
                "cuts": tuple(row["cuts"]),
                "shares": tuple(row["shares"]),
                "slices": tuple(Slice(**{**one, "shares": tuple(one["shares"])}) for one in row["slices"]),
            }
        )
        for row in rows
    ]


def _numeric(
    feature: str, role: str, values: np.ndarray, weight: np.ndarray, bins: PopulationBins
) -> FeatureBins:
    is_known = ~np.isnan(values)
    distinct = np.unique(values[is_known])
    if role == "numeric" and 0 < len(distinct) <= bins.values_at_most:
        kind, cuts = "values", distinct
    else:
        kind, cuts = "quantiles", _quantiles(values[is_known], weight[is_known], bins.quantiles)
    sized = int((np.abs(values) > 0).sum())
    draft = FeatureBins(feature, role, kind, tuple(cuts.tolist()), (), 0.0, *sizes(values, weight), sized, ())
    return _with_shares(draft, draft.assign(pa.array(values, pa.float64())), weight)


def _quantiles(values: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """Return inner quantiles without repetition: a value that fills several bins gets one of its own."""
    if not values.size:
        return values
    inner = np.arange(1, count) / count
    return np.unique(np.quantile(values, inner, weights=weight, method="inverted_cdf"))


def _categories(
    feature: str, column: pa.ChunkedArray, weight: np.ndarray, bins: PopulationBins
) -> FeatureBins:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    frequent = sorted((-row["counts"], row["values"]) for row in counted)[: bins.categories_at_most]
    cuts = tuple(sorted(value for _, value in frequent))
    draft = FeatureBins(feature, "categorical", "categories", cuts, (), 0.0, None, None, None, 0, ())
    return _with_shares(draft, draft.assign(column), weight)


def _with_shares(draft: FeatureBins, position: np.ndarray, weight: np.ndarray) -> FeatureBins:
    return replace(draft, shares=_shares(position, draft.bin_count, weight), rows=_effective_rows(weight))


def _shares(position: np.ndarray, bin_count: int, weight: np.ndarray) -> tuple[float, ...]:
    total = np.bincount(position, weights=weight, minlength=bin_count)
    return tuple(float(share) for share in np.round(total / weight.sum(), _DIGITS))


def _effective_rows(weight: np.ndarray) -> float:
    return float(round(weight.sum() ** 2 / (weight**2).sum(), 3))


def _groups(
    frozen: Sequence[FeatureBins], columns: Sequence[pa.ChunkedArray], bins: PopulationBins
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield feature, category and membership of every category that is large enough to monitor on its own."""
    for one, column in zip(frozen, columns, strict=True):
        if one.kind != "categories":
            continue
        position = one.assign(column)
        for place, category in enumerate(one.cuts):
            if bins.slice_share <= one.shares[place] < 1:
                yield one.feature, category, position == place


def _slices(
    position: np.ndarray, bin_count: int, weight: np.ndarray, groups: Sequence[tuple[str, str, np.ndarray]]
) -> tuple[Slice, ...]:
    return tuple(
        Slice(
            feature,
            category,
            _shares(position[member], bin_count, weight[member]),
            _effective_rows(weight[member]),
        )
        for feature, category, member in groups
    )


def _check(rows: int, weight: np.ndarray) -> None:
    if not rows or weight.shape != (rows,) or not np.all(weight > 0):
        raise BayesPilotError(
            "bins need rows, and one positive weight per row",
            where="training_examples",
            values=[f"{rows} rows", f"{weight.shape} weights"],
            next_step="check training_examples on the date that calibrates, then retrain",
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(value, dict):
        return {key: _plain(content) for key, content in value.items()}
    return [_plain(content) for content in value] if isinstance(value, tuple | list) else value


def _text(value: Any) -> str:  # noqa: ANN401 - a number or a category
    return f"{value:.6g}" if isinstance(value, float) else str(value)
