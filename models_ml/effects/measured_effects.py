"""The tables ``int_measured_effects`` and ``int_measured_acceptance``: what the warehouse's evidence says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit, logit

from models_ml.decisions.offer_beliefs import AcceptanceModel
from models_ml.decisions.policy import read_policy, seed_bounds
from models_ml.effects.acceptance_model import AcceptancePriors, ContactOutcomes, fit_acceptance
from models_ml.effects.effect_posterior import (
    DIGITS,
    EffectPosterior,
    EffectPriors,
    Floats,
    Integers,
    RandomisedEpisodes,
    effect_posterior,
    shares_reached,
)
from models_ml.effects.effect_settings import EffectSettings, load_settings
from models_ml.errors import BayesPilotError

Cursor = Any  # a DuckDB connection or cursor
Bools = NDArray[np.bool_]

INTERCEPT = "intercept"
POLICY = "policy"  # stratum in which an offer is compared with its own holdouts
NO_OFFER = -1
SOURCES = np.array(["assumed", "measured"])
# A stated order: the sums below come out the same, bit for bit.
EVIDENCE_ORDER = "stratum, as_of_date, customer_id, offer"

EFFECTS_SCHEMA = pa.schema(
    [
        ("offer", pa.string()),
        ("signal", pa.string()),
        ("other_offer", pa.string()),
        ("other_signal", pa.string()),
        ("covariance", pa.float64()),
        ("effect_mean", pa.float64()),
        ("effect_sd", pa.float64()),
        ("effect_source", pa.string()),
        ("prior_mean", pa.float64()),
        ("prior_sd", pa.float64()),
        ("contacted_customers", pa.int64()),
        ("contacted_churned", pa.int64()),
        ("contacted_expected", pa.float64()),
        ("control_customers", pa.int64()),
        ("control_churned", pa.int64()),
        ("control_expected", pa.float64()),
    ]
)
ACCEPTANCE_SCHEMA = pa.schema(
    [
        ("offer", pa.string()),
        ("feature", pa.string()),
        ("log_odds", pa.float64()),
        ("log_odds_sd", pa.float64()),
        ("feature_mean", pa.float64()),
        ("acceptance_source", pa.string()),
        ("prior_rate", pa.float64()),
        ("prior_log_odds_sd", pa.float64()),
        ("contacts", pa.int64()),
        ("accepted", pa.int64()),
    ]
)
COUNT_DIGITS = 6


@dataclass(frozen=True)
class Evidence:
    """Episodes of n customers, and what chance assigned to each.

    ``offer`` (n,) is the position of the assigned offer, −1 for a control; ``compared_offer`` (n,) that of the offer
    whose cell the row belongs to, −1 in trials; ``reached`` (n,) that of the offer that first reached the customer, −1
    for none.
    """

    episodes: RandomisedEpisodes
    offer: Integers
    compared_offer: Integers
    reached: Integers


def measured_effects(
    cursor: Cursor, int_effect_evidence: str, offer_effect_priors: str, int_policy_parameters: str
) -> pa.Table:
    """Return ``int_measured_effects``; empty where there are no priors (an ``--empty`` build).

    Parameters
    ----------
    cursor : duckdb cursor
    int_effect_evidence, offer_effect_priors, int_policy_parameters : str
        Selects that yield the tables of these names.

    Raises
    ------
    BayesPilotError
        When priors or evidence are incomplete.
    """
    beliefs = cursor.sql(offer_effect_priors).to_arrow_table()
    if not beliefs.num_rows:
        return EFFECTS_SCHEMA.empty_table()
    usable = f"select * from ({int_effect_evidence}) where unused_reason is null order by {EVIDENCE_ORDER}"
    policy = read_policy(cursor.sql(int_policy_parameters).to_arrow_table())
    priors = read_priors(beliefs, policy.offer_effect_correlation)
    settings, _ = load_settings()
    evidence = read_evidence(cursor.sql(usable).to_arrow_table(), priors, settings)
    return effects_table(evidence, priors, settings)


def read_priors(table: pa.Table, correlation: float) -> EffectPriors:
    """Read ``offer_effect_priors``; offers and signals in the order of their names.

    Raises
    ------
    BayesPilotError
        When an offer lacks a signal's prior, or a value is missing or outside the bounds of its seed.
    """
    rows = {(row["offer"], row["signal"]): row for row in table.to_pylist()}
    offers = tuple(sorted({offer for offer, _ in rows}))
    signals = tuple(sorted({signal for _, signal in rows} - {INTERCEPT}))
    pairs = [(offer, signal) for offer in offers for signal in (INTERCEPT, *signals)]
    wrong = [pair for pair in pairs if pair not in rows or not _is_prior(rows[pair])]
    if wrong:
        raise BayesPilotError(
            "an offer needs a prior with a mean and an sd within their bounds for the intercept and every signal",
            where="seeds/<source>/offer_effect_priors.csv",
            values=[f"{offer}, {signal}" for offer, signal in wrong],
            next_step="correct the rows, then run dbt build",
        )
    values = np.array([[rows[pair]["mean"], rows[pair]["sd"]] for pair in pairs], dtype=np.float64)
    shaped = values.reshape(len(offers), 1 + len(signals), 2)
    return EffectPriors(offers, signals, shaped[..., 0], shaped[..., 1], correlation)


def _is_prior(row: dict[str, float | None]) -> bool:
    bounds = seed_bounds("offer_effect_priors")
    return all(
        (value := row[name]) is not None and bounds[name].admits_number(value) for name in ("mean", "sd")
    )


def read_evidence(table: pa.Table, priors: EffectPriors, settings: EffectSettings) -> Evidence:
    """Read the usable rows of ``int_effect_evidence``, in the order given.

    A cell holds the assignments whose churn without contact is estimated together: one per offer that holdouts are
    compared with, one for trials, one for past trials. An arm holds those of one cell, assignment and month.

    Raises
    ------
    BayesPilotError
        When a row names an unknown offer, or lacks a number.
    """
    signals = [_numbers(table, f"signal_{name}") for name in priors.signals]
    offer, compared = (_positions(table, name, priors.offers) for name in ("offer", "compared_offer"))
    stratum = table["stratum"].to_pylist()
    keys = [
        f"{name}: {priors.offers[against]}" if against >= 0 else str(name)
        for name, against in zip(stratum, compared, strict=True)
    ]
    cells, cell = np.unique(np.array(keys, dtype=str), return_inverse=True)
    months = table["as_of_date"].cast(pa.date32()).to_numpy().astype("datetime64[M]").astype(np.int64)
    _, assignment = _numbered(cell, offer)
    _, arm = _numbered(assignment, months)
    reached = _positions(table, "reached_offer", priors.offers, unknown=NO_OFFER)
    reach = shares_reached(arm, assignment, reached, len(priors.offers), settings.reach_before_evidence)
    return Evidence(
        RandomisedEpisodes(
            cells=tuple(cells.tolist()) or (POLICY,),
            cell=cell,
            arm=arm,
            reach=reach,
            churn_probability=_numbers(table, "churn_probability"),
            has_churned=table["has_churned"].to_numpy().astype(bool),
            signals=np.column_stack(signals) if signals else np.empty((table.num_rows, 0)),
        ),
        offer,
        compared,
        reached,
    )


def _numbered(first: Integers, second: Integers) -> tuple[Integers, Integers]:
    """Return the distinct pairs of two whole numbers, and the position of each row's pair among them."""
    pairs = np.column_stack([first, second])
    distinct, position = np.unique(pairs, axis=0, return_inverse=True)
    return distinct, np.asarray(position, dtype=np.int64).ravel()


def effects_table(evidence: Evidence, priors: EffectPriors, settings: EffectSettings) -> pa.Table:
    """Return covariances of all pairs of effects and, of each effect, posterior, prior and counts."""
    found = effect_posterior(evidence.episodes, priors, settings)
    names = (INTERCEPT, *priors.signals)
    keys = [(offer, signal) for offer in priors.offers for signal in names]
    effects = _effects(found, evidence, priors, settings)
    rows = [
        {
            "offer": key[0],
            "signal": key[1],
            "other_offer": other[0],
            "other_signal": other[1],
            "covariance": float(found.beliefs.covariance[at, beside]),
            **(effects[at] if at == beside else {}),
        }
        for at, key in enumerate(keys)
        for beside, other in enumerate(keys)
    ]
    complete = [{name: row.get(name) for name in EFFECTS_SCHEMA.names} for row in rows]
    return pa.Table.from_pylist(complete, schema=EFFECTS_SCHEMA)


def _effects(
    found: EffectPosterior, evidence: Evidence, priors: EffectPriors, settings: EffectSettings
) -> list[dict[str, Any]]:
    """Return posterior, prior and counts of each effect, offer by offer, the intercept first."""
    beliefs = found.beliefs
    probability = recalibrated(evidence.episodes, found.calibration, settings.smallest_probability)
    columns = {
        "effect_mean": beliefs.mean,
        "effect_sd": np.round(np.sqrt(np.diag(beliefs.covariance)), DIGITS).reshape(priors.sd.shape),
        "effect_source": SOURCES[beliefs.is_measured.astype(int)],
        "prior_mean": priors.mean,
        "prior_sd": priors.sd,
    }
    for name, chosen in (
        ("contacted", _contacted(evidence, priors)),
        ("control", _controls(evidence, priors)),
    ):
        columns |= _counted(name, chosen, evidence.episodes, probability)
    flat = {name: values.ravel().tolist() for name, values in columns.items()}
    return [{name: values[at] for name, values in flat.items()} for at in range(priors.mean.size)]


def recalibrated(episodes: RandomisedEpisodes, calibration: Floats, smallest_probability: float) -> Floats:
    """Return churn probabilities moved by the calibration of each row's cell, of shape (n,).

    Examples
    --------
    >>> none = np.zeros(1, int)
    >>> row = RandomisedEpisodes(("a",), none, none, np.zeros((1, 0)), np.array([0.5]), none > 0, np.empty((1, 0)))
    >>> recalibrated(row, np.log([[3.0]]), 1e-6).round(6).tolist()
    [0.75]
    """
    low = smallest_probability
    design = np.column_stack([np.ones(len(episodes.cell)), episodes.signals])
    moved = np.einsum("ij,ij->i", design, calibration[episodes.cell])
    return np.asarray(expit(logit(np.clip(episodes.churn_probability, low, 1 - low)) + moved))


def _contacted(evidence: Evidence, priors: EffectPriors) -> list[Bools]:
    """Return which rows were assigned each offer."""
    return [evidence.offer == offer for offer in range(len(priors.offers))]


def _controls(evidence: Evidence, priors: EffectPriors) -> list[Bools]:
    """Return the controls of each offer: its own holdouts, and the controls of every trial."""
    control = evidence.offer == NO_OFFER
    shared = control & (evidence.compared_offer == NO_OFFER)
    return [shared | (control & (evidence.compared_offer == offer)) for offer in range(len(priors.offers))]


def _counted(
    name: str, chosen: list[Bools], episodes: RandomisedEpisodes, probability: Floats
) -> dict[str, np.ndarray]:
    """Count rows with the signal above 0, leavers among them, and how many would have left if left alone."""
    applies = np.column_stack([np.ones(len(episodes.cell)), episodes.signals]) > 0
    cells = [[rows & applies[:, column] for column in range(applies.shape[1])] for rows in chosen]
    counts = {
        "customers": [[int(cell.sum()) for cell in row] for row in cells],
        "churned": [[int(episodes.has_churned[cell].sum()) for cell in row] for row in cells],
        "expected": [[round(float(probability[cell].sum()), COUNT_DIGITS) for cell in row] for row in cells],
    }
    return {f"{name}_{what}": np.array(values) for what, values in counts.items()}


def measured_acceptance(
    cursor: Cursor,
    int_effect_evidence: str,
    int_offers: str,
    int_offer_effect_priors: str,
    int_measured_effects: str,
) -> pa.Table:
    """Return ``int_measured_acceptance``: the coefficients of each offer, from the contacts of the evidence.

    Each argument but the first is a select that yields the table of its name.

    Raises
    ------
    BayesPilotError
        When a signal of a contacted customer is missing.
    """
    offers = cursor.sql(f"select * from ({int_offers}) order by offer").to_arrow_table()
    usable = f"select * from ({int_effect_evidence}) where unused_reason is null order by {EVIDENCE_ORDER}"
    table = cursor.sql(usable).to_arrow_table()
    features = tuple(
        sorted(name.removeprefix("signal_") for name in table.column_names if name.startswith("signal_"))
    )
    effects = {
        (offer, signal): mean
        for offer, signal, mean in cursor.execute(
            f"select offer, signal, effect_mean from ({int_measured_effects}) where effect_mean is not null"
        ).fetchall()
    }
    believed = {
        (offer, signal): (mean, sd)
        for offer, signal, mean, sd in cursor.execute(
            f"select offer, signal, acceptance_mean, acceptance_sd from ({int_offer_effect_priors})"
            " where acceptance_sd is not null"
        ).fetchall()
    }
    names = tuple(offers["offer"].to_pylist())
    pairs = [(offer, feature) for offer in names for feature in features]
    shape = len(names), len(features)  # a build with --empty knows no offer
    slopes = np.array([believed.get(pair, (0.0, np.nan)) for pair in pairs]).reshape(*shape, 2)
    priors = AcceptancePriors(
        names,
        rate=np.array(offers["acceptance_rate"].to_pylist(), dtype=np.float64),
        sd=np.array(offers["acceptance_sd"].to_pylist(), dtype=np.float64),
        effect=np.array([effects.get(pair, 0.0) for pair in pairs]).reshape(shape),
        slope_mean=slopes[..., 0],
        slope_sd=slopes[..., 1],
    )
    reached = _positions(table, "reached_offer", priors.offers, unknown=NO_OFFER)
    contacts = np.flatnonzero(reached >= 0)
    shown = np.column_stack([_numbers(table, f"signal_{name}") for name in features])
    outcomes = ContactOutcomes(
        reached[contacts], shown[contacts], table["has_accepted"].to_numpy().astype(bool)[contacts]
    )
    settings, acceptance = load_settings()
    model = fit_acceptance(outcomes, priors, features, acceptance, settings.measured_below_variance_share)
    return acceptance_table(model, priors, outcomes)


def acceptance_table(model: AcceptanceModel, priors: AcceptancePriors, outcomes: ContactOutcomes) -> pa.Table:
    """Return one row per offer and coefficient, the intercept first."""
    contacts = np.bincount(outcomes.offer, minlength=len(priors.offers))
    accepted = np.bincount(outcomes.offer[outcomes.has_accepted], minlength=len(priors.offers))
    rows = [
        {
            "offer": offer,
            "feature": feature,
            "log_odds": float(model.log_odds[at, place]),
            "log_odds_sd": float(model.sd[at, place]),
            "feature_mean": float(model.centre[at, place - 1]) if place else 0.0,
            "acceptance_source": str(SOURCES[int(model.is_measured[at])]),
            "prior_rate": float(priors.rate[at]),
            "prior_log_odds_sd": float(priors.sd[at]),
            "contacts": int(contacts[at]),
            "accepted": int(accepted[at]),
        }
        for at, offer in enumerate(priors.offers)
        for place, feature in enumerate((INTERCEPT, *model.features))
    ]
    return pa.Table.from_pylist(rows, schema=ACCEPTANCE_SCHEMA)


def _numbers(table: pa.Table, name: str) -> Floats:
    values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        raise BayesPilotError(
            f"{name} is missing in {int((~np.isfinite(values)).sum())} rows of evidence",
            where="int_effect_evidence",
            next_step="dbt build -s +int_effect_evidence",
        )
    return np.asarray(values, dtype=np.float64)


def _positions(table: pa.Table, column: str, names: Sequence[str], *, unknown: int | None = None) -> Integers:
    """Return the position of each text in ``names``, −1 for null; an unknown text is ``unknown``, or an error."""
    texts = table[column].cast(pa.string())
    found = pc.index_in(texts, value_set=pa.array(names, pa.string()))
    is_unknown = pc.and_(pc.is_null(found), pc.is_valid(texts))
    if unknown is None and pc.any(is_unknown).as_py():
        raise BayesPilotError(
            f"{column} holds an unknown name",
            where="int_effect_evidence",
            values=pc.unique(texts.filter(is_unknown)).to_pylist(),
            next_step="dbt build -s +int_effect_evidence",
        )
    return np.asarray(pc.fill_null(found, NO_OFFER).to_numpy(), dtype=np.int64)
