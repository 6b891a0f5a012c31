"""The page of a learned policy: verdict, value of each policy, Qini curve, who gets which offer, how it was chosen.

Who gets which offer is said of groups of customers by single features, with the gains seen there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models_ml.errors import BayesPilotError
from models_ml.evaluation import Estimate, policy_value
from models_ml.reports.figures import PALETTE, QUIET, axes, share, svg
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text, write_page
from models_ml.uplift.learners import LEARNERS
from models_ml.uplift.learning import CUSTOMERS, THE_SAME, TOO_FEW, LearnedPolicy, interval, per_thousand
from models_ml.uplift.policies import LEARNED, NOBODY
from models_ml.uplift.settings import PageSettings, UpliftSettings
from models_ml.uplift.trial import CONTROL, Floats, Trial

BLUE, VERMILION = PALETTE[:2]
NO_BREAK = "\u00a0"  # an interval stays on one line; wide tables scroll
_CLEAR = 0.001  # below, a probability of chance is not written out


@dataclass(frozen=True)
class Group:
    """Customers alike in one feature; ``treated`` (k,) shares by offer, ``gains`` money of each offer for all of them.

    A gain is None where too few rows of the offer or the control tell it.
    """

    label: str
    customers: int
    treated: Floats
    gains: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class FeatureGroups:
    """The groups of one feature; ``information``: how much it tells about the planned arm, nats."""

    feature: str
    information: float
    groups: tuple[Group, ...]


def feature_groups(
    trial: Trial, planned: np.ndarray, outcomes: Floats, settings: UpliftSettings
) -> list[FeatureGroups]:
    """Return the features that tell most about the plan, each with its groups; none where all are treated alike.

    Parameters
    ----------
    planned : ndarray of shape (n,), int
        Planned arm of each row.
    outcomes : ndarray of shape (n, k + 1)
        Expected outcome in each arm, from what has not seen the row.
    """
    if len(np.unique(planned)) < 2:
        return []
    found = []
    for feature in trial.schema.features:
        column = trial.features[feature.feature]
        code, labels = (
            _categories(column, settings.page)
            if feature.role == "categorical"
            else _parts(column, settings.page)
        )
        information = _mutual_information(code, planned)
        groups = tuple(
            _group(label, trial, planned, outcomes, np.flatnonzero(code == position), settings)
            for position, label in enumerate(labels)
        )
        found.append(FeatureGroups(feature.feature, information, groups))
    found.sort(key=lambda of: -of.information)
    return found[: settings.page.features_at_most]


def plan_groups(
    trial: Trial, policy: Floats, outcomes: Floats, settings: UpliftSettings
) -> tuple[Group, ...]:
    """Return the customers grouped by what a policy does with them, those without an offer first.

    Parameters
    ----------
    policy, outcomes : ndarray of shape (n, k + 1)
        The policy as 0 and 1, and the expected outcome in each arm, both from what has not seen the row.
    """
    arm = policy.argmax(axis=1)
    labels = ["gets no offer", *(f"gets “{offer}”" for offer in trial.offers)]
    found = (
        _group(labels[at], trial, arm, outcomes, np.flatnonzero(arm == at), settings)
        for at in range(len(labels))
    )
    return tuple(group for group in found if group.customers)


def _categories(column: pa.ChunkedArray, settings: PageSettings) -> tuple[np.ndarray, list[str]]:
    counts = pc.value_counts(column.drop_null()).to_pylist()
    ordered = sorted(counts, key=lambda row: (-row["counts"], row["values"]))
    kept = sorted(row["values"] for row in ordered[: settings.categories_at_most])
    code = pc.index_in(column, value_set=pa.array(kept, column.type)).fill_null(len(kept))
    code = np.asarray(code.to_numpy(zero_copy_only=False) if isinstance(code, pa.Array) else code.to_numpy())
    return code, [
        *(f"= {value}" for value in kept),
        *(["other or missing"] if (code == len(kept)).any() else []),
    ]


def _parts(column: pa.ChunkedArray, settings: PageSettings) -> tuple[np.ndarray, list[str]]:
    values = np.asarray(column.to_numpy(), dtype=np.float64)
    known = values[~np.isnan(values)]
    shares = np.linspace(0, 1, settings.groups_at_most + 1)[1:-1]
    edges = np.unique(np.quantile(known, shares, method="inverted_cdf")) if len(known) else np.empty(0)
    edges = edges[edges < known.max()] if len(known) else edges  # an empty last part tells nothing
    code = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))
    texts = [f"{edge:.4g}".replace("-", "−") for edge in edges]
    labels = [f"up to {texts[0]}"] if texts else ["any value"]
    labels += [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    labels += [f"above {texts[-1]}"] if texts else []
    return code, [*labels, *(["missing"] if len(known) < len(values) else [])]


def _mutual_information(code: np.ndarray, planned: np.ndarray) -> float:
    width = int(planned.max()) + 1
    counts = np.bincount(code * width + planned, minlength=(int(code.max()) + 1) * width)
    joint = (counts / len(code)).reshape(-1, width)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / independent[held])).sum())


def _group(
    label: str,
    trial: Trial,
    planned: np.ndarray,
    outcomes: Floats,
    rows: np.ndarray,
    settings: UpliftSettings,
) -> Group:
    offers = range(1, len(trial.arms))
    treated = np.array([(planned[rows] == at).mean() if len(rows) else 0.0 for at in offers])
    members, least = trial.part(rows), settings.trial.differing_rows_at_least
    seen = np.bincount(members.arm, minlength=len(trial.arms))
    gains = tuple(
        _gain(members, at, outcomes[rows]) if min(seen[CONTROL], seen[at]) >= least else None for at in offers
    )
    return Group(label, len(rows), treated, gains)


def _gain(members: Trial, offer: int, outcomes: Floats) -> Estimate | None:
    """Return what an offer gains for all members; None where their outcomes do not say how far it may be off."""
    try:
        return policy_value(
            members.arm,
            members.propensity,
            members.reward,
            offer,
            method="dr",
            reference=CONTROL,
            predicted_reward=members.money(outcomes),
        )
    except BayesPilotError:
        return None


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
        subtitle=f"trial {title}: {len(trial):,} customers, {_listed(trial.offers)} against “{trial.control}”",
        verdict=learned.verdict.sentence(currency),
        facts=_facts(learned, currency),
        sections=[
            _values(learned, currency),
            _treated(learned, currency),
            _selection(learned, currency),
            _trial(learned, notes),
        ],
        footer=(
            "Values are doubly robust estimates on customers held out from learners and selection alike, with 95 %"
            " intervals; the value of the learned policy is that of the whole procedure, learning from a part of the"
            f" trial. Seed {learned.settings.seed}."
        ),
    )


def policy_title(name: str) -> str:
    """Return the words for a policy or a learner."""
    return LEARNERS[name].title if name in LEARNERS else name


def _listed(offers: tuple[str, ...]) -> str:
    return ", ".join(f"“{offer}”" for offer in offers)


def _facts(learned: LearnedPolicy, currency: str) -> list[Fact]:
    verdict, worth, ranked = learned.verdict, learned.worth[LEARNED], learned.qini
    gained = worth.against_none
    return [
        Fact(
            "learned policy against treating none",
            "–" if gained is None else per_thousand(gained.value, currency),
            learned.not_estimated(LEARNED, NOBODY)
            if gained is None
            else f"{interval(gained)} per 1,000 customers",
        ),
        Fact(
            f"“{verdict.best_offer or 'one offer'}” against treating none",
            "–" if verdict.earned is None else per_thousand(verdict.earned.value, currency),
            _no_offer(learned)
            if verdict.earned is None
            else f"{interval(verdict.earned)} per 1,000 customers",
        ),
        Fact("gets an offer", share(worth.treated, 0), "of the held-out customers, by the learned policy"),
        Fact(
            "ranking against a random order",
            per_thousand(ranked.coefficient, currency),
            f"Qini coefficient, {interval_of(ranked.coefficient_low, ranked.coefficient_high)} per 1,000 customers",
        ),
    ]


def _no_offer(learned: LearnedPolicy) -> str:
    """Return why no offer for all has an estimate."""
    alike = (name for name in learned.worth if name not in (NOBODY, LEARNED))
    allowed = any(learned.not_estimated(name, NOBODY) == TOO_FEW for name in alike)
    return TOO_FEW if allowed else "limits allow none"


def interval_of(low: float, high: float) -> str:
    """Return two amounts per customer as an interval per 1,000 customers."""
    return f"{per_thousand(low, '')} to {per_thousand(high, '')}"


def _values(learned: LearnedPolicy, currency: str) -> Section:
    rows = [
        (
            name,
            share(worth.treated, 0),
            per_thousand(worth.cost, ""),
            _estimate(worth.value, TOO_FEW),
            _estimate(
                worth.against_none,
                "0, by definition" if name == NOBODY else learned.not_estimated(name, NOBODY),
            ),
            _estimate(
                learned.contrasts.get(name), "" if name == LEARNED else learned.not_estimated(LEARNED, name)
            ),
        )
        for name, worth in learned.worth.items()
    ]
    limited = learned.limits.budget < float("inf") or bool(
        (learned.limits.offer_capacity < float("inf")).any()
    )
    limits = (
        " Under the limits given, one offer for all is made to as many as they allow, drawn by lot."
        if limited
        else ""
    )
    unit = f" in {currency}" if currency else ""
    return Section(
        "What each policy is worth",
        [
            _value_figure(learned, currency),
            _qini_figure(learned, currency),
            Table(
                (
                    "policy",
                    "gets an offer",
                    "cost",
                    "value",
                    "against treating none",
                    "learned policy against it",
                ),
                rows,
                caption=f"Money{unit} per 1,000 held-out customers, 95 % intervals in brackets",
                highlight=list(learned.worth).index(LEARNED),
            ),
            Text(_ranking(learned, currency)),
        ],
        intro=(
            f"Each policy on {len(learned.held_out.rows):,} customers, part by part, each part by what was learned and"
            " selected on the parts before it. The learned policy is shown to help only where it beats every policy"
            f" that treats all alike.{limits}"
        ),
    )


def _estimate(found: Estimate | None, otherwise: str = "–") -> str:
    if found is None:
        return otherwise
    return f"{per_thousand(found.value, '')} ({interval(found)})".replace(" ", NO_BREAK)


def _value_figure(learned: LearnedPolicy, currency: str) -> Figure:
    names = list(learned.worth)[::-1]
    labels = []
    with axes(6.4, 1.2 + 0.55 * len(names)) as (figure, axis):
        for place, name in enumerate(names):
            found = learned.worth[name].against_none
            if found is None and learned.not_estimated(name, NOBODY) != THE_SAME:
                labels.append(f"{name}:\n{TOO_FEW}")
                continue
            labels.append(name)
            colour = BLUE if name == LEARNED else QUIET
            value, low, high = (0.0, 0.0, 0.0) if found is None else (found.value, found.low, found.high)
            axis.plot([CUSTOMERS * low, CUSTOMERS * high], [place, place], color=colour, linewidth=2.5)
            axis.plot([CUSTOMERS * value], [place], "o", color=colour, markersize=8)
        axis.axvline(0, color=QUIET, linewidth=1)
        axis.set_yticks(range(len(names)), labels)
        axis.set_ylim(-0.6, len(names) - 0.4)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(_money_label("against treating none", currency))
        return Figure(svg(figure), "Value against treating none, with 95 % intervals.")


def _money_label(what: str, currency: str) -> str:
    return f"{what},\n{currency + ' ' if currency else ''}per 1,000 customers"


def _qini_figure(learned: LearnedPolicy, currency: str) -> Figure:
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
        return Figure(
            svg(figure),
            "Qini curve: net money on held-out customers if a growing share gets its best offer, without limits.",
        )


def _ranking(learned: LearnedPolicy, currency: str) -> str:
    curve = learned.qini
    best = Counter(policy_title(one.best_learner) for one in learned.held_out.selections).most_common()
    low, high = curve.coefficient_low, curve.coefficient_high
    finding = (
        "The ranking finds customers who gain more than others."
        if low > 0
        else "The ranking is worse than a random order."
        if high < 0
        else "The ranking is not shown to be better than a random order."
    )
    return (
        f"{finding} Qini coefficient, the area between the curve and the dashed line:"
        f" {per_thousand(curve.coefficient, currency)} per 1,000 customers (95 % interval {interval_of(low, high)})."
        f" Ranked by the best learner before each part: {', '.join(f'{title} ({count})' for title, count in best)}."
        " Band and interval hold for the rankings as they are, not for other trials of this size."
    )


def _treated(learned: LearnedPolicy, currency: str) -> Section:
    trial, held_out = learned.trial, learned.held_out
    judged = held_out.trial
    planned = learned.planned_arm()
    found = feature_groups(judged, planned[held_out.rows], held_out.outcomes, learned.settings)
    chosen = policy_title(learned.selection.chosen)
    unit = f" in {currency}" if currency else ""
    offers = [f"gain of “{offer}”" for offer in trial.offers]
    blocks: list[Table | Text] = []
    policy = held_out.policies[LEARNED]
    if ((policy == 0) | (policy == 1)).all():
        blocks.append(
            Table(
                ("by the learned policy", "customers", *offers),
                [
                    _group_row(group.label, group, with_share=False)
                    for group in plan_groups(judged, policy, held_out.outcomes, learned.settings)
                ],
                caption=(
                    f"What each offer gains net of its cost{unit} per 1,000 customers held out, for those who would"
                    f" get it and for the others; – is {TOO_FEW}"
                ),
            )
        )
    if found:
        columns = [column for offer in trial.offers for column in (f"gets “{offer}”", f"gain of “{offer}”")]
        rows = [
            _group_row(f"{feature.feature} {group.label}", group, with_share=True)
            for feature in found
            for group in feature.groups
        ]
        caption = (
            f"Share of each group with an offer, and what the offer gains net of its cost{unit} per 1,000 customers if"
            " the whole group gets it (held out). Features by how much they tell about the plan; intervals are not"
            f" corrected for their number; – is {TOO_FEW}"
        )
        blocks.append(Table(("group", "customers", *columns), rows, caption=caption))
    shares = ", ".join(
        f"“{offer}” for {share(float((planned == 1 + position).mean()), 0)}"
        for position, offer in enumerate(trial.offers)
    )
    everybody = "" if found else " Everybody is treated alike."
    return Section(
        "Who gets which offer",
        blocks,
        intro=f"Chosen on the whole trial: {chosen}. It plans {shares}.{everybody}",
    )


def _group_row(label: str, group: Group, *, with_share: bool) -> tuple[str, ...]:
    cells = [label, f"{group.customers:,}"]
    for treated, gain in zip(group.treated, group.gains, strict=True):
        cells += [share(float(treated), 0)] if with_share else []
        cells.append(_estimate(gain))
    return tuple(cells)


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
                    "gets an offer", f"chosen in {len(learned.held_out.selections)} parts",
                ),
                rows,
                caption=f"On inner folds of the whole trial, money{unit} per 1,000 customers",
                highlight=list(judged).index(learned.selection.chosen),
            ),
        ],
        intro=(
            "The simplest policy within one standard error of the best is chosen. The same was done on"
            " the parts before each judged part; the values above come from there, because the best of several looks"
            " better than it is."
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
