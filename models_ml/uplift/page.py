"""The page of a learned policy: verdict, value of each policy, Qini curve, who gets which offer, how it was chosen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from models_ml.evaluation import Estimate
from models_ml.reports.figures import PALETTE, QUIET, axes, share, svg
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text, write_page
from models_ml.uplift.groups import FeatureGroups, feature_groups
from models_ml.uplift.learners import LEARNERS
from models_ml.uplift.learning import LearnedPolicy
from models_ml.uplift.policies import LEARNED, NOBODY
from models_ml.uplift.verdict import CUSTOMERS, interval, per_thousand

BLUE, VERMILION = PALETTE[:2]
_CLEAR = 0.001  # below, a probability of chance is not written out


def write_uplift_page(
    path: Path, learned: LearnedPolicy, *, title: str, currency: str, notes: tuple[str, ...] = ()
) -> None:
    """Write the page of a learned policy.

    Parameters
    ----------
    title : str
        What the trial is called, such as its file name.
    currency : str
        Unit of money, or nothing.
    notes : tuple of str
        What the reader should know of how the file was read.
    """
    write_page(path, uplift_page(learned, title=title, currency=currency, notes=notes))


def uplift_page(learned: LearnedPolicy, *, title: str, currency: str, notes: tuple[str, ...] = ()) -> Page:
    """Build the page of a learned policy."""
    trial = learned.trial
    return Page(
        title="Which customers should get which offer",
        subtitle=f"trial {title}: {len(trial):,} customers, {len(trial.offers)} offer(s) against “{trial.control}”",
        verdict=learned.verdict.sentence(currency),
        facts=_facts(learned, currency),
        sections=[
            _values(learned, currency),
            _ranking(learned, currency),
            _treated(learned, currency),
            _selection(learned, currency),
            _trial(learned, notes),
        ],
        footer=(
            "Values are doubly robust estimates on customers held out from learners and selection alike, with 95 %"
            " intervals; the value of the learned policy is that of the whole procedure of learning and selecting."
            f" Seed {learned.settings.seed}."
        ),
    )


def policy_title(name: str) -> str:
    """Return the words for a policy or a learner."""
    return LEARNERS[name].title if name in LEARNERS else name


def _facts(learned: LearnedPolicy, currency: str) -> list[Fact]:
    verdict, worth = learned.verdict, learned.worth[LEARNED]
    gained = worth.against_none
    difference = verdict.contrast
    ranked = learned.qini
    return [
        Fact(
            "learned policy against treating none",
            "–" if gained is None else per_thousand(gained.value, currency),
            "the same, or hardly different" if gained is None else f"{interval(gained)} per 1,000 customers",
        ),
        Fact(
            f"learned policy against “{verdict.closest}”",
            "–" if difference is None else per_thousand(difference.value, currency),
            "the same, or hardly different"
            if difference is None
            else f"{interval(difference)} per 1,000 customers",
        ),
        Fact("gets an offer", share(worth.treated, 0), "of the held-out customers, by the learned policy"),
        Fact(
            "ranking against a random order",
            per_thousand(ranked.coefficient, currency),
            f"Qini coefficient, {interval_of(ranked.coefficient_low, ranked.coefficient_high)} per 1,000 customers",
        ),
    ]


def interval_of(low: float, high: float) -> str:
    """Return two amounts per customer as an interval per 1,000 customers."""
    return f"{per_thousand(low, '')} to {per_thousand(high, '')}"


def _values(learned: LearnedPolicy, currency: str) -> Section:
    rows = []
    for name, worth in learned.worth.items():
        against = learned.contrasts.get(name)
        rows.append(
            (
                name,
                share(worth.treated, 0),
                per_thousand(worth.cost, ""),
                *_estimate(worth.value),
                *_estimate(worth.against_none, "0" if name == NOBODY else "–"),
                *_estimate(against, ""),
            )
        )
    limited = learned.limits.budget < float("inf") or bool(
        (learned.limits.offer_capacity < float("inf")).any()
    )
    limits = (
        " Under the limits given, one offer for all is made to as many as they allow, drawn by lot."
        if limited
        else ""
    )
    return Section(
        "What each policy is worth",
        [
            _value_figure(learned, currency),
            Table(
                (
                    "policy", "gets an offer", "cost", "value", "95 % interval", "against treating none",
                    "95 % interval", "learned policy against it", "95 % interval",
                ),
                rows,
                caption=f"Money{' in ' + currency if currency else ''} per 1,000 held-out customers",
                highlight=list(learned.worth).index(LEARNED),
            ),
        ],
        intro=(
            "Each policy on customers that neither the learners nor the selection had seen. The learned policy helps"
            f" only where it beats every policy that treats all alike.{limits}"
        ),
    )  # fmt: skip


def _estimate(found: Estimate | None, otherwise: str = "–") -> tuple[str, str]:
    return (otherwise, "") if found is None else (per_thousand(found.value, ""), interval(found))


def _value_figure(learned: LearnedPolicy, currency: str) -> Figure:
    names = list(learned.worth)[::-1]
    with axes(6.4, 1.2 + 0.55 * len(names)) as (figure, axis):
        for place, name in enumerate(names):
            found = learned.worth[name].against_none
            colour = BLUE if name == LEARNED else QUIET
            value, low, high = (0.0, 0.0, 0.0) if found is None else (found.value, found.low, found.high)
            axis.plot([CUSTOMERS * low, CUSTOMERS * high], [place, place], color=colour, linewidth=2.5)
            axis.plot([CUSTOMERS * value], [place], "o", color=colour, markersize=8)
        axis.axvline(0, color=QUIET, linewidth=1)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(-0.6, len(names) - 0.4)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(_money_label("against treating none", currency))
        return Figure(svg(figure), "Value against treating none, with 95 % intervals.")


def _money_label(what: str, currency: str) -> str:
    return f"{what},\n{currency + ' ' if currency else ''}per 1,000 customers"


def _ranking(learned: LearnedPolicy, currency: str) -> Section:
    curve = learned.qini
    with axes() as (figure, axis):
        axis.fill_between(
            100 * curve.share, CUSTOMERS * curve.low, CUSTOMERS * curve.high, color=BLUE, alpha=0.15, linewidth=0,
            label="95 % band of the whole curve",
        )  # fmt: skip
        axis.plot(100 * curve.share, CUSTOMERS * curve.value, color=BLUE, label="most promising first")
        axis.plot(
            [0, 100], [0, CUSTOMERS * curve.value[-1]], color=VERMILION, linestyle="--", label="random order"
        )
        axis.axhline(0, color=QUIET, linewidth=1)
        axis.set_xlim(0, 100)
        axis.set_xlabel("share of customers with an offer, %")
        axis.set_ylabel(_money_label("against treating none", currency))
        axis.legend(fontsize=9)
        drawn = Figure(
            svg(figure), "Qini curve of net money on held-out customers; the dashed line needs no ranking."
        )
    best = Counter(policy_title(one.best_learner) for one in learned.held_out.selections).most_common()
    ranked_by = ", ".join(f"{title} ({count})" for title, count in best)
    low, high = curve.coefficient_low, curve.coefficient_high
    finding = (
        "The ranking finds customers who gain more than others."
        if low > 0
        else "The ranking is worse than a random order."
        if high < 0
        else "The ranking is not shown to be better than a random order."
    )
    return Section(
        "Does the ranking find the customers who gain",
        [
            drawn,
            Text(
                f"{finding} Qini coefficient, the area between curve and line:"
                f" {per_thousand(curve.coefficient, currency)} per 1,000 customers (95 % interval"
                f" {interval_of(low, high)}). Ranked by the best learner of each fold: {ranked_by}. The band holds the"
                " rankings as they are."
            ),
        ],
    )


def _treated(learned: LearnedPolicy, currency: str) -> Section:
    title = "Who gets which offer"
    trial = learned.trial
    planned = learned.planned_arm()
    found = feature_groups(trial, planned, learned.held_out.scores, learned.settings.page)
    shares = ", ".join(
        f"{share(float((planned == 1 + position).mean()), 0)} “{offer}”"
        for position, offer in enumerate(trial.offers)
    )
    chosen = policy_title(learned.selection.chosen)
    if not found:
        return Section(
            title, [Text(f"On the whole trial the selection keeps “{chosen}”: everybody is treated alike.")]
        )
    return Section(
        title,
        [Table(_group_columns(trial.offers), _group_rows(found), caption=_group_caption(currency))],
        intro=(
            f"Chosen on the whole trial: {chosen}. It plans {shares}. Features are listed by how much they tell about"
            " the plan."
        ),
    )


def _group_columns(offers: tuple[str, ...]) -> tuple[str, ...]:
    columns = ["feature", "group", "customers"]
    for offer in offers:
        columns += [f"gets “{offer}”", f"gain of “{offer}” for all", "95 % interval"]
    return tuple(columns)


def _group_caption(currency: str) -> str:
    unit = f" in {currency}" if currency else ""
    return (
        f"Share of each group with an offer, and what the offer gains net of its cost{unit} per 1,000 customers if"
        " everybody in the group gets it, from customers held out. Groups were picked by looking at the plan, intervals"
        " are not corrected for their number"
    )


def _group_rows(found: list[FeatureGroups]) -> list[tuple[str, ...]]:
    rows = []
    for feature in found:
        for group in feature.groups:
            cells = [feature.feature, group.label, f"{group.customers:,}"]
            for treated, gain in zip(group.treated, group.gains, strict=True):
                cells += [share(float(treated), 0), *_estimate(gain)]
            rows.append(tuple(cells))
    return rows


def _selection(learned: LearnedPolicy, currency: str) -> Section:
    judged = learned.selection.judged
    picks = Counter(one.chosen for one in learned.held_out.selections)
    rows = [
        (
            policy_title(name),
            per_thousand(of.value, ""),
            per_thousand(of.shortfall, ""),
            per_thousand(of.shortfall_standard_error, ""),
            share(of.treated, 0),
            str(picks[name]),
        )
        for name, of in judged.items()
    ]
    unit = f" in {currency}" if currency else ""
    return Section(
        "How the policy was chosen",
        [
            Table(
                (
                    "policy, simplest first", "against treating none", "behind the best", "standard error of that",
                    "gets an offer", f"chosen in {len(learned.held_out.selections)} folds",
                ),
                rows,
                caption=f"On inner folds of the whole trial, money{unit} per 1,000 customers",
                highlight=list(judged).index(learned.selection.chosen),
            ),
        ],
        intro=(
            "The simplest policy within one standard error of the best is chosen. The same was done again inside each"
            " outer fold; the values above come from there, because the best of several looks better than it is."
        ),
    )  # fmt: skip


def _trial(learned: LearnedPolicy, notes: tuple[str, ...]) -> Section:
    trial = learned.trial
    outcome = "share with the outcome" if trial.is_binary else "mean outcome"
    rows = [
        (
            arm.label,
            f"{arm.rows:,}",
            share(arm.share, 2),
            share(arm.stated_share, 2),
            share(arm.mean_outcome, 2) if trial.is_binary else f"{arm.mean_outcome:,.3f}",
            f"{arm.probability:.2f}" if arm.probability >= _CLEAR else "below 0.001",
        )
        for arm in learned.arms
    ]
    return Section(
        "The trial",
        [
            Table(("arm", "customers", "share", "stated share", outcome, "balance by chance"), rows),
            Text(
                "Balance by chance: probability that features would predict the arm at least so well if it was drawn as"
                " stated. A trial with less than one in ten thousand is refused."
            ),
            *(Text(note) for note in notes),
        ],
    )
