"""A randomised trial, read from any frame and checked: arms, outcome, propensity, value and cost of each row.

Its rows are cut into folds of equal composition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from models_ml.errors import BayesPilotError
from models_ml.training.frames import Frame, as_table, feature_columns
from models_ml.training.schema import FeatureSchema
from models_ml.uplift.settings import TrialSettings

WHERE = "the trial"
CONTROL = 0
_ROUNDING = 1e-6

Floats = NDArray[np.float64]
Amount = float | str  # a number for every row, or the name of a column
Propensity = float | str | Mapping[str, float] | None
Cost = float | str | Mapping[str, Amount]


@dataclass(frozen=True)
class Money:
    """What the outcome is worth and what each offer costs: numbers, or names of columns."""

    value: Amount
    cost: Cost

    def read(self, table: pa.Table, offers: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Return value (n,) and cost (n, offers + 1), the control's cost of 0 first.

        Raises
        ------
        BayesPilotError
            If a column is missing, a number is not finite, a cost is negative, or an offer has no cost.
        """
        given = self.cost if isinstance(self.cost, Mapping) else dict.fromkeys(offers, self.cost)
        given = {str(label): amount for label, amount in given.items()}
        different = sorted(set(offers) ^ given.keys())
        if different:
            raise BayesPilotError(
                "costs and offers differ",
                where="cost",
                values=different,
                next_step=f"give one cost for each of {', '.join(offers)}; the control costs nothing",
            )
        costs = [np.zeros(table.num_rows), *(_amounts(table, given[offer], "cost") for offer in offers)]
        cost = np.column_stack(costs)
        if (cost < 0).any():
            raise BayesPilotError("a cost is negative", where="cost", values=cost[cost < 0])
        return _amounts(table, self.value, "value"), cost

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that hold money."""
        costs = self.cost.values() if isinstance(self.cost, Mapping) else (self.cost,)
        return tuple(name for name in (self.value, *costs) if isinstance(name, str))


@dataclass(frozen=True)
class Trial:
    """n rows of a trial with the control and k offers.

    ``arm`` (n,): 0 for the control, 1 to k for the offers; ``propensity`` (n,): probability of the arm that the
    row got; ``outcome`` (n,); ``value`` (n,): money per unit of outcome, negative where it is a loss; ``cost``
    (n, k + 1): money per contact.
    """

    features: pa.Table
    schema: FeatureSchema
    arm: NDArray[np.int64]
    offers: tuple[str, ...]
    control: str
    outcome: Floats
    is_binary: bool
    propensity: Floats
    value: Floats
    cost: Floats

    def __len__(self) -> int:
        return len(self.arm)

    @cached_property
    def reward(self) -> Floats:
        """Money of each row: value of the outcome minus cost of what was done, (n,)."""
        return self.value * self.outcome - self.cost[np.arange(len(self)), self.arm]

    @property
    def strata(self) -> list[np.ndarray]:
        """What folds spread evenly: arms, and whether the outcome is above its mean, each (n,)."""
        return [self.arm, self.outcome > self.outcome.mean()]

    @property
    def arms(self) -> tuple[str, ...]:
        """Labels of all arms, the control first."""
        return (self.control, *self.offers)

    def money(self, outcome: Floats) -> Floats:
        """Return the money (n, k + 1) that follows outcomes of that shape."""
        return self.value[:, None] * outcome - self.cost

    def scores(self, outcome: Floats) -> Floats:
        """Return doubly robust scores of the outcome, (n, k + 1): their mean over rows is that of every arm.

        μ(x, a) + 1{a = arm} / propensity · (y − μ(x, a)): Robins, Rotnitzky and Zhao (1994).

        Parameters
        ----------
        outcome : ndarray of shape (n, k + 1)
            μ, predicted by what has not seen these rows.
        """
        rows = np.arange(len(self))
        scores = np.array(outcome, dtype=np.float64)
        scores[rows, self.arm] += (self.outcome - outcome[rows, self.arm]) / self.propensity
        return scores

    def part(self, rows: NDArray[np.int64]) -> Trial:
        """Return the trial of some rows, by position."""
        return Trial(
            self.features.take(pa.array(rows)),
            self.schema,
            self.arm[rows],
            self.offers,
            self.control,
            self.outcome[rows],
            self.is_binary,
            self.propensity[rows],
            self.value[rows],
            self.cost[rows],
        )


def read_trial(
    frame: Frame,
    schema: FeatureSchema,
    *,
    treatment: str,
    control: object,
    outcome: str,
    propensity: Propensity,
    money: Money,
    settings: TrialSettings,
) -> Trial:
    """Read all rows of a frame as a trial, in their order.

    Raises
    ------
    BayesPilotError
        If a column is missing or holds what it must not, an arm is missing or too small, or the outcome is the
        same everywhere, too rare in an arm, or worth nothing.
    """
    table = as_table(frame)
    _check_roles(table, schema, treatment, outcome, propensity, money)
    labels = _labels(table, treatment)
    names = tuple(sorted(set(labels.tolist())))
    without = label_text(control)
    _check_arms(names, without, treatment)
    offers = tuple(name for name in names if name != without)
    arm = np.searchsorted(np.array(names), labels)
    arm = np.array([CONTROL if name == without else 1 + offers.index(name) for name in names])[arm]
    observed = _numbers(table, outcome, "keep only rows whose outcome is known")
    is_binary = bool(np.isin(observed, (0.0, 1.0)).all())
    value, cost = money.read(table, offers)
    trial = Trial(
        feature_columns(table, schema),
        schema,
        arm.astype(np.int64),
        offers,
        without,
        observed,
        is_binary,
        _propensities(table, arm, (without, *offers), propensity),
        value,
        cost,
    )
    _check_sizes(trial, outcome, settings)
    return trial


def label_text(label: object) -> str:
    """Return a label of an arm as text, alike for whole numbers, doubles and booleans.

    >>> [label_text(label) for label in ("No", 1, 1.0, True)]
    ['No', '1', '1', 'true']
    """
    if isinstance(label, bool | np.bool_):
        return str(bool(label)).lower()
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def arm_labels(table: pa.Table, treatment: str) -> tuple[str, ...]:
    """Return the distinct labels in the column of arms, sorted."""
    return tuple(sorted(set(_labels(table, treatment).tolist())))


def _check_roles(
    table: pa.Table,
    schema: FeatureSchema,
    treatment: str,
    outcome: str,
    propensity: Propensity,
    money: Money,
) -> None:
    named = [treatment, outcome, *money.columns, *([propensity] if isinstance(propensity, str) else [])]
    missing = [name for name in dict.fromkeys([*named, *schema.names]) if name not in table.column_names]
    if missing:
        raise BayesPilotError(
            "a column is missing",
            where=WHERE,
            values=missing,
            next_step=f"choose among {', '.join(table.column_names)}",
        )
    if not table.num_rows:
        raise BayesPilotError("the trial has no rows", where=WHERE)
    both = [name for name in (treatment, outcome, propensity) if name in schema.names]
    if both:
        raise BayesPilotError(
            "treatment, outcome and propensity cannot be features",
            where=WHERE,
            values=both,
            next_step="take them out of the features",
        )
    if treatment == outcome:
        raise BayesPilotError("treatment and outcome are the same column", where=WHERE, values=[outcome])


def _labels(table: pa.Table, treatment: str) -> NDArray[np.str_]:
    if treatment not in table.column_names:
        raise BayesPilotError(
            "a column is missing",
            where=WHERE,
            values=[treatment],
            next_step=f"choose among {', '.join(table.column_names)}",
        )
    column = table[treatment].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise BayesPilotError(
            f"{treatment} is missing in {column.null_count} rows",
            where=WHERE,
            next_step="keep only rows that were assigned to an arm",
        )
    distinct = pc.unique(column)
    texts = np.array([label_text(value) for value in distinct.to_pylist()], dtype=str)
    return np.asarray(texts[pc.index_in(column, value_set=distinct).to_numpy(zero_copy_only=False)])


def _check_arms(names: tuple[str, ...], control: str, treatment: str) -> None:
    if control not in names:
        raise BayesPilotError(
            f"no row of {treatment} is the control {control!r}",
            where=WHERE,
            values=names,
            next_step="name the arm that got nothing: control=… (--control on the command line)",
        )
    if len(names) == 1:
        raise BayesPilotError(
            f"{treatment} holds one arm only, so that nothing can be compared",
            where=WHERE,
            values=names,
            next_step="give the rows of the control and of at least one offer",
        )
    if len(names) > 20:
        raise BayesPilotError(
            f"{treatment} holds {len(names)} different values: it does not look like arms of a trial",
            where=WHERE,
            values=names,
            next_step="name the column of arms",
        )


def _check_sizes(trial: Trial, outcome: str, settings: TrialSettings) -> None:
    counts = np.bincount(trial.arm, minlength=len(trial.arms))
    small = [
        f"{name}: {count}"
        for name, count in zip(trial.arms, counts, strict=True)
        if count < settings.rows_per_arm_at_least
    ]
    if small:
        raise BayesPilotError(
            f"an arm has fewer than {settings.rows_per_arm_at_least} rows",
            where=WHERE,
            values=small,
            next_step="leave that arm out, or wait for more rows",
        )
    if trial.outcome.min() == trial.outcome.max():
        raise BayesPilotError(f"{outcome} is {trial.outcome[0]:g} in every row", where=WHERE)
    least = settings.responders_per_arm_at_least
    values, times = np.unique(trial.outcome, return_counts=True)
    usual = 0.0 if trial.is_binary else float(values[times.argmax()])
    other = np.bincount(trial.arm, trial.outcome != usual, len(trial.arms))
    few = [
        f"{name}: {rows:.0f} of {count}"
        for name, rows, count in zip(trial.arms, other, counts, strict=True)
        if (min(rows, count - rows) if trial.is_binary else rows) < least
    ]
    if few:
        what = f"{outcome} 1, or with {outcome} 0" if trial.is_binary else f"{outcome} other than {usual:g}"
        raise BayesPilotError(
            f"an arm has fewer than {least} rows with {what}",
            where=WHERE,
            values=few,
            next_step="wait for more outcomes: so few say nothing about differences between customers",
        )
    if not trial.value.any():
        raise BayesPilotError(
            f"{outcome} is worth 0 in every row, so that nothing is at stake",
            where="value",
            next_step="give the money that one unit of the outcome is worth",
        )


def _propensities(
    table: pa.Table, arm: NDArray[np.int64], arms: tuple[str, ...], given: Propensity
) -> Floats:
    """Return the probability of the arm that each row got, (n,); observed shares where nothing is given."""
    if isinstance(given, str):
        found = _numbers(table, given, "give the probability with which each row got its arm")
        wrong = (found <= 0) | (found >= 1)
        if wrong.any():
            raise BayesPilotError(
                "a propensity is not between 0 and 1",
                where=given,
                values=found[wrong],
                next_step="keep only rows that could have got another arm",
            )
        return found
    if given is None:
        shares = np.bincount(arm, minlength=len(arms)) / len(arm)
    else:
        shares = np.array(_stated_shares(given, arms))
    return np.asarray(shares[arm], dtype=np.float64)


def _stated_shares(given: float | Mapping[str, float], arms: tuple[str, ...]) -> list[float]:
    if isinstance(given, Mapping):
        stated = {label_text(label): float(share) for label, share in given.items()}
        unknown = sorted(stated.keys() - set(arms))
        missing = [name for name in arms if name not in stated]
        if missing == [arms[CONTROL]]:
            stated[arms[CONTROL]] = 1.0 - sum(stated.values())
        elif missing or unknown:
            raise BayesPilotError(
                "propensities and arms differ",
                where="propensity",
                values=missing or unknown,
                next_step=f"give one for each of {', '.join(arms)}",
            )
        shares = [stated[name] for name in arms]
    elif len(arms) == 2:
        shares = [1.0 - float(given), float(given)]
    else:
        raise BayesPilotError(
            f"one propensity for {len(arms)} arms",
            where="propensity",
            values=[given],
            next_step=f"give one for each of {', '.join(arms)}",
        )
    if any(not 0 < share < 1 for share in shares) or abs(sum(shares) - 1) > _ROUNDING:
        raise BayesPilotError(
            "propensities are not between 0 and 1, or do not add up to 1",
            where="propensity",
            values=[f"{name}: {share:g}" for name, share in zip(arms, shares, strict=True)],
        )
    return shares


def _amounts(table: pa.Table, given: Amount, what: str) -> Floats:
    if isinstance(given, str):
        return _numbers(table, given, f"give the {what} of every row")
    amount = float(given)
    if not np.isfinite(amount):
        raise BayesPilotError(f"{what} is not a finite number", where=what, values=[given])
    return np.full(table.num_rows, amount)


def _numbers(table: pa.Table, name: str, next_step: str) -> Floats:
    """Return a column of finite numbers."""
    if name not in table.column_names:
        raise BayesPilotError(
            "a column is missing",
            where=WHERE,
            values=[name],
            next_step=f"choose among {', '.join(table.column_names)}",
        )
    column = table[name]
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)) and not (
        pa.types.is_decimal(kind)
    ):
        raise BayesPilotError(
            f"{name} holds {kind}, not numbers",
            where=WHERE,
            values=pc.unique(column.drop_null()).slice(0, 6).to_pylist(),
            next_step="give numbers; for an outcome 1 where it happened, else 0",
        )
    numbers = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        raise BayesPilotError(
            f"{name} is missing or not finite in {int(wrong.sum())} of {len(numbers)} rows",
            where=WHERE,
            values=[f"row {row}: {numbers[row]}" for row in np.flatnonzero(wrong)[:6]],
            next_step=next_step,
        )
    return numbers


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
