"""A world whose business is built once, so that its night can be decided with one set of priors after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
from dbt_project_copy import ProjectCopy
from scipy.special import expit

from simulation.beliefs import INTERCEPT, learnable_acceptance, learnable_coefficients
from simulation.business import Row, rewrite_seed, set_policy, write_raw, write_seeds
from simulation.compiled_project import BEFORE_DECISIONS, CompiledProject
from simulation.loop import Setting, set_up
from simulation.true_value import Floats, MonthInputs, read_month
from simulation.world import World, raw_tables

DEMO = "demo"


@dataclass(frozen=True)
class Errors:
    """Standard normal errors of drawn priors, all times ``sign``: −1 gives the mirror image of a draw."""

    rng: np.random.Generator
    sign: float = 1.0

    def draw(self, *shape: int) -> Floats:
        """Return the next errors, shape ``shape``."""
        return self.sign * np.asarray(self.rng.standard_normal(shape))


def prior_stream(seed: int, draw: int = 0) -> np.random.Generator:
    """Return what draws the priors of a world: a stream of its own, which the world of that seed does not read."""
    return np.random.default_rng(np.random.SeedSequence([seed, draw], spawn_key=(1,)))


@dataclass(frozen=True)
class BuiltWorld:
    """A business after its first night: the project, its world, and what the night decided on."""

    compiled: CompiledProject
    world: World
    inputs: MonthInputs
    setting: Setting

    @cached_property
    def _acceptance(self) -> Floats:
        """Coefficients of accepting that unlimited contacts would give, shape (k, 1 + n_signals)."""
        return learnable_acceptance(self.inputs.truth, self.inputs.signals)

    @contextmanager
    def fork(
        self,
        priors: str = DEMO,
        drawn_by: np.random.Generator | None = None,
        *,
        mirrored: bool = False,
        policy: Mapping[str, float] | None = None,
        learns: bool = True,
    ) -> Iterator[CompiledProject]:
        """Yield a copy of the business that believes other priors; it is removed afterwards.

        Parameters
        ----------
        priors : str
            As in `write_seeds`.
        drawn_by : numpy.random.Generator, optional
            Draws the means of the priors, of effects and of acceptance, around what unlimited randomised data would
            give; their standard deviations stay as they stand.
        mirrored : bool
            Whether each error of the drawn means has the opposite sign. A draw and its mirror image (antithetic draws)
            cancel what one lucky draw adds to a mean over few of them.
        policy : mapping, optional
            Parameters of ``policy.csv`` with other values, such as ``{"learning_share": 0.0}``.
        learns : bool
            Whether evidence reaches the effects of offers.
        """
        with TemporaryDirectory(prefix="bayespilot-") as folder:
            fork = dataclasses.replace(self.compiled.fork(Path(folder) / "business"), learns=learns)
            write_seeds(
                fork.project,
                customers=self.setting.customers,
                learning_share=self.setting.learning_share,
                priors=priors,
            )
            if policy:
                set_policy(fork.project, policy)
            if drawn_by is not None:
                errors = Errors(drawn_by, -1.0 if mirrored else 1.0)
                rewrite_seed(fork.project, "offer_effect_priors", partial(self._drawn_priors, errors=errors))
                rewrite_seed(fork.project, "offers", partial(self._drawn_rates, errors=errors))
            fork.load_seeds()
            yield fork

    def _drawn_priors(self, rows: list[Row], errors: Errors) -> list[Row]:
        inputs = self.inputs
        offers = [offer.offer for offer in inputs.decision.offers]
        signals = [INTERCEPT, *inputs.decision.effects.signals]
        drawn = drawn_priors(
            rows,
            learnable_coefficients(inputs.truth, inputs.signals, inputs.customers.churn_probability),
            offers,
            signals,
            inputs.decision.policy.offer_effect_correlation,
            errors,
        )
        return drawn_slopes(drawn, self._acceptance, offers, signals, errors)

    def _drawn_rates(self, rows: list[Row], errors: Errors) -> list[Row]:
        """Return offers.csv with rates drawn around those of customers whose signals are the mean of the contacted."""
        acceptance = self.inputs.decision.acceptance
        log_odds = self._acceptance[:, 0] + (self._acceptance[:, 1:] * acceptance.centre).sum(axis=1)

        def drawn(row: Row) -> Row:
            mean = log_odds[acceptance.offers.index(row["offer"])]
            rate = expit(mean + float(row["acceptance_sd"]) * float(errors.draw()))
            return {**row, "acceptance_rate": f"{rate:.6f}"}

        return [drawn(row) for row in rows]


def built_world(
    setting: Setting, folder: Path, deployed: Path | None = None, copied: type[ProjectCopy] = ProjectCopy
) -> BuiltWorld:
    """Build the business of a new world in ``folder``; where ``deployed`` names artifacts, nothing is trained."""
    project, world = set_up(setting, folder, deployed, copied)
    write_raw(project, raw_tables(world), world.as_of_date)
    project.build(*BEFORE_DECISIONS)
    compiled = CompiledProject.of(project, world.as_of_date)
    return BuiltWorld(compiled, world, read_inputs(compiled, world), setting)


def read_inputs(compiled: CompiledProject, world: World) -> MonthInputs:
    """Read what the latest night decided on."""
    with duckdb.connect(str(compiled.project.warehouse()), read_only=True) as connection:
        return read_month(connection, world)


def drawn_priors(
    rows: list[Row],
    target: Floats,
    offers: list[str],
    signals: list[str],
    correlation: float,
    errors: Errors,
) -> list[Row]:
    """Return the seed's rows with means drawn around ``target`` (offers, signals), sds as they stand.

    Errors of two offers on one signal are correlated, as the priors say.
    """
    shared, own = errors.draw(len(signals)), errors.draw(*target.shape)
    noise = np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own

    def drawn(row: Row) -> Row:
        at = offers.index(row["offer"]), signals.index(row["signal"])
        return {**row, "mean": f"{target[at] + float(row['sd']) * noise[at]:.6f}"}

    return [drawn(row) for row in rows]


def drawn_slopes(
    rows: list[Row], target: Floats, offers: list[str], signals: list[str], errors: Errors
) -> list[Row]:
    """Return the seed's rows with beliefs about acceptance drawn around ``target`` (offers, signals).

    Their standard deviations stay; where nothing is believed, nothing is drawn.
    """

    def drawn(row: Row) -> Row:
        if not row["acceptance_sd"]:
            return row
        mean = target[offers.index(row["offer"]), signals.index(row["signal"])]
        return {
            **row,
            "acceptance_mean": f"{mean + float(row['acceptance_sd']) * float(errors.draw()):.6f}",
        }

    return [drawn(row) for row in rows]
