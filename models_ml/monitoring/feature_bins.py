"""The frozen bins of one feature, and which bin a value falls into: one rule for training and for every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SCORE = "churn_probability"


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


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(value, dict):
        return {key: _plain(content) for key, content in value.items()}
    return [_plain(content) for content in value] if isinstance(value, tuple | list) else value


def _text(value: Any) -> str:  # noqa: ANN401 - a number or a category
    return f"{value:.6g}" if isinstance(value, float) else str(value)
