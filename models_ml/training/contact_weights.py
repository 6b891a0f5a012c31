r"""Weights of customers left alone where contacts fell that no logged draw explains: past campaigns, other teams.

Who was contacted within the horizon does not teach how customers leave if left alone. To drop them is not enough: who
leaves early cannot be contacted any more, and who is thought risky is contacted more often, so that those left alone
hold too many early leavers and too few risky stayers. A contact is a censoring time; within groups of equal risk, it is
taken to come by chance. Everybody not contacted then stands for those who were (inverse probability of censoring;
Robins & Finkelstein 2000, *Biometrics* 56, equation 2):

    w = 1 / G(t),        G(t) = Π over days u ≤ t of (1 − contacted on u / not contacted and still there before u)

G is the Kaplan–Meier estimate for the contacts of the group, t the day before the customer left, or the horizon. Groups
are tenths of churn probability, by a logistic regression fitted to those left alone. Whom a logged draw left alone has
the weight of the draw and takes no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import rankdata

from models_ml.training.examples import WEIGHT, ExampleReader, Examples
from models_ml.training.pipeline import fit_estimator, uncalibrated_log_odds
from models_ml.training.settings import TrainingSettings

RISK_MODEL = "logistic_regression"
NEVER = np.iinfo(np.int64).max

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def read_examples(
    reader: ExampleReader, dates: Sequence[date], at_most: int, settings: TrainingSettings
) -> Examples:
    """Read the rows of customers left alone, weighted for contacts that no logged draw explains.

    Raises
    ------
    BayesPilotError
        If a value is infinite, or a weight is not positive.
    """
    if not reader.has_unexplained_contacts(dates):
        return reader.read(dates, at_most)
    examples = reader.read(dates, at_most, with_unexplained=True)
    contact = _days(examples, "days_to_unexplained_contact")
    left_alone = pa.array(contact == NEVER)
    kept = replace(examples, table=examples.table.filter(left_alone))
    if kept.table.num_rows == examples.table.num_rows or len(np.unique(kept.has_churned)) < 2:
        return kept
    takes_part = (contact < NEVER) | (examples.example_weight == 1.0)
    weight = examples.example_weight.copy()
    weight[takes_part] = contact_weights(
        contact[takes_part],
        _days(examples, "days_to_departure")[takes_part],
        _risk_groups(kept, replace(examples, table=examples.table.filter(pa.array(takes_part))), settings),
        settings.contacts.smallest_probability,
    )
    column = examples.table.column_names.index(WEIGHT)
    weighted = examples.table.set_column(column, WEIGHT, pa.array(weight))
    return replace(examples, table=weighted.filter(left_alone))


def contact_weights(
    days_to_contact: Integers, days_to_departure: Integers, group: Integers, smallest_probability: float
) -> Floats:
    """Return the weight of each customer-date, 0 where it was contacted, shape (n,).

    Parameters
    ----------
    days_to_contact, days_to_departure : ndarray of int of shape (n,)
        ≥ 1; ``NEVER`` where it did not happen within the horizon. A contact on the day of leaving came too late.
    group : ndarray of int of shape (n,)
        ≥ 0: within a group, who is contacted is taken to be chance.
    smallest_probability : float
        In (0, 1]: a probability of not being contacted below it counts as it, so that no weight exceeds its inverse.

    Examples
    --------
    Five customers: one leaves on day 1, one of the other four is contacted on day 2, one leaves on day 3. The leaver of
    day 1 could not have been missed; the others stand for 4 / 3 customers each.

    >>> contact = np.array([NEVER, 2, NEVER, NEVER, NEVER])
    >>> departure = np.array([1, NEVER, 3, NEVER, NEVER])
    >>> contact_weights(contact, departure, np.zeros(5, int), 0.05).round(3).tolist()
    [1.0, 0.0, 1.333, 1.333, 1.333]
    """
    weight = np.zeros(len(group))
    for each in np.unique(group):
        rows = np.flatnonzero(group == each)
        weight[rows] = _weights_of_group(days_to_contact[rows], days_to_departure[rows], smallest_probability)
    return weight


def _weights_of_group(contact: Integers, departure: Integers, smallest_probability: float) -> Floats:
    is_contacted = contact < departure
    days, contacts = np.unique(contact[is_contacted], return_counts=True)
    last_seen = np.sort(np.minimum(contact, departure))
    there = len(contact) - np.searchsorted(last_seen, days, side="left")
    too_late = np.array([np.sum((departure == day) & ~is_contacted) for day in days], dtype=np.int64)
    never = np.concatenate([[1.0], np.cumprod(1.0 - contacts / (there - too_late))])
    left_alone = never[np.searchsorted(days, departure, side="left")]
    return np.where(is_contacted, 0.0, 1.0 / np.maximum(left_alone, smallest_probability))


def _risk_groups(left_alone: Examples, examples: Examples, settings: TrainingSettings) -> Integers:
    """Return the group of equal risk of each example, 0 for the lowest."""
    encoder, estimator = fit_estimator(
        RISK_MODEL, left_alone, left_alone.schema, settings, settings.candidates[RISK_MODEL]
    )
    log_odds = uncalibrated_log_odds(encoder, estimator, examples.features)
    share = (rankdata(log_odds, method="average") - 0.5) / len(log_odds)
    return np.floor(settings.contacts.risk_groups * share).astype(np.int64)


def _days(examples: Examples, name: str) -> Integers:
    """Return a column of days, ``NEVER`` where it is null."""
    days = pc.fill_null(examples.table[name].cast(pa.int64()), NEVER)
    return np.asarray(days.to_numpy(), dtype=np.int64)
