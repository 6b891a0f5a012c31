"""``bayespilot uplift FILE``: learn from a randomised trial in a CSV or Parquet file, without a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from models_ml.errors import BayesPilotError
from models_ml.terminal import progress, say, table_console

if TYPE_CHECKING:  # what the command needs is imported when it runs: --help answers at once
    from models_ml.decisions.limits import Limits
    from models_ml.evaluation import Estimate
    from models_ml.uplift.learning import LearnedPolicy
    from models_ml.uplift.trial import Amount, Cost, Propensity

NO_PROPENSITY = (
    "No propensity was given: every customer is taken to have had the same chance of each arm,"
    " its share in the file."
)


def uplift(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, one row per customer of the trial.")],
    treatment: Annotated[str, typer.Option(help="Column of arms: the control and one or more offers.")],
    outcome: Annotated[str, typer.Option(help="Column of 0 and 1, or of an amount.")],
    value: Annotated[
        str, typer.Option(help="Money per unit of outcome, negative for a loss: a number or a column.")
    ],
    cost: Annotated[
        str, typer.Option(help="Money per contact: a number, a column, or one per offer: call=4,email=0.2.")
    ],
    control: Annotated[
        str, typer.Option(help="Arm that got nothing; without it, an arm called no, control, 0, none …")
    ] = "",
    propensity: Annotated[
        str,
        typer.Option(
            help="Probability of the offer, one per arm (call=0.3,email=0.3), or the column with that of the arm that"
            " the row got; without it, the shares of the arms."
        ),
    ] = "",
    features: Annotated[
        str,
        typer.Option(
            help="Columns known before the assignment, separated by commas; without it, all others."
        ),
    ] = "",
    exclude: Annotated[str, typer.Option(help="Columns that are no features, separated by commas.")] = "",
    budget: Annotated[
        float | None, typer.Option(min=0, help="Money for as many customers as the file has rows.")
    ] = None,
    capacity: Annotated[
        str, typer.Option(help="Contacts per offer for as many customers: call=500,email=2000.")
    ] = "",
    learners: Annotated[
        str, typer.Option(help="Learners separated by commas, such as effect_posterior; without it, all.")
    ] = "",
    currency: Annotated[str, typer.Option(help="Unit of money, for the words only.")] = "",
    out: Annotated[Path, typer.Option(help="The page to write.", dir_okay=False)] = Path("uplift.html"),
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of folds and bootstraps; the same gives the same page.")
    ] = None,
) -> None:
    """Learn from a randomised trial which customers should get which offer, and whether that beats one offer for all.

    Policies that treat all alike compete with learned ones; the value of the choice is measured on customers that
    neither the learners nor the selection had seen. The page shows the verdict, the value of each policy with its
    interval, the Qini curve and who gets which offer.

    Example: bayespilot uplift trial.parquet --treatment Promotion --control No --outcome purchase --value 10
    --cost 0.15 --propensity 0.5 --exclude ID --currency USD

    Exit codes: 0 done, 1 could not, 2 wrong usage.
    """
    from models_ml.uplift.files import file_schema, guess_control, read_file
    from models_ml.uplift.learning import learn_policy
    from models_ml.uplift.page import write_uplift_page
    from models_ml.uplift.settings import load_settings
    from models_ml.uplift.trial import Money, arm_labels

    money: tuple[Amount, Cost] = (
        _amount(value),
        _by_label("--cost", cost) if "=" in cost else _amount(cost),
    )
    chances = _shares(propensity) if propensity else None
    with progress(f"reading {file}") as notify:
        table = read_file(file)
        arms = arm_labels(table, treatment)
        without = control or guess_control(arms, treatment)
        offers = tuple(arm for arm in arms if arm != without)
        used = [*Money(*money).columns, *([chances] if isinstance(chances, str) else [])]
        schema, notes = file_schema(
            table,
            settings=load_settings().columns,
            named=_names(features),
            left_out=[treatment, outcome, *used, *_names(exclude)],
        )
        learned = learn_policy(
            table, schema, treatment=treatment, control=without, outcome=outcome, value=money[0], cost=money[1],
            propensity=chances, limits=_limits(offers, budget, capacity), learners=_names(learners) or None,
            seed=seed, notify=notify,
        )  # fmt: skip
    notes = (*notes, *([] if propensity else [NO_PROPENSITY]))
    print_learned(learned, notes, currency)
    with progress("drawing the page"):
        try:
            write_uplift_page(out, learned, title=file.name, currency=currency, notes=notes)
        except OSError as error:
            raise BayesPilotError(
                f"the page cannot be written ({error.strerror})",
                where=str(out),
                next_step="name another file: --out",
            ) from error
    say(f"written to {out}")


def print_learned(learned: LearnedPolicy, notes: tuple[str, ...], currency: str) -> None:
    """Print the verdict and what each policy is worth."""
    from models_ml.uplift.policies import LEARNED, NOBODY

    unit = f", {currency}" if currency else ""
    missing = learned.not_estimated
    table = Table(title=f"Value per 1,000 customers held out{unit}", box=box.SIMPLE_HEAD)
    table.add_column("policy", no_wrap=True)
    for name in (
        "gets an offer",
        "against treating none",
        "95 % interval",
        "learned against it",
        "95 % interval",
    ):
        table.add_column(name, justify="right")
    for name, worth in learned.worth.items():
        against, ahead = worth.against_none, learned.contrasts.get(name)
        table.add_row(
            name,
            f"{100 * worth.treated:.0f} %",
            *(("0" if name == NOBODY else missing(name, NOBODY), "") if against is None else _cells(against)),
            *(("" if name == LEARNED else missing(LEARNED, name), "") if ahead is None else _cells(ahead)),
            style="bold" if name == LEARNED else "",
        )
    table_console().print(table)
    for note in notes:
        say(note, style="dim")
    say(learned.verdict.sentence(currency), style="bold")


def _cells(found: Estimate) -> tuple[str, str]:
    from models_ml.uplift.learning import interval, per_thousand

    return per_thousand(found.value, ""), interval(found)


def _amount(text: str) -> Amount:
    try:
        return float(text)
    except ValueError:
        return text


def _shares(text: str) -> Propensity:
    if "=" not in text:
        return _amount(text)
    return {
        label: _number("--propensity", amount) for label, amount in _by_label("--propensity", text).items()
    }


def _limits(offers: tuple[str, ...], budget: float | None, capacity: str) -> Limits | None:
    if budget is None and not capacity:
        return None
    import numpy as np

    from models_ml.decisions.limits import Limits

    stated = {
        label: _number("--capacity", amount) for label, amount in _by_label("--capacity", capacity).items()
    }
    unknown = sorted(stated.keys() - set(offers))
    if unknown:
        raise BayesPilotError(
            "a capacity names no offer",
            where="--capacity",
            values=unknown,
            next_step=f"offers: {', '.join(offers)}",
        )
    if not all(amount >= 0 for amount in stated.values()):
        raise typer.BadParameter(f"--capacity {capacity!r} must hold numbers of at least 0")
    contacts = [stated.get(offer, float("inf")) for offer in offers]
    return Limits(
        float("inf") if budget is None else budget,
        np.array(contacts, dtype=np.float64),
        dict.fromkeys(offers, float("inf")),
        offers,
        offers,
    )


def _by_label(option: str, text: str) -> dict[str, Amount]:
    found: dict[str, Amount] = {}
    for part in _names(text):
        label, _, amount = part.partition("=")
        if not label.strip() or not amount.strip():
            raise typer.BadParameter(f"{option} {text!r} must look like call=4,email=0.2")
        found[label.strip()] = _amount(amount.strip())
    return found


def _number(option: str, amount: Amount) -> float:
    if isinstance(amount, str):
        raise typer.BadParameter(f"{option} {amount!r} is not a number")
    return amount


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
