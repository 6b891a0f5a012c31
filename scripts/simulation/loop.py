"""The loop: write what the business knows, build, execute the actions in the world, and again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dbt_project_copy import ProjectCopy, Usage

from simulation.beliefs import Coefficient, RiskBelief, coefficients, risk_beliefs
from simulation.business import SOURCE, write_raw, write_seeds
from simulation.compiled_project import CompiledProject
from simulation.true_value import DECIDED, DELIVERABLE, MonthValue, read_month, value_month
from simulation.world import World, contacts_of, next_month, raw_tables, start_world

HISTORY_MONTHS = 24
ENDS_ON = np.datetime64("2026-10-31")
WITHOUT_UNIT_TESTS = ("--exclude-resource-types", "unit_test")  # they test code, not data


@dataclass(frozen=True)
class Setting:
    """The settings of one simulation; ``past_trial`` says whether the history holds a randomised trial."""

    customers: int
    months: int
    seed: int
    priors: str
    learning_share: float
    past_trial: bool


@dataclass(frozen=True)
class Month:
    """One month of one simulation; ``number`` counts from 1, ``executed`` the contacts that took place."""

    seed: int
    number: int
    as_of_date: str
    build: Usage
    value: MonthValue
    risks: tuple[RiskBelief, ...]
    coefficients: tuple[Coefficient, ...]
    executed: int
    accepted: int
    cost: float


def set_up(
    setting: Setting, folder: Path, deployed: Path | None = None, copied: type[ProjectCopy] = ProjectCopy
) -> tuple[ProjectCopy, World]:
    """Return a copy of the project in ``folder``, and the world of its business at the end of history.

    Where ``deployed`` names an artifacts folder, its pipeline is deployed from the start; otherwise the first
    build trains one. ``copied`` says how commands run in the copy.
    """
    project = copied.create(folder, folder / "raw")
    if deployed is not None:
        shutil.copytree(deployed, folder / "models_ml" / "artifacts" / SOURCE)
    write_seeds(
        project, customers=setting.customers, learning_share=setting.learning_share, priors=setting.priors
    )
    history = {} if setting.past_trial else {"trial_months": 0}
    world = start_world(
        customers=setting.customers, months=HISTORY_MONTHS, ends_on=ENDS_ON, seed=setting.seed, **history
    )
    return project, world


def run_months(
    setting: Setting,
    project: ProjectCopy,
    world: World,
    build_options: tuple[str, ...] = WITHOUT_UNIT_TESTS,
    compiled: CompiledProject | None = None,
    *,
    with_dbt: bool = True,
) -> Iterator[tuple[Month, World]]:
    """Run month after month; yield each with the world after it.

    Where ``compiled`` is given, it runs every month instead of ``dbt build``; without ``with_dbt``, dbt builds the
    first month only.
    """
    for number in range(1, setting.months + 1):
        write_raw(project, raw_tables(world), world.as_of_date)
        if compiled is None:
            build = project.build(*build_options)
            if not with_dbt and number < setting.months:
                compiled = CompiledProject.of(project, world.as_of_date)
        else:
            build = compiled.run(world.as_of_date)
        delivered, effects = project.read(DELIVERABLE), project.read("from offer_effects order by all")
        with duckdb.connect(str(project.warehouse()), read_only=True) as connection:
            inputs = read_month(connection, world)
        after = next_month(world, contacts_of(world.state, delivered))
        contacts = contacts_since(after, len(world.events["retention_contacts"]))
        month = Month(
            seed=setting.seed,
            number=number,
            as_of_date=str(world.as_of_date),
            build=build,
            value=value_month(inputs, delivered, project.read(DECIDED)),
            risks=tuple(risk_beliefs(inputs)),
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
    setting: Setting,
    folder: Path,
    notify: Callable[[Month], None],
    deployed: Path | None = None,
    *,
    with_dbt: bool = True,
) -> list[Month]:
    """Run one simulation in ``folder`` and return its months; ``notify`` is called after each."""
    months = []
    for month, _ in run_months(setting, *set_up(setting, folder, deployed), with_dbt=with_dbt):
        notify(month)
        months.append(month)
    return months
