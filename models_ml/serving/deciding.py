"""Decides for the customers of a request by the rules, prices and arms of the published run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models_ml.decisions import randomisation
from models_ml.decisions.decide import Decisions, ValuedBatch, value_batch
from models_ml.decisions.planned_actions import decided_columns
from models_ml.scoring.reasons import cite
from models_ml.serving.promises import NO_ACTION, Promise, Promises
from models_ml.serving.published_run import RATIONALE_COLUMNS, PublishedRun
from models_ml.training.pipeline import DIGITS

UNKNOWN_CUSTOMER = "unknown_customer"
REASONS = 3
EPISODE_ARMS = tuple(
    randomisation.ARMS[arm] for arm in (randomisation.POLICY, randomisation.PICK_HOLDOUT, randomisation.TRIAL)
)
LEFT_ALONE = "Leave alone"

# What a decision says; an answer holds these columns and what is said of the customer now.
DECIDED = (
    *("action_id", "action", "planned_action", "action_label", "channel", "customer_value", "relative_risk"),
    *("effect_source", "expected_cost", "incremental_expected_value", "planned_cost", "planned_value"),
    *("rationale", "suppression_reason", "arm", "propensity", "propensity_no_action", "as_of_date"),
    *("valid_from", "valid_to", "policy_version"),
)
DAYS = ("as_of_date", "valid_from", "valid_to")


@dataclass(frozen=True)
class Asked:
    """One customer of a request: the id and the columns of customer_features."""

    customer_id: str
    features: Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """The answer to one customer, and what only the log keeps.

    ``decided_by`` is ``nightly`` (the run's own episode), ``earlier`` (an action of an earlier run that is still open),
    ``service`` (decided now, or repeated while its episode lasts) or ``unknown``. ``opens_episode`` says whether this
    answer opened one. ``signals`` are those of the decision, ``nightly_action`` is what the run decided.
    """

    answer: dict[str, Any]
    decided_by: str
    opens_episode: bool
    signals: dict[str, float]
    nightly_action: str | None


def decide_now(run: PublishedRun, promises: Promises, asked: Sequence[Asked]) -> list[Answered]:
    """Decide for customers in the order in which they ask; episodes that are opened are added to ``promises``.

    A customer within an episode gets its decision again. All others are decided afresh: by the rules and arms of the
    run, for the offer that is worth most beyond the prices of the run's plan, among those that still fit what the plan
    and earlier promises have left. Customers that the run does not know get a probability and no offer.
    """
    facts = run.snapshot.facts([one.customer_id for one in asked])
    encoded = np.array([run.pipeline.encode(one.features) for one in asked])
    probabilities = [round(run.pipeline.score(values)[0], DIGITS) for values in encoded]
    batch = _candidates(run, asked, probabilities, facts)
    valued = value_batch(batch, run.inputs)
    decisions, kept = _decisions(run, promises, asked, batch, valued, facts)
    planned = pa.table(decided_columns(batch, valued, run.inputs, decisions, slice(0, len(asked))))
    reasons = _reasons(run, asked, encoded)
    names = run.inputs.effects.signals
    signals = [
        dict(zip(names, shown, strict=True))
        for shown in zip(*(batch.column(f"signal_{name}").to_pylist() for name in names), strict=True)
    ]
    fresh = [_named(run, row) for row in planned.to_pylist()]
    _add_rationale(run, fresh, reasons, signals)
    answered = []
    for at, one in enumerate(asked):
        nightly = facts[one.customer_id]["nightly"] if one.customer_id in facts else None
        by, decision = kept.get(at, ("service" if nightly else "unknown", fresh[at]))
        now = {
            "customer_id": one.customer_id,
            "churn_probability": probabilities[at],
            "risk_tier": run.tier(probabilities[at]),
            "risk_percentile": run.percentile(probabilities[at]),
            **{f"reason_{rank + 1}": _nth(reasons[at], rank) for rank in range(REASONS)},
            "currency": run.inputs.policy.currency,
            "pipeline_version": run.pipeline_version,
            "run_id": run.run_id,
        }
        answer = now | {name: decision.get(name) for name in DECIDED}
        opens = at not in kept and answer["arm"] in EPISODE_ARMS
        answered.append(
            Answered(
                answer | {"decided_by": by, "is_new_episode": opens},
                by,
                opens,
                signals[at],
                nightly["action"] if nightly else None,
            )
        )
    for decided in answered:  # once nothing can fail any more
        if decided.opens_episode:
            promises.add(Promise.of(decided.answer, run.inputs.policy.horizon_days))
    return answered


def _candidates(
    run: PublishedRun,
    asked: Sequence[Asked],
    probabilities: Sequence[float],
    facts: Mapping[str, Mapping[str, Any]],
) -> pa.RecordBatch:
    """Return the customers as int_decision_candidates has them."""
    rows = []
    for one, probability in zip(asked, probabilities, strict=True):
        known = facts.get(one.customer_id, {})
        channels = known.get("channels") or []
        bits = sum(1 << at for at, offer in enumerate(run.inputs.offers) if offer.channel in channels)
        rows.append(
            {
                **one.features,
                "customer_id": one.customer_id,
                "as_of_date": run.as_of_date,
                "churn_probability": probability,
                "last_episode": known.get("last_episode"),
                "has_consent": bool(channels),
                "offers_with_consent": bits,
                "locked_offers": known.get("locked_offers", 0),
                "suppression_reason": known.get("suppression_reason"),
            }
        )
    columns = run.customer_sql(rows)
    columns["suppression_reason"] = [
        reason if one.customer_id in facts else UNKNOWN_CUSTOMER
        for one, reason in zip(asked, columns["suppression_reason"], strict=True)
    ]
    return pa.RecordBatch.from_pydict(columns)


def _decisions(
    run: PublishedRun,
    promises: Promises,
    asked: Sequence[Asked],
    batch: pa.RecordBatch,
    valued: ValuedBatch,
    facts: Mapping[str, Mapping[str, Any]],
) -> tuple[Decisions, dict[int, tuple[str, Mapping[str, Any]]]]:
    """Decide afresh, and find by position the decisions that hold already and by whom they were made."""
    policy = run.inputs.policy
    universal, pick = (
        np.asarray(batch.column(name).to_numpy(zero_copy_only=False))
        for name in ("universal_draw", "pick_draw")
    )
    arms = randomisation.first_arms(universal, valued.suppressed, policy)
    surplus = run.prices.surplus(valued.value_cents, valued.cost_cents)
    wanted = valued.allowed & (arms == randomisation.NOT_CHOSEN)[:, None] & (surplus > 0)
    choice = np.full(len(asked), -1, dtype=np.int64)
    kept: dict[int, tuple[str, Mapping[str, Any]]] = {}
    limits, share = promises.limits, policy.pick_holdout_share
    for at, one in enumerate(asked):
        holds = _decision_that_holds(promises, one.customer_id, facts)
        if holds is not None:
            kept[at] = holds
        if not wanted[at].any():
            continue
        fits = wanted[at] & limits.open_offers() & (valued.cost_cents[at] <= limits.budget)
        if fits.any():
            choice[at] = int(np.where(fits, surplus[at], -np.inf).argmax())
            if holds is None and pick[at] >= share:  # a withheld contact takes nothing
                contacts = np.arange(len(fits)) == choice[at]
                limits = limits.after(float(valued.cost_cents[at, choice[at]]), contacts.astype(np.int64))
    arms = randomisation.withhold(arms, choice, pick, share)
    certain = np.ones(len(asked))
    done, nothing = randomisation.propensities(arms, certain, certain, share)
    decisions = Decisions(
        choice.astype(np.int8),
        arms,
        (choice >= 0) & (arms == randomisation.POLICY),
        np.where(choice >= 0, valued.value_cents[np.arange(len(choice)), choice], 0.0),
        done,
        nothing,
        run.summary,
        run.policy_version,
    )
    return decisions, kept


def _decision_that_holds(
    promises: Promises, customer_id: str, facts: Mapping[str, Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]] | None:
    """Return who made the decision of the customer's open episode, and the decision; None where none is open."""
    promise = promises.find(customer_id)
    if promise is not None:
        return "service", promise.decision
    known = facts.get(customer_id)
    if known is None:
        return None
    if known["nightly"]["arm"] in EPISODE_ARMS:
        return "nightly", with_days(known["nightly"])
    if known["open_action"]:
        return "earlier", with_days(known["open_action"])
    return None


def with_days(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored decision with its days as dates."""
    days = {name: date.fromisoformat(decision[name]) for name in DAYS if decision.get(name)}
    return {**decision, **days}


def _reasons(run: PublishedRun, asked: Sequence[Asked], encoded: NDArray[np.float64]) -> list[list[str]]:
    """Return the reasons of each customer in words: of those of one wording the strongest, three at most."""
    contributions = np.round([run.pipeline.contributions(values) for values in encoded], DIGITS)
    cited = cite(encoded, contributions, run.sides)
    schema = run.pipeline.schema
    chosen: list[list[dict[str, Any]]] = [[] for _ in asked]
    worded: list[set[str]] = [set() for _ in asked]
    for row, at, is_high in zip(
        cited.row.tolist(), cited.feature.tolist(), cited.is_high.tolist(), strict=True
    ):
        if len(chosen[row]) == REASONS:
            continue
        feature = schema.names[at]
        direction = (run.sides.upper_direction if is_high else run.sides.lower_direction)[at]
        template = run.templates.get((feature, direction))
        if template is None or template["wording"] in worded[row]:
            continue
        worded[row].add(template["wording"])
        is_category = at in schema.categorical
        chosen[row].append(
            {
                **{name: template[name] for name in ("template", "currency", "measure")},
                "feature_value": None if is_category else float(encoded[row, at]),
                "category": asked[row].features[feature] if is_category else None,
            }
        )
    texts = iter(run.reason_texts([one for rows in chosen for one in rows]))
    return [[next(texts) for _ in rows] for rows in chosen]


def _named(run: PublishedRun, planned: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of int_planned_actions with what int_decisions adds, but for the words."""
    acts = planned["action"] != NO_ACTION
    day = planned["as_of_date"]
    labels = {offer.offer: offer.action_label for offer in run.inputs.offers}
    key = f"{planned['customer_id']}/{day}".encode()
    return {
        **planned,
        "policy_version": run.policy_version,
        "action_id": hashlib.md5(key, usedforsecurity=False).hexdigest(),
        "action_label": labels.get(planned["action"], LEFT_ALONE),
        "expected_cost": planned["planned_cost"] if acts else None,
        "incremental_expected_value": planned["planned_value"] if acts else None,
        "valid_from": day + timedelta(days=1),
        "valid_to": day + timedelta(days=run.inputs.policy.action_valid_days),
    }


def _add_rationale(
    run: PublishedRun,
    decisions: Sequence[dict[str, Any]],
    reasons: Sequence[Sequence[str]],
    signals: Sequence[Mapping[str, float]],
) -> None:
    """Say each decision in words, by the published expression."""
    names = run.inputs.effects.signals
    none = dict.fromkeys([f"{kind}_{name}" for name in names for kind in ("reduction", "is_measured")])
    rows = []
    for decision, texts, shown in zip(decisions, reasons, signals, strict=True):
        offer = run.reductions.get(decision["planned_action"], none)
        rows.append(
            {
                **{name: decision[name] for name in RATIONALE_COLUMNS if name != "reason_1"},
                "reason_1": _nth(texts, 0),
                **{f"signal_{name}": shown[name] for name in names},
                **{name: offer[name] for name in none},
            }
        )
    texts = run.rationale_sql(rows)["rationale"]
    for decision, rationale in zip(decisions, texts, strict=True):
        decision["rationale"] = rationale


def _nth(texts: Sequence[str], rank: int) -> str | None:
    return texts[rank] if rank < len(texts) else None
