"""What the warehouse's evidence says of offers: cells, arms, shares reached, counts, covariances, acceptance."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from conftest import Project
from dbt_project_copy import CompiledModels
from decision_data import policy_table
from scipy.special import expit

from models_ml.effects.effect_settings import load_settings
from models_ml.effects.measured_effects import (
    ACCEPTANCE_SCHEMA,
    EFFECTS_SCHEMA,
    Evidence,
    effects_table,
    measured_acceptance,
    measured_effects,
    read_evidence,
    read_priors,
)
from models_ml.errors import BayesPilotError

SETTINGS, _ = load_settings()
OFFERS = ("call", "nudge")
PRIORS = pa.Table.from_pylist(
    [
        {"offer": offer, "signal": signal, "mean": -0.1, "sd": 0.3}
        for offer in OFFERS
        for signal in ("intercept", "pain")
    ]
)
KNOWN = read_priors(PRIORS, 0.5)
SCHEMA = pa.schema(
    [
        ("stratum", pa.string()),
        ("customer_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("offer", pa.string()),
        ("compared_offer", pa.string()),
        ("churn_probability", pa.float64()),
        ("has_churned", pa.bool_()),
        ("reached_offer", pa.string()),
        ("has_accepted", pa.bool_()),
        ("signal_pain", pa.float64()),
        ("unused_reason", pa.string()),
    ]
)


def row(stratum: str, offer: str | None, compared: str | None = None, **changes: object) -> dict[str, Any]:
    """One row of int_effect_evidence; an assigned offer reaches its customer."""
    return {
        "stratum": stratum,
        "customer_id": "c",
        "as_of_date": date(2026, 6, 30),
        "offer": offer,
        "compared_offer": compared,
        "churn_probability": 0.2,
        "has_churned": False,
        "reached_offer": offer,
        "has_accepted": False,
        "signal_pain": 0.0,
        **changes,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def evidence(*rows: dict[str, Any]) -> Evidence:
    return read_evidence(table(*rows), KNOWN, SETTINGS)


def diagonal(found: pa.Table) -> list[dict[str, Any]]:
    return [
        each
        for each in found.to_pylist()
        if (each["offer"], each["signal"]) == (each["other_offer"], each["other_signal"])
    ]


def test_cells_and_arms_follow_the_assignment_alone() -> None:
    may = {"as_of_date": date(2026, 5, 31)}
    read = evidence(
        row("policy", "call", "call"),
        row("policy", None, "call"),
        row("policy", "call", "call", reached_offer=None),
        row("policy", "call", "call", **may),
        row("policy", None, "nudge", reached_offer="fax"),
        row("trial", "call"),
        row("past_trial", "call"),
    )
    episodes = read.episodes
    names = [episodes.cells[cell] for cell in episodes.cell]
    assert names == ["policy: call"] * 4 + ["policy: nudge", "trial", "past_trial"]
    assert len(set(episodes.arm.tolist())) == 6
    assert episodes.arm[0] == episodes.arm[2] != episodes.arm[3]
    # One of two is reached in June, one of one in May: 2/3 overall, which counts for twenty customers.
    prior = SETTINGS.reach_before_evidence
    reach = episodes.reach[episodes.arm]
    assert reach[0] == pytest.approx([(1 + prior * 2 / 3) / (2 + prior), 0.0])
    assert reach[3] == pytest.approx([(1 + prior * 2 / 3) / (1 + prior), 0.0])
    assert reach[[1, 4]].tolist() == [[0.0, 0.0]] * 2


def test_without_evidence_the_table_is_the_seed() -> None:
    rows = diagonal(effects_table(evidence(), KNOWN, SETTINGS))
    assert {(each["effect_mean"], each["effect_sd"], each["effect_source"]) for each in rows} == {
        (-0.1, 0.3, "assumed")
    }
    assert sum(each["contacted_customers"] + each["control_customers"] for each in rows) == 0


def test_counts_stand_beside_the_effects() -> None:
    found = effects_table(
        evidence(
            row("policy", "call", "call", has_churned=True, churn_probability=0.1),
            row("policy", None, "call", has_churned=True, signal_pain=1.0),
            row("trial", None, churn_probability=0.3, signal_pain=2.0),
            row("past_trial", "nudge", churn_probability=0.4, signal_pain=0.5),
            row("policy", None, "nudge", churn_probability=0.5),
        ),
        KNOWN,
        SETTINGS,
    )
    assert found.schema == EFFECTS_SCHEMA
    assert found.num_rows == 16
    rows = {(each["offer"], each["signal"]): each for each in diagonal(found)}
    counted = {key: (each["contacted_customers"], each["contacted_churned"]) for key, each in rows.items()}
    assert counted == {
        ("call", "intercept"): (1, 1),
        ("call", "pain"): (0, 0),
        ("nudge", "intercept"): (1, 0),
        ("nudge", "pain"): (1, 0),
    }
    controls = {key: each["control_customers"] for key, each in rows.items()}
    assert list(controls.values()) == [2, 2, 2, 1]  # own holdouts and the control of the trial
    assert rows["call", "intercept"]["control_expected"] == pytest.approx(0.5, abs=0.1)


def test_what_chance_shows_of_one_offer_moves_its_covariances() -> None:
    rng = np.random.default_rng(3)
    rows = []
    for number in range(3_000):
        offer = (None, "call")[number % 2]
        pain = float(rng.choice([0.0, 1.0]))
        moved = -1.0 + (-0.8 - 0.4 * pain) * (offer == "call")
        churns = bool(rng.random() < expit(moved))
        rows.append(row("trial", offer, has_churned=churns, churn_probability=expit(-1.0), signal_pain=pain))
    found = effects_table(evidence(*rows), KNOWN, SETTINGS)
    by_key = {(each["offer"], each["signal"]): each for each in diagonal(found)}
    call, nudge = by_key["call", "intercept"], by_key["nudge", "intercept"]
    assert call["effect_mean"] == pytest.approx(-0.8, abs=0.3)
    assert (call["effect_source"], nudge["effect_source"]) == ("measured", "assumed")
    assert nudge["effect_mean"] < -0.2  # borrowed from the call
    matrix = np.array(found["covariance"].to_pylist()).reshape(4, 4)
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert matrix[0, 1] < 0, "of intercept and slope only the sum is well known"
    assert found.equals(effects_table(evidence(*rows), KNOWN, SETTINGS))


def test_priors_and_evidence_that_lack_something_are_refused() -> None:
    with pytest.raises(BayesPilotError, match="nudge, pain"):
        read_priors(PRIORS.slice(0, 3), 0.5)
    tiny = pa.Table.from_pylist([each | {"sd": 1e-200} for each in PRIORS.to_pylist()])
    with pytest.raises(BayesPilotError, match="within their bounds"):
        read_priors(tiny, 0.5)
    with pytest.raises(BayesPilotError, match="offer holds an unknown name"):
        evidence(row("trial", "fax"))
    with pytest.raises(BayesPilotError, match="churn_probability is missing"):
        evidence(row("trial", "call", churn_probability=None))


def test_the_tables_are_read_from_the_warehouse() -> None:
    connection = duckdb.connect()
    rows = [
        row("past_trial", "call", has_accepted=number % 2 == 0, signal_pain=number % 3)
        for number in range(40)
    ]
    rows.append(row("policy", "call", "call", unused_reason="not_scored"))
    offers = pa.table({"offer": OFFERS, "acceptance_rate": [0.3, 0.0], "acceptance_sd": [0.5, 0.5]})
    slopes = [
        0.7 if (row["offer"], row["signal"]) == ("nudge", "pain") else None for row in PRIORS.to_pylist()
    ]
    given = {
        "evidence": table(*rows),
        "priors": PRIORS,
        "acceptance": pa.table(
            {
                "offer": PRIORS["offer"],
                "signal": PRIORS["signal"],
                "acceptance_mean": slopes,
                "acceptance_sd": [slope and 0.1 for slope in slopes],
            }
        ),
        "policy": policy_table(offer_effect_correlation=0.0),
        "offers": offers,
    }
    for name, content in given.items():
        connection.register(name, content)
    effects = measured_effects(connection, "from evidence", "from priors", "from policy")
    connection.register("effects", effects)
    by_key = {(each["offer"], each["signal"]): each for each in diagonal(effects)}
    assert by_key["call", "intercept"]["contacted_customers"] == 40
    assert by_key["nudge", "intercept"]["effect_mean"] == -0.1, "without correlation nothing is borrowed"
    accepted = measured_acceptance(
        connection, "from evidence", "from offers", "from acceptance", "from effects"
    )
    assert accepted.schema == ACCEPTANCE_SCHEMA
    found = {(each["offer"], each["feature"]): each for each in accepted.to_pylist()}
    assert (found["call", "intercept"]["contacts"], found["call", "intercept"]["accepted"]) == (40, 20)
    assert 0.3 < expit(found["call", "intercept"]["log_odds"]) < 0.5
    assert found["call", "pain"]["feature_mean"] == pytest.approx(np.mean([n % 3 for n in range(40)]))
    assert expit(found["nudge", "intercept"]["log_odds"]) == 0.0
    assert found["nudge", "pain"]["log_odds"] == 0.7, "nobody was contacted with it: what is believed stands"


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
    counted = ("contacted_customers", "contacted_churned", "control_customers", "control_churned")
    for unassigned in ("false", "null"):  # they are contacts of customers on trial, but no assignments
        assert found[unassigned] == found["null"]
        assert [found[unassigned]["discount"][name] for name in counted] == [
            before["discount"][name] for name in counted
        ]
        assert found[unassigned]["discount"]["effect_mean"] < 0
    assert before["discount"]["effect_mean"] < 0 < found["true"]["discount"]["effect_mean"]


def _effects(models: CompiledModels) -> dict[str, dict[str, float]]:
    """Return the intercepts that the warehouse's evidence gives now, by offer, to a team that could be convinced."""
    open_minded = (
        "select * replace (cast(-0.3 as double) as mean, cast(0.2 as double) as sd) from offer_effect_priors"
    )
    tables = ("select * from int_effect_evidence", open_minded, "select * from int_policy_parameters")
    table = measured_effects(models.connection.cursor(), *tables)
    return {
        row["offer"]: {name: value for name, value in row.items() if name != "covariance"}
        for row in table.to_pylist()
        if row["signal"] == row["other_signal"] == "intercept" and row["offer"] == row["other_offer"]
    }
