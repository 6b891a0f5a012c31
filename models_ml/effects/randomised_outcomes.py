"""Plain counts beside the effects: who was assigned, who churned, and how many would have if left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.errors import BayesPilotError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STRATA = ("policy", "trial", "past_trial")  # how chance came in; each has a recalibration of its own
NO_OFFER = -1


@dataclass(frozen=True)
class Priors:
    """Beliefs about k offers over s signals: independent normals, log-odds of churn.

    ``mean`` and ``sd`` have shape (k, 1 + s), the intercept first, then ``signals`` in order.
    """

    offers: tuple[str, ...]
    signals: tuple[str, ...]
    mean: Floats
    sd: Floats


@dataclass(frozen=True)
class Evidence:
    """n customers whom chance assigned to an offer or to none.

    Attributes
    ----------
    stratum : ndarray of int of shape (n,)
        Position in ``STRATA``.
    offer : ndarray of int of shape (n,)
        Position of the assigned offer, −1 for a control.
    compared_offer : ndarray of int of shape (n,)
        For a control that stands for one offer only (a pick-holdout), its position; −1 otherwise.
    churn_probability : ndarray of shape (n,)
        In [0, 1], if left alone, as known before the assignment.
    has_churned : ndarray of bool of shape (n,)
    weight : ndarray of shape (n,)
        > 0: 1 over the chance that later runs within the horizon did nothing.
    executed_share : ndarray of shape (n,)
        In [0, 1]: share of those assigned alike (offer and month) whom the contact reached; 0 for a control.
    signals : ndarray of shape (n, s)
        Reason signals at the assignment, about 0–2.
    """

    stratum: Integers
    offer: Integers
    compared_offer: Integers
    churn_probability: Floats
    has_churned: NDArray[np.bool_]
    weight: Floats
    executed_share: Floats
    signals: Floats

    def __len__(self) -> int:
        """Return the number of customers."""
        return len(self.offer)

    @property
    def design(self) -> Floats:
        """Intercept and signals, of shape (n, 1 + s)."""
        return np.column_stack([np.ones(len(self)), self.signals])


def read_priors(table: pa.Table) -> Priors:
    """Read ``offer_effect_priors``; offers and signals in the order of their names.

    Raises
    ------
    BayesPilotError
        When an offer lacks a signal's prior, or a value is not a finite number with sd > 0.
    """
    rows = {(row["offer"], row["signal"]): row for row in table.to_pylist()}
    offers = tuple(sorted({offer for offer, _ in rows}))
    signals = tuple(sorted({signal for _, signal in rows} - {"intercept"}))
    pairs = [(offer, signal) for offer in offers for signal in ("intercept", *signals)]
    wrong = [pair for pair in pairs if pair not in rows or not _is_prior(rows[pair])]
    if wrong:
        raise BayesPilotError(
            "an offer needs a prior with a mean and an sd above 0 for the intercept and every signal",
            where="seeds/<source>/offer_effect_priors.csv",
            values=[f"{offer}, {signal}" for offer, signal in wrong],
            next_step="correct the rows, then run dbt build",
        )
    values = np.array([[rows[pair]["mean"], rows[pair]["sd"]] for pair in pairs], dtype=np.float64)
    shaped = values.reshape(len(offers), 1 + len(signals), 2)
    return Priors(offers, signals, shaped[..., 0], shaped[..., 1])


def _is_prior(row: dict[str, float | None]) -> bool:
    mean, sd = row["mean"], row["sd"]
    return mean is not None and sd is not None and np.isfinite(mean) and np.isfinite(sd) and sd > 0


def read_evidence(table: pa.Table, priors: Priors) -> Evidence:
    """Read the usable rows of ``int_effect_evidence``, in the order given.

    Raises
    ------
    BayesPilotError
        When a row names an unknown stratum or offer, or lacks a number.
    """
    columns = ("churn_probability", "evidence_weight", "executed_share")
    numbers = {name: _numbers(table, name) for name in (*columns, *(f"signal_{s}" for s in priors.signals))}
    signals = [numbers[f"signal_{name}"] for name in priors.signals]
    return Evidence(
        stratum=_positions(table, "stratum", STRATA),
        offer=_positions(table, "offer", priors.offers),
        compared_offer=_positions(table, "compared_offer", priors.offers),
        churn_probability=numbers["churn_probability"],
        has_churned=table["has_churned"].to_numpy().astype(bool),
        weight=numbers["evidence_weight"],
        executed_share=numbers["executed_share"],
        signals=np.column_stack(signals) if signals else np.empty((table.num_rows, 0)),
    )


def scaled_to_effective_size(evidence: Evidence) -> Evidence:
    """Scale weights within each stratum and offer so that they add up to the effective number of rows.

    That is (Σw)² / Σw² (Kish 1965, *Survey Sampling*, section 11.7): one row that stands for ten teaches
    as much as one row does, not as ten. Equal weights become 1.
    """
    weight = np.array(evidence.weight)
    group = evidence.stratum * (evidence.offer.max(initial=0) + 2) + evidence.offer + 1
    for each in np.unique(group):
        rows = group == each
        weight[rows] *= weight[rows].sum() / np.square(weight[rows]).sum()
    return replace(evidence, weight=weight)


def _numbers(table: pa.Table, name: str) -> Floats:
    values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        raise BayesPilotError(
            f"{name} is missing in {int((~np.isfinite(values)).sum())} rows of evidence",
            where="int_effect_evidence",
            next_step="dbt build -s +int_effect_evidence",
        )
    return np.asarray(values, dtype=np.float64)


def _positions(table: pa.Table, column: str, names: Sequence[str]) -> Integers:
    """Return the position of each text in ``names``, −1 for null."""
    texts = table[column].cast(pa.string())
    found = pc.index_in(texts, value_set=pa.array(names, pa.string()))
    unknown = pc.and_(pc.is_null(found), pc.is_valid(texts))
    if pc.any(unknown).as_py():
        raise BayesPilotError(
            f"{column} holds an unknown name",
            where="int_effect_evidence",
            values=pc.unique(texts.filter(unknown)).to_pylist(),
            next_step="dbt build -s +int_effect_evidence",
        )
    return np.asarray(pc.fill_null(found, NO_OFFER).to_numpy(), dtype=np.int64)


PICK_HOLDOUTS = STRATA.index("policy")


@dataclass(frozen=True)
class Counts:
    """Customers of each offer × (intercept, signals), shape (k, 1 + s): those with the signal above 0.

    ``expected`` is how many would have churned if left alone: the sum of recalibrated churn probabilities.
    """

    customers: Integers
    churned: Integers
    expected: Floats


def recalibrated(evidence: Evidence, shift: Floats, smallest_probability: float) -> Floats:
    """Return churn probabilities moved by the shift of each row's stratum, of shape (n,).

    Examples
    --------
    >>> row = Evidence(*(np.zeros(1, int),) * 3, np.array([0.5]), np.array([True]), *(np.ones(1),) * 2,
    ...                np.empty((1, 0)))
    >>> recalibrated(row, np.log([3.0, 1.0, 1.0]), 1e-6).round(6).tolist()
    [0.75]
    """
    low = smallest_probability
    clipped = np.clip(evidence.churn_probability, low, 1 - low)
    return np.asarray(expit(logit(clipped) + shift[evidence.stratum]))


def counts_of_contacted(evidence: Evidence, probability: Floats, offers: int) -> Counts:
    """Count those assigned to each offer."""
    return _count(evidence, probability, [evidence.offer == offer for offer in range(offers)])


def counts_of_controls(evidence: Evidence, probability: Floats, offers: int) -> Counts:
    """Count the controls of each offer: its own pick-holdouts, and the controls of every trial."""
    control = evidence.offer == NO_OFFER
    shared = control & (evidence.stratum != PICK_HOLDOUTS)
    own = [control & ~shared & (evidence.compared_offer == offer) for offer in range(offers)]
    return _count(evidence, probability, [shared | mine for mine in own])


def _count(evidence: Evidence, probability: Floats, chosen: list[NDArray[np.bool_]]) -> Counts:
    applies = evidence.design > 0
    cells = [[rows & applies[:, column] for column in range(applies.shape[1])] for rows in chosen]
    return Counts(
        np.array([[int(cell.sum()) for cell in row] for row in cells]),
        np.array([[int(evidence.has_churned[cell].sum()) for cell in row] for row in cells]),
        np.array([[float(probability[cell].sum()) for cell in row] for row in cells]),
    )
