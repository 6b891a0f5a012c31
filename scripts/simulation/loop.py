"""The loop itself: write what the business knows, build, deliver, let the world react, again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from demo_world.truth import truth

from simulation.appraisal import DECIDED, DELIVERABLE, Appraisal, appraise, read_inputs
from simulation.beliefs import Coefficient, RiskBelief, coefficients, risk_beliefs
from simulation.business import SOURCE, BuildTime, Business, found_business
from simulation.seeds import set_up
from simulation.world import World, contacts_of, found_world, next_month, raw_tables

HISTORY_MONTHS = 24
ENDS_ON = np.datetime64("2026-10-31")


@dataclass(frozen=True)
class Setting:
    """What one simulation is about; ``past_trial`` says whether the history holds a randomised trial."""

    customers: int
    months: int
    seed: int
    priors: str
    trial_share: float
    past_trial: bool


@dataclass(frozen=True)
class Month:
    """One month of one simulation; ``number`` counts from 1, ``executed`` the contacts that took place."""

    seed: int
    number: int
    as_of_date: str
    build: BuildTime
    appraisal: Appraisal
    risks: tuple[RiskBelief, ...]
    coefficients: tuple[Coefficient, ...]
    executed: int
    accepted: int
    cost: float


def found(setting: Setting, folder: Path, deployed: Path | None = None) -> tuple[Business, World]:
    """Set up a copy of the project in ``folder``, and the world that it serves.

    Where ``deployed`` names an artifacts folder, its pipeline is deployed from the start; otherwise the first
    build trains one.
    """
    business = found_business(folder)
    if deployed is not None:
        shutil.copytree(deployed, folder / "models_ml" / "artifacts" / SOURCE)
    set_up(business, customers=setting.customers, trial_share=setting.trial_share, priors=setting.priors)
    history = {} if setting.past_trial else {"trial_months": 0}
    world = found_world(
        customers=setting.customers, months=HISTORY_MONTHS, ends_on=ENDS_ON, seed=setting.seed, **history
    )
    return business, world


def play(setting: Setting, business: Business, world: World) -> Iterator[tuple[Month, World]]:
    """Play month after month; yield each with the world after it."""
    for number in range(1, setting.months + 1):
        business.write_raw(raw_tables(world), world.as_of_date)
        build = business.build()
        delivered, effects = business.read(DELIVERABLE), business.read("from offer_effects order by all")
        inputs = read_inputs(business, truth(world.state))
        after = next_month(world, contacts_of(world.state, delivered))
        contacts = contacts_since(after, len(world.events["retention_contacts"]))
        month = Month(
            seed=setting.seed,
            number=number,
            as_of_date=str(world.as_of_date),
            build=build,
            appraisal=appraise(inputs, delivered, business.read(DECIDED)),
            risks=tuple(risk_beliefs(inputs, effects)),
            coefficients=tuple(coefficients(inputs, effects)),
            executed=len(contacts),
            accepted=len(contacts) - contacts["accepted_on"].null_count,
            cost=float(pc.sum(contacts["cost"]).as_py() or 0),
        )
        yield month, after
        world = after


def contacts_since(world: World, earlier: int) -> pa.Table:
    """Return the contact records that came after the first ``earlier`` ones."""
    return world.events["retention_contacts"].slice(earlier)


def simulate(
    setting: Setting, folder: Path, report: Callable[[Month], None], deployed: Path | None = None
) -> list[Month]:
    """Play one simulation in ``folder`` and return its months; ``report`` hears of each as it ends."""
    months = []
    for month, _ in play(setting, *found(setting, folder, deployed)):
        report(month)
        months.append(month)
    return months
