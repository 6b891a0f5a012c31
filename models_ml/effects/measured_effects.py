"""The tables ``int_measured_effects`` and ``int_measured_acceptance``: what the warehouse's evidence says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.optimize import brentq
from scipy.special import expit, logit

from models_ml.effects.posterior import DIGITS, Posterior, effect_posterior
from models_ml.effects.randomised_outcomes import (
    Counts,
    Evidence,
    Priors,
    counts_of_contacted,
    counts_of_controls,
    read_evidence,
    read_priors,
    recalibrated,
)
from models_ml.effects.settings import EffectSettings, load_settings

WIDEST = 40.0  # log-odds; beyond it a share is 0 or 1 to the last digit


@dataclass(frozen=True)
class Acceptance:
    """Share of the contacted who accept, 0 to 1, and the sd of its log-odds."""

    rate: float
    log_odds_sd: float
    is_measured: bool


def acceptance_posterior(
    contacts: int, accepted: int, prior_rate: float, prior_sd: float, measured_below_variance_share: float
) -> Acceptance:
    """Return the Laplace posterior of logit q ~ N(logit prior_rate, prior_sd²) after ``accepted`` of ``contacts``.

    Without contacts, and with a prior rate of exactly 0 or 1 (nothing to accept, or certain to be taken), it is
    the prior exactly.

    Parameters
    ----------
    contacts, accepted : int
        0 ≤ accepted ≤ contacts, randomised contacts that took place.
    prior_rate : float
        In [0, 1].
    prior_sd : float
        > 0, log-odds.
    measured_below_variance_share : float
        The rate is measured once its variance is below this share of the prior's.

    Examples
    --------
    Eight of ten accept where a quarter was expected:

    >>> found = acceptance_posterior(10, 8, 0.25, 0.5, 0.5)
    >>> round(found.rate, 3), round(found.log_odds_sd, 3), found.is_measured
    (0.446, 0.393, False)
    >>> acceptance_posterior(0, 0, 0.25, 0.5, 0.5).rate
    0.25
    """
    if contacts == 0 or prior_rate in (0.0, 1.0):
        return Acceptance(prior_rate, prior_sd, is_measured=False)
    middle, precision = float(logit(prior_rate)), 1.0 / prior_sd**2

    def slope(log_odds: float) -> float:
        return accepted - contacts * float(expit(log_odds)) - precision * (log_odds - middle)

    reach = WIDEST + abs(middle) + contacts / precision  # the slope changes its sign within it
    mode = float(brentq(slope, -reach, reach, xtol=1e-13))
    rate = float(expit(mode))
    sd = 1.0 / math.sqrt(precision + contacts * rate * (1.0 - rate))
    return Acceptance(
        round(rate, DIGITS), round(sd, DIGITS), sd**2 < measured_below_variance_share * prior_sd**2
    )


COUNT_DIGITS = 6
SOURCES = np.array(["assumed", "measured"])

EFFECTS_SCHEMA = pa.schema(
    [
        ("offer", pa.string()),
        ("signal", pa.string()),
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
        ("acceptance_rate", pa.float64()),
        ("acceptance_log_odds_sd", pa.float64()),
        ("acceptance_source", pa.string()),
        ("prior_rate", pa.float64()),
        ("prior_log_odds_sd", pa.float64()),
        ("contacts", pa.int64()),
        ("accepted", pa.int64()),
    ]
)

Cursor = Any  # a DuckDB connection or cursor

# A stated order: the sums below come out the same, bit for bit.
EVIDENCE_ORDER = "stratum, as_of_date, customer_id, offer"


def effects_table(evidence: Evidence, priors: Priors, settings: EffectSettings) -> pa.Table:
    """Return posterior, prior and counts of each offer × signal, the intercept first."""
    found = effect_posterior(evidence, priors, settings)
    probability = recalibrated(evidence, found.shift, settings.smallest_probability)
    offers = len(priors.offers)
    contacted = counts_of_contacted(evidence, probability, offers)
    controls = counts_of_controls(evidence, probability, offers)
    names = ("intercept", *priors.signals)
    columns = {
        "offer": [offer for offer in priors.offers for _ in names],
        "signal": list(names) * offers,
        **_estimates(found, priors),
        **_counted("contacted", contacted),
        **_counted("control", controls),
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in EFFECTS_SCHEMA})


def _estimates(found: Posterior, priors: Priors) -> dict[str, np.ndarray]:
    return {
        "effect_mean": found.mean.ravel(),
        "effect_sd": found.sd.ravel(),
        "effect_source": SOURCES[found.is_measured.astype(int)].ravel(),
        "prior_mean": priors.mean.ravel(),
        "prior_sd": priors.sd.ravel(),
    }


def _counted(who: str, counts: Counts) -> dict[str, np.ndarray]:
    return {
        f"{who}_customers": counts.customers.ravel(),
        f"{who}_churned": counts.churned.ravel(),
        f"{who}_expected": np.round(counts.expected.ravel(), COUNT_DIGITS),
    }


def measured_effects(cursor: Cursor, int_effect_evidence: str, offer_effect_priors: str) -> pa.Table:
    """Return ``int_measured_effects``; empty where there are no priors (an ``--empty`` build).

    Parameters
    ----------
    cursor : duckdb cursor
    int_effect_evidence, offer_effect_priors : str
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
    priors = read_priors(beliefs)
    evidence = read_evidence(cursor.sql(usable).to_arrow_table(), priors)
    return effects_table(evidence, priors, load_settings())


def measured_acceptance(cursor: Cursor, int_effect_evidence: str, int_offers: str) -> pa.Table:
    """Return ``int_measured_acceptance``: one row per offer, from randomised contacts that took place."""
    rows = cursor.execute(
        f"""
        select
            offers.offer,
            offers.acceptance_rate,
            offers.acceptance_sd,
            count(*) filter (where evidence.was_made) as contacts,
            count(*) filter (where evidence.was_made and evidence.has_accepted) as accepted
        from ({int_offers}) as offers
        left join ({int_effect_evidence}) as evidence
            on offers.offer = evidence.offer and evidence.unused_reason is null
        group by offers.offer, offers.acceptance_rate, offers.acceptance_sd
        order by offers.offer
        """
    ).fetchall()
    share = load_settings().measured_below_variance_share
    found = [
        (offer, acceptance_posterior(contacts, accepted, rate, sd, share), rate, sd, contacts, accepted)
        for offer, rate, sd, contacts, accepted in rows
    ]
    columns = [
        [offer for offer, *_ in found],
        [posterior.rate for _, posterior, *_ in found],
        [posterior.log_odds_sd for _, posterior, *_ in found],
        [str(SOURCES[int(posterior.is_measured)]) for _, posterior, *_ in found],
        *([row[position] for row in found] for position in range(2, 6)),
    ]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, ACCEPTANCE_SCHEMA, strict=True)],
        schema=ACCEPTANCE_SCHEMA,
    )
