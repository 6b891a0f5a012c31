"""Offer effects from randomised contacts: against integration, in coverage, and where evidence is thin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from compiled_models import CompiledModels
from conftest import Project
from scipy.integrate import quad
from scipy.special import expit, logit

from models_ml.effects.measured_effects import (
    EFFECTS_SCHEMA,
    acceptance_posterior,
    effects_table,
    measured_effects,
)
from models_ml.effects.posterior import effect_posterior
from models_ml.effects.randomised_outcomes import (
    Evidence,
    Floats,
    Priors,
    counts_of_contacted,
    counts_of_controls,
    read_evidence,
    read_priors,
    scaled_to_effective_size,
)
from models_ml.effects.settings import load_settings
from models_ml.errors import BayesPilotError

SETTINGS = load_settings()
POLICY, TRIAL, PAST_TRIAL = range(3)
SIGNAL_VALUES = (0.0, 0.0, 0.5, 1.0, 2.0)


def beliefs(*mean: float, sd: float, offers: int = 1) -> Priors:
    """Return the same belief, intercept first, about each offer."""
    signals = tuple(f"signal_{number}" for number in range(len(mean) - 1))
    names = tuple(f"offer_{number}" for number in range(offers))
    return Priors(names, signals, np.tile(mean, (offers, 1)), np.full((offers, len(mean)), sd))


def draw_evidence(
    rng: np.random.Generator,
    effects: Floats,
    *,
    contacted: int,
    controls: int,
    shift: float = 0.0,
    reached: float = 1.0,
) -> Evidence:
    """Draw a trial: `contacted` customers per offer, of whom a share is reached, and controls."""
    offers, width = effects.shape
    offer = np.concatenate([np.repeat(np.arange(offers), contacted), np.full(controls, -1)])
    signals = rng.choice(SIGNAL_VALUES, (len(offer), width - 1))
    alone = rng.normal(-1.5, 1.0, len(offer))
    design = np.column_stack([np.ones(len(offer)), signals])
    moved = np.einsum("ij,ij->i", design, effects[np.maximum(offer, 0)])
    is_reached = (offer >= 0) & (rng.random(len(offer)) < reached)
    churns = rng.random(len(offer)) < expit(alone + shift + moved * is_reached)
    share = np.where(offer >= 0, reached, 0.0)
    none = np.full(len(offer), -1)
    return Evidence(
        np.full(len(offer), PAST_TRIAL),
        offer,
        none,
        expit(alone),
        churns,
        np.ones(len(offer)),
        share,
        signals,
    )


def integrated(evidence: Evidence, priors: Priors, points: int = 41) -> tuple[Floats, Floats]:
    """Return mean and sd of the effects of one offer by summing the posterior over a grid, shift included."""
    centres = [0.0, *priors.mean[0]]
    widths = [SETTINGS.recalibration_sd, *priors.sd[0]]
    axes = [np.linspace(m - 5.5 * s, m + 5.5 * s, points) for m, s in zip(centres, widths, strict=True)]
    shift, *effects = np.meshgrid(*axes, indexing="ij")
    height = -0.5 * sum(
        ((grid - m) / s) ** 2 for grid, m, s in zip((shift, *effects), centres, widths, strict=True)
    )
    for row in range(len(evidence)):
        base = logit(evidence.churn_probability[row]) + shift
        moved = base + sum(z * b for z, b in zip(evidence.design[row], effects, strict=True))
        share = evidence.executed_share[row]
        churns = (1 - share) * expit(base) + share * expit(moved)
        height = height + np.log(churns if evidence.has_churned[row] else 1 - churns)
    mass = np.exp(height - height.max())
    mass /= mass.sum()
    means = np.array([(mass * b).sum() for b in effects])
    spread = [(mass * (b - m) ** 2).sum() for b, m in zip(effects, means, strict=True)]
    return means, np.sqrt(spread)


@pytest.mark.parametrize(("rows", "sd"), [(30, 0.25), (150, 0.15), (400, 0.3)])
def test_posterior_equals_numerical_integration(rows: int, sd: float) -> None:
    priors = beliefs(-0.1, 0.2, sd=sd)
    rng = np.random.default_rng(rows)
    effects = rng.normal(priors.mean, priors.sd)
    evidence = draw_evidence(rng, effects, contacted=rows, controls=rows // 2, shift=0.2)
    mean, deviation = integrated(evidence, priors)
    found = effect_posterior(evidence, priors, SETTINGS)
    assert found.mean[0] == pytest.approx(mean, abs=0.01 * deviation.min())
    assert found.sd[0] == pytest.approx(deviation, rel=0.01)


def test_contacts_that_reach_only_a_share_are_integrated_as_such() -> None:
    priors = beliefs(-0.1, 0.2, sd=0.25)
    rng = np.random.default_rng(5)
    evidence = draw_evidence(rng, np.array([[-0.6, 0.3]]), contacted=200, controls=100, reached=0.6)
    mean, deviation = integrated(evidence, priors)
    found = effect_posterior(evidence, priors, SETTINGS)
    assert found.mean[0] == pytest.approx(mean, abs=0.01 * deviation.min())
    assert found.sd[0] == pytest.approx(deviation, rel=0.02)


def test_intervals_cover_as_often_as_they_say() -> None:
    priors = beliefs(-0.1, -0.2, sd=0.3, offers=2)
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        effects = rng.normal(priors.mean, priors.sd)
        shift = rng.normal(0, SETTINGS.recalibration_sd)
        evidence = draw_evidence(rng, effects, contacted=150, controls=60, shift=shift)
        found = effect_posterior(evidence, priors, SETTINGS)
        covered.append(np.abs(found.mean - effects) <= 1.6449 * found.sd)
    share = np.mean(covered, axis=0)
    assert 0.85 <= share.min() <= share.max() <= 0.95
    assert 0.88 <= share.mean() <= 0.92


def test_without_evidence_the_posterior_is_the_prior_exactly() -> None:
    priors = Priors(
        ("a", "b"), ("s",), np.array([[0.1, -1 / 3], [0.7, 1 / 7]]), np.array([[0.1, 0.3], [1, 2]])
    )
    rng = np.random.default_rng(0)
    first = draw_evidence(rng, np.array([[-0.5, -0.5]]), contacted=80, controls=40)
    found = effect_posterior(first, priors, SETTINGS)
    assert not np.array_equal(found.mean[0], priors.mean[0])
    assert np.array_equal(found.mean[1], priors.mean[1])
    assert np.array_equal(found.sd[1], priors.sd[1])
    assert not found.is_measured[1].any()


def test_an_action_nobody_executes_teaches_nothing_about_its_offer() -> None:
    priors = beliefs(-0.4, 0.0, sd=0.3)
    rng = np.random.default_rng(1)
    evidence = draw_evidence(rng, np.zeros((1, 2)), contacted=500, controls=200, reached=0.0)
    found = effect_posterior(evidence, priors, SETTINGS)
    assert np.array_equal(found.mean, priors.mean)
    assert np.array_equal(found.sd, priors.sd)
    assert found.shift_sd[PAST_TRIAL] < SETTINGS.recalibration_sd  # they were left alone, and show that


def test_a_share_that_was_reached_does_not_make_the_offer_look_weak() -> None:
    priors = beliefs(0.0, sd=1.0)
    rng = np.random.default_rng(2)
    evidence = draw_evidence(rng, np.array([[-1.0]]), contacted=20_000, controls=20_000, reached=0.5)
    assert effect_posterior(evidence, priors, SETTINGS).mean[0, 0] == pytest.approx(-1.0, abs=0.15)
    believed = replace(evidence, executed_share=(evidence.offer >= 0).astype(float))
    assert effect_posterior(believed, priors, SETTINGS).mean[0, 0] > -0.65


def test_controls_recalibrate_before_an_effect_is_believed() -> None:
    priors = beliefs(0.0, sd=0.3)
    rng = np.random.default_rng(3)
    evidence = draw_evidence(rng, np.zeros((1, 1)), contacted=4_000, controls=4_000, shift=0.4)
    found = effect_posterior(evidence, priors, SETTINGS)
    assert found.shift[PAST_TRIAL] == pytest.approx(0.4, abs=0.1)
    assert abs(found.mean[0, 0]) < 2 * found.sd[0, 0] < 0.2
    contacted_only = effect_posterior(_rows(evidence, evidence.offer >= 0), priors, SETTINGS)
    assert contacted_only.sd[0, 0] > 1.5 * found.sd[0, 0]  # without controls, either may be the cause


@pytest.mark.parametrize(("churns", "expected_sign"), [(False, -1), (True, 1)])
def test_separation_gives_finite_answers(churns: bool, expected_sign: int) -> None:
    priors = beliefs(0.0, 0.0, sd=1.0)
    rng = np.random.default_rng(4)
    evidence = draw_evidence(rng, np.zeros((1, 2)), contacted=60, controls=30)
    evidence = replace(evidence, has_churned=np.where(evidence.offer >= 0, churns, evidence.has_churned))
    found = effect_posterior(evidence, priors, SETTINGS)
    assert np.sign(found.mean[0, 0]) == expected_sign
    assert np.isfinite(found.mean).all()
    assert np.abs(found.mean).max() < 4
    assert (found.sd > 0).all()
    assert (found.sd <= priors.sd).all()


def test_few_rows_no_churn_and_certain_probabilities_are_harmless() -> None:
    priors = beliefs(-0.1, 0.2, sd=0.2)
    one = Evidence(
        *(np.array([each]) for each in (TRIAL, 0, -1)),
        churn_probability=np.array([0.0]),
        has_churned=np.array([True]),
        weight=np.ones(1),
        executed_share=np.ones(1),
        signals=np.array([[2.0]]),
    )
    for probability in (0.0, 1e-9, 1.0):
        for churned in (True, False):
            row = replace(one, churn_probability=np.array([probability]), has_churned=np.array([churned]))
            found = effect_posterior(row, priors, SETTINGS)
            assert np.abs(found.mean - priors.mean).max() < 0.2
            assert np.isfinite(found.sd).all()
    quiet = draw_evidence(np.random.default_rng(6), np.zeros((1, 2)), contacted=50, controls=50)
    found = effect_posterior(replace(quiet, has_churned=np.zeros(100, bool)), priors, SETTINGS)
    assert np.abs(found.mean - priors.mean).max() < 0.4


def test_evidence_outweighs_the_prior_once_the_variance_is_halved() -> None:
    priors = beliefs(0.0, sd=0.3)
    rng = np.random.default_rng(7)
    few = effect_posterior(draw_evidence(rng, np.zeros((1, 1)), contacted=40, controls=40), priors, SETTINGS)
    many = effect_posterior(
        draw_evidence(rng, np.zeros((1, 1)), contacted=900, controls=900), priors, SETTINGS
    )
    assert few.sd[0, 0] ** 2 > 0.5 * 0.09 > many.sd[0, 0] ** 2
    assert (few.is_measured[0, 0], many.is_measured[0, 0]) == (False, True)


def test_rows_that_stand_for_many_teach_as_much_as_they_are() -> None:
    evidence = draw_evidence(np.random.default_rng(8), np.zeros((1, 1)), contacted=4, controls=2)
    weighted = scaled_to_effective_size(replace(evidence, weight=np.array([1.0, 1, 1, 9, 5, 5])))
    assert weighted.weight[:4].sum() == pytest.approx(12**2 / 84)
    assert weighted.weight[:4] == pytest.approx(np.array([1, 1, 1, 9]) * 12 / 84)
    assert weighted.weight[4:].tolist() == [1.0, 1.0]
    heavier = replace(evidence, weight=np.full(6, 10.0))
    priors = beliefs(0.0, sd=0.3)
    found = [effect_posterior(each, priors, SETTINGS).mean.tolist() for each in (evidence, heavier)]
    assert found[0] == found[1]


def test_counts_stand_beside_the_effects() -> None:
    evidence = Evidence(
        stratum=np.array([POLICY, POLICY, TRIAL, PAST_TRIAL, POLICY]),
        offer=np.array([0, -1, -1, 1, -1]),
        compared_offer=np.array([-1, 0, -1, -1, 1]),
        churn_probability=np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
        has_churned=np.array([True, True, False, False, False]),
        weight=np.ones(5),
        executed_share=np.array([1.0, 0, 0, 1, 0]),
        signals=np.array([[0.0], [1.0], [2.0], [0.5], [0.0]]),
    )
    contacted = counts_of_contacted(evidence, evidence.churn_probability, 2)
    assert contacted.customers.tolist() == [[1, 0], [1, 1]]
    assert contacted.churned.tolist() == [[1, 0], [0, 0]]
    controls = counts_of_controls(evidence, evidence.churn_probability, 2)
    assert controls.customers.tolist() == [[2, 2], [2, 1]]  # own pick-holdout and the trial's control
    assert controls.expected == pytest.approx(np.array([[0.5, 0.5], [0.8, 0.3]]))


@pytest.mark.parametrize(("contacts", "accepted"), [(5, 0), (5, 5), (40, 12), (500, 30)])
def test_acceptance_equals_integration(contacts: int, accepted: int) -> None:
    def mass(log_odds: float) -> float:
        away = (log_odds - logit(0.25)) / 0.3
        share = expit(log_odds)
        return float(share**accepted * (1 - share) ** (contacts - accepted) * np.exp(-0.5 * away**2))

    found = acceptance_posterior(contacts, accepted, 0.25, 0.3, 0.5)
    near = (logit(found.rate) - 2.5, logit(found.rate) + 2.5)
    scale = mass(logit(found.rate))
    whole = quad(lambda x: mass(x) / scale, *near)[0]
    mean = quad(lambda x: x * mass(x) / scale, *near)[0] / whole
    spread = quad(lambda x: (x - mean) ** 2 * mass(x) / scale, *near)[0] / whole
    assert found.rate == pytest.approx(expit(mean), rel=0.01)
    assert found.log_odds_sd == pytest.approx(np.sqrt(spread), rel=0.01)


def test_acceptance_without_contacts_or_doubt_is_the_seed_exactly() -> None:
    assert acceptance_posterior(0, 0, 0.1, 0.5, 0.5).rate == 0.1
    assert acceptance_posterior(50, 20, 0.0, 0.5, 0.5).rate == 0.0
    assert acceptance_posterior(50, 20, 1.0, 0.5, 0.5).rate == 1.0
    assert acceptance_posterior(1_000_000, 0, 0.5, 0.5, 0.5).rate > 0


def test_priors_and_evidence_that_lack_something_are_refused() -> None:
    rows = [{"offer": "a", "signal": "intercept", "mean": 0.0, "sd": 0.1}]
    assert read_priors(pa.Table.from_pylist(rows)).mean.tolist() == [[0.0]]
    with pytest.raises(BayesPilotError, match="a, declining_engagement"):
        read_priors(pa.Table.from_pylist([*rows, {**rows[0], "signal": "declining_engagement", "sd": 0.0}]))
    row = {
        "stratum": "trial", "offer": "b", "compared_offer": None, "churn_probability": 0.1, "has_churned": True,
        "evidence_weight": 1.0, "executed_share": 1.0,
    }  # fmt: skip
    with pytest.raises(BayesPilotError, match="offer holds an unknown name"):
        read_evidence(pa.Table.from_pylist([row]), read_priors(pa.Table.from_pylist(rows)))
    with pytest.raises(BayesPilotError, match="churn_probability is missing"):
        read_evidence(
            pa.Table.from_pylist([row | {"offer": "a"}, row | {"offer": "a", "churn_probability": None}]),
            read_priors(pa.Table.from_pylist(rows)),
        )


def test_the_table_is_typed_and_ordered_by_offer() -> None:
    priors = beliefs(-0.1, 0.2, sd=0.2, offers=3)
    evidence = draw_evidence(np.random.default_rng(9), np.zeros((3, 2)), contacted=20, controls=20)
    table = effects_table(evidence, priors, SETTINGS)
    assert table.schema == EFFECTS_SCHEMA
    assert table["signal"].to_pylist() == ["intercept", "signal_0"] * 3
    assert table["contacted_customers"].to_pylist()[::2] == [20] * 3
    again = effects_table(evidence, priors, SETTINGS)
    assert again.equals(table)


@pytest.mark.build
def test_a_confounded_campaign_teaches_nothing(built_project: Project, tmp_path: Path) -> None:
    """Hundreds of contacts of customers who then left would turn the discount's effect round; they are not read."""
    project = built_project.copy(tmp_path / "project")
    models = CompiledModels(project.folder, project.warehouse(), ("int_effect_evidence",))
    before = _effects(models)
    assert before["discount"]["contacted_customers"] > 10
    contacts = str(
        models.rows("select sql from duckdb_views() where view_name = 'stg_retention_contacts'")[0][0]
    )
    leavers = (
        "select contact_id || '-' || copy as contact_id, cast(null as varchar) as action_id, customer_id,"
        " 'discount' as offer, as_of_date as contacted_on, cast(null as date) as accepted_on,"
        " cast(0.25 as decimal(18, 2)) as cost, {randomised} as is_randomized, 0.5 as propensity"
        " from planted cross join range(60) as copies (copy)"
    )
    models.connection.execute(
        "create table planted as select contact_id, customer_id, as_of_date from int_trial_assignments"
        " semi join int_trial_probabilities on int_trial_assignments.customer_id = int_trial_probabilities.customer_id"
        " and scored_on = int_trial_probabilities.as_of_date where has_churned"
    )
    genuine = contacts.split(" AS ", 1)[1].rstrip().rstrip(";")
    found = {}
    for randomised in ("false", "null", "true"):
        models.connection.execute(
            f"create or replace view stg_retention_contacts as ({genuine}) union all by name"
            f" {leavers.format(randomised=randomised)}"
        )
        models.rebuild()
        found[randomised] = _effects(models)
    models.close()
    assert found["false"] == found["null"] == before
    assert before["discount"]["effect_mean"] < 0 < found["true"]["discount"]["effect_mean"]


def _effects(models: CompiledModels) -> dict[str, dict[str, float]]:
    """Return the intercepts that the warehouse's evidence gives now, by offer, to a team that could be convinced."""
    open_minded = (
        "select * replace (cast(-0.3 as double) as mean, cast(0.2 as double) as sd) from offer_effect_priors"
    )
    table = measured_effects(models.connection.cursor(), "select * from int_effect_evidence", open_minded)
    return {row["offer"]: row for row in table.to_pylist() if row["signal"] == "intercept"}


def _rows(evidence: Evidence, kept: np.ndarray) -> Evidence:
    return Evidence(**{name: getattr(evidence, name)[kept] for name in evidence.__dataclass_fields__})
