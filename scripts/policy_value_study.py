"""Check estimates of the value of a policy where that value is known: coverage of intervals, and errors.

    python scripts/policy_value_study.py --replications 1000 --holdout 0.05,0.1,0.2
    python scripts/policy_value_study.py --promotion FOLDER

The first command simulates a business: customers, policy, holdouts, outcomes. Churn, its estimate and the effect of
every offer are drawn, so that the expected value of each planned contact is known exactly: p0 (1 − ρ) V − cost. The
policy assumes other effects than the true ones. The second command reads train.parquet of a real randomised promotion
and compares the estimates with the plain contrast of its two groups.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
import typer
from option_values import holdout_shares
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.special import expit

from models_ml.decisions.randomisation import NOT_CHOSEN, POLICY, SUPPRESSED, propensities, withhold
from models_ml.errors import BayesPilotError
from models_ml.evaluation import PolicyValue, policy_value
from models_ml.evaluation.contrasts import Moments, contrast_of_moments
from models_ml.evaluation.intervals import Estimate
from models_ml.terminal import table_console

CONTACT_COST = np.array([0.30, 11.0])  # an e-mail; a call with its share of accepted discounts
TRUE_RISK = np.array([0.93, 0.72])  # mean relative risk of both
BELIEVED_RISK = np.array([0.88, 0.80])
VALUE_SPREAD = 1.0  # standard deviation of log value, between a subscription (0.6) and a shop (1.2)
CAPACITY_PRICE = np.array([1.5, 4.0])  # a contact must earn so much beyond its cost, as under a capacity

COVERAGE = (0.92, 0.98)  # target of doubly robust intervals
RMSE_RATIO = 0.40  # target of doubly robust to self-normalised, rewards counted as retained margin
COMPARED = (("dr", "margin"), ("snips", "margin"), ("snips", "loss"), ("ips", "margin"), ("ips", "loss"))
SALE, MAILING = 10.0, 0.15  # dollars
MAILED_WITH = 0.5
FEATURES = [f"V{number}" for number in range(1, 8)]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = table_console()


@dataclass(frozen=True)
class Logged:
    """Customer-months, one row each: all arrays have shape (n,); money in one currency.

    ``planned`` is the action of the policy, 0 for none; ``true_value`` its expected value compared with leaving the
    customer alone; ``predicted_nothing`` and ``predicted_planned`` are the rewards that the policy expects. ``loss``
    is minus the value of churned customers, minus cost.
    """

    customer: np.ndarray
    planned: np.ndarray
    is_contacted: np.ndarray
    propensity: np.ndarray
    customer_value: np.ndarray
    loss: np.ndarray
    predicted_nothing: np.ndarray
    predicted_planned: np.ndarray
    true_value: np.ndarray


def simulate_months(*, customers: int, months: int, holdout: float, random: np.random.Generator) -> Logged:
    """Simulate some months of a new population under the policy.

    Parameters
    ----------
    customers, months : int, >= 1
    holdout : float, 0.05 to 0.95
        Share of the chosen customers that is not contacted.
    random : numpy.random.Generator
    """
    risk = random.normal(-3.7, 1.0, customers)  # log-odds of leaving within a month
    value = np.round(np.exp(random.normal(5.0, VALUE_SPREAD, customers)), 2)
    customer, resting = np.arange(customers), np.zeros(customers, dtype=bool)
    months_simulated = []
    for _ in range(months):
        logged, left = _month(customer, risk[customer], value[customer], resting, holdout, random)
        months_simulated.append(logged)
        resting = (logged.planned > 0)[~left]  # cool-down; held out customers rest for the horizon too
        customer = customer[~left]
    joined = {name: np.concatenate([getattr(month, name) for month in months_simulated]) for name in _NAMES}
    return Logged(**joined)


_NAMES = [field.name for field in fields(Logged)]


def _month(
    customer: np.ndarray,
    risk: np.ndarray,
    value: np.ndarray,
    resting: np.ndarray,
    holdout: float,
    random: np.random.Generator,
) -> tuple[Logged, np.ndarray]:
    """Return the rows of a month, and whether each customer left in it."""
    rows = np.arange(len(customer))
    risk = risk + random.normal(0.0, 0.6, len(rows))
    churn = expit(risk)
    believed = expit(risk + random.normal(0.0, 0.35, len(rows)))
    planned = _plan(believed, value, resting)
    arms = np.where(resting, SUPPRESSED, NOT_CHOSEN).astype(np.int8)
    arms = withhold(arms, planned - 1, random.random(len(rows)), holdout)
    propensity, _ = propensities(arms, np.ones(len(rows)), np.ones(len(rows)), holdout)
    effect = np.concatenate(
        [np.ones((len(rows), 1)), TRUE_RISK + random.normal(0.0, 0.08, (len(rows), 2))], 1
    )
    cost = np.concatenate([[0.0], CONTACT_COST])
    is_contacted = arms == POLICY
    action = np.where(is_contacted, planned, 0)
    left = random.random(len(rows)) < churn * effect[rows, action]
    believed_effect = np.concatenate([[1.0], BELIEVED_RISK])
    return Logged(
        customer=customer,
        planned=planned,
        is_contacted=is_contacted,
        propensity=propensity,
        customer_value=value,
        loss=-(left * value) - cost[action],
        predicted_nothing=-believed * value,
        predicted_planned=-believed * believed_effect[planned] * value - cost[planned],
        true_value=churn * (1.0 - effect[rows, planned]) * value - cost[planned],
    ), left


def _plan(believed: np.ndarray, value: np.ndarray, resting: np.ndarray) -> np.ndarray:
    """Return the action planned for each customer, 0 for none: the best after the price of its capacity."""
    gain = (believed * value)[:, None] * (1.0 - BELIEVED_RISK) - CONTACT_COST - CAPACITY_PRICE
    return np.where((gain.max(axis=1) > 0) & ~resting, gain.argmax(axis=1) + 1, 0)


@dataclass(frozen=True)
class Outcome:
    """One method over all replications: ``error`` (n,) is the estimate minus the truth, money in total."""

    method: str
    reward: str
    error: np.ndarray
    half_width: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of intervals that contain the truth."""
        return float(np.mean(np.abs(self.error) <= self.half_width))

    @property
    def bias(self) -> float:
        """Mean error, in standard errors of that mean; beyond ±3 an estimator is biased."""
        return float(self.error.mean() / (self.error.std(ddof=1) / np.sqrt(len(self.error))))

    @property
    def rmse(self) -> float:
        """Root-mean-square error."""
        return float(np.sqrt(np.mean(self.error**2)))


def study(
    *,
    replications: int,
    holdout: float,
    customers: int,
    months: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Simulate the business repeatedly; return every method and reward of ``COMPARED``.

    Parameters
    ----------
    replications, customers, months : int, >= 2, >= 1, >= 1
    holdout : float, 0.05 to 0.95
    seed : int
    advance : callable
        Called after every replication.
    """
    found = np.zeros((replications, len(COMPARED), 2))
    for replication in range(replications):
        logged = simulate_months(
            customers=customers,
            months=months,
            holdout=holdout,
            random=np.random.default_rng([seed, replication, round(1000 * holdout)]),
        )
        truth = float(logged.true_value[logged.planned > 0].sum())
        for position, (method, reward) in enumerate(COMPARED):
            estimate = _estimate(logged, method, reward).times(len(logged.customer))
            found[replication, position] = estimate.value - truth, (estimate.high - estimate.low) / 2
        advance()
    return [Outcome(*key, *found[:, position].T) for position, key in enumerate(COMPARED)]


def _estimate(logged: Logged, method: str, reward: str) -> PolicyValue:
    """Value per customer-month of the plan compared with contacting nobody, from all rows."""
    retained = logged.customer_value if reward == "margin" else np.zeros(len(logged.customer))
    expected = np.column_stack([logged.predicted_nothing, logged.predicted_planned]) + retained[:, None]
    return policy_value(
        logged.is_contacted.astype(np.int64),
        logged.propensity,
        logged.loss + retained,
        (logged.planned > 0).astype(np.int64),
        reference=0,
        predicted_reward=expected,
        cluster=logged.customer,
        method=method,  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class Promotion:
    """A real randomised promotion: each of n = 84,534 customers got a mailing or not with probability 1/2.

    A purchase earns $10, a mailing costs $0.15. ``reward`` (n,) is in dollars, ``mails`` (n,) the targeted policy,
    ``predicted`` (n, 2) the expected rewards without and with a mailing.
    """

    is_mailed: np.ndarray
    reward: np.ndarray
    mails: np.ndarray
    predicted: np.ndarray


def read_promotion(folder: Path) -> Promotion:
    """Read train.parquet, and predict purchases without and with a mailing by cross-fitting on two halves.

    Raises
    ------
    BayesPilotError
        If the folder holds no train.parquet.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # slow to import, and only this needs it

    file = folder / "train.parquet"
    if not file.is_file():
        raise BayesPilotError("there is no promotion data", where=str(file), next_step="name its folder")
    table = pq.read_table(file)
    is_mailed = table.column("Promotion").to_numpy(zero_copy_only=False) == "Yes"
    purchase = table.column("purchase").to_numpy()
    features = np.column_stack([table.column(name).to_numpy().astype(float) for name in FEATURES])
    half = np.random.default_rng(0).permutation(len(purchase)) % 2
    chance = np.zeros((len(purchase), 2))
    for part in (0, 1):
        for mailed in (0, 1):
            learn = (half != part) & (is_mailed == mailed)
            fitted = HistGradientBoostingClassifier(
                max_iter=60, learning_rate=0.05, min_samples_leaf=500, early_stopping=False
            )
            fitted.fit(features[learn], purchase[learn])
            chance[half == part, mailed] = fitted.predict_proba(features[half == part])[:, 1]
    predicted = SALE * chance - np.array([0.0, MAILING])
    reward = SALE * purchase - MAILING * is_mailed
    return Promotion(is_mailed, reward, predicted[:, 1] > predicted[:, 0], predicted)


def plain_contrast(promotion: Promotion, rows: np.ndarray) -> Estimate:
    """Mean reward with minus without a mailing among some rows, per customer of all rows."""
    mailed, left_alone = (promotion.reward[rows & (promotion.is_mailed == arm)] for arm in (True, False))
    contrast = contrast_of_moments(Moments.of(mailed), Moments.of(left_alone))
    return contrast.times(float(rows.mean()))


def mailing_value(promotion: Promotion, mails: np.ndarray, method: str) -> PolicyValue:
    """Value per customer of mailing the customers in ``mails``, compared with mailing nobody."""
    return policy_value(
        promotion.is_mailed.astype(np.int64),
        np.full(len(mails), MAILED_WITH),
        promotion.reward,
        mails.astype(np.int64),
        reference=0,
        predicted_reward=promotion.predicted,
        method=method,  # type: ignore[arg-type]
    )


def compare_mailings(promotion: Promotion) -> list[tuple[str, str, Estimate]]:
    """Return (policy, method, value per customer in dollars): everyone, then the targeted policy."""
    rows: list[tuple[str, str, Estimate]] = []
    for name, mails in (
        ("mail everyone", np.ones_like(promotion.mails)),
        (f"targeted ({promotion.mails.mean():.0%} mailed)", promotion.mails),
    ):
        rows.append((name, "plain contrast", plain_contrast(promotion, mails)))
        rows += [(name, method, mailing_value(promotion, mails, method)) for method in ("dr", "snips", "ips")]
    return rows


def study_table(found: dict[float, list[Outcome]]) -> Table:
    """One row per share, method and reward."""
    table = Table("share", title="Value of the plan compared with contacting nobody", box=box.SIMPLE_HEAD)
    table.add_column("method, reward", no_wrap=True)
    for heading in ("covers", "above", "below", "bias t", "RMSE", "DR/it"):
        table.add_column(heading, justify="right")
    for holdout, outcomes in found.items():
        best = next(outcome.rmse for outcome in outcomes if outcome.method == "dr")
        for outcome in outcomes:
            table.add_row(
                f"{holdout:.0%}",
                f"{outcome.method}, {outcome.reward}",
                f"{outcome.coverage:.3f}",
                f"{(outcome.error > outcome.half_width).mean():.3f}",
                f"{(outcome.error < -outcome.half_width).mean():.3f}",
                f"{outcome.bias:+.1f}",
                f"{outcome.rmse:,.0f}",
                f"{best / outcome.rmse:.2f}",
            )
        table.add_section()
    table.caption = (
        "covers, above, below: share of intervals that contain the truth, lie above it, or below it. Rewards count"
        " retained value (margin) or lost value (loss); for dr both give the same estimate."
    )
    return table


def missed_targets(found: dict[float, list[Outcome]]) -> list[str]:
    """Name the targets that the study misses."""
    missed = []
    for holdout, outcomes in found.items():
        by_key = {(outcome.method, outcome.reward): outcome for outcome in outcomes}
        robust, plain = by_key["dr", "margin"], by_key["snips", "margin"]
        if not COVERAGE[0] <= robust.coverage <= COVERAGE[1]:
            missed.append(f"coverage {robust.coverage:.3f} at a holdout of {holdout:.0%}")
        if robust.rmse > RMSE_RATIO * plain.rmse:
            missed.append(f"RMSE ratio {robust.rmse / plain.rmse:.2f} at a holdout of {holdout:.0%}")
    return missed


def print_promotion(folder: Path) -> None:
    """Print the value of mailing everyone and of a targeted policy, by every method."""
    table = Table("policy", "method", title="Dollars per customer compared with mailing nobody")
    for heading in ("value", "95 % from", "to"):
        table.add_column(heading, justify="right")
    for policy, method, value in compare_mailings(read_promotion(folder)):
        if method == "plain contrast":
            table.add_section()
        table.add_row(policy, method, f"{value.value:+.4f}", f"{value.low:+.4f}", f"{value.high:+.4f}")
    console.print(table)


@app.command()
def main(
    replications: Annotated[int, typer.Option(min=2, help="Simulations per holdout share.")] = 1000,
    holdout: Annotated[str, typer.Option(help="Pick-holdout shares, with commas.")] = "0.05,0.1,0.2",
    customers: Annotated[int, typer.Option(min=2000, help="Customers in the first month.")] = 5000,
    months: Annotated[int, typer.Option(min=1, max=24, help="Months pooled.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    promotion: Annotated[
        Path | None, typer.Option(help="Folder of the real promotion's train.parquet; nothing else is run.")
    ] = None,
) -> None:
    """Print coverage and errors of every method; exit 1 where a target is missed."""
    if promotion is not None:
        try:
            print_promotion(promotion)
        except BayesPilotError as error:
            Console(stderr=True).print(str(error), style="red", markup=False)
            sys.exit(1)
        return
    shares = holdout_shares(holdout)
    found = {}
    with Progress(console=console) as progress:
        for share in shares:
            task = progress.add_task(f"holdout {share:.0%}", total=replications)
            found[share] = study(
                replications=replications,
                holdout=share,
                customers=customers,
                months=months,
                seed=seed,
                advance=lambda task=task: progress.advance(task),  # type: ignore[misc]
            )
    console.print(study_table(found))
    missed = missed_targets(found)
    console.print(f"Targets missed: {'; '.join(missed) or 'none'}.")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    app()
