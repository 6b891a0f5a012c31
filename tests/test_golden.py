"""Twenty customers worked by hand: `golden/customers.csv` in, `golden/decisions.csv` out, read as a diff.

A change that is wanted is written by ``REGENERATE_GOLDEN=1 pytest tests/test_golden.py`` and reviewed line by
line in ``git diff tests/golden``: every changed cell needs a reason. How the cells come about, with the parameters
of ``decision_data.py`` (horizon 30 days, value over 90 days, margin one half, no discounting):

    V = revenue · 0.5 · (1 + 1/2)                  two periods after the horizon, the second reached by half
    call:  odds · 0.5 · 0.5^pain, costs 9 + 0.3 · 10 = 12; for customers in the mood, log-odds known to 0.3 only
    nudge: odds · 0.9 · 1.5^pain, costs 0.25
    v = (p − p under the offer) · V − cost

Capacity for three calls (the trial takes one first) and three nudges, a touch price of 0.10.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from decision_data import candidates, decision_inputs, known_effects, offers, policy
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from models_ml.decisions.limits import Limits
from models_ml.decisions.planned_actions import plan_actions

FOLDER = Path(__file__).parent / "golden"
COLUMNS = (
    "planned_action",
    "action",
    "arm",
    "suppression_reason",
    "customer_value",
    "relative_risk",
    "planned_cost",
    "planned_value",
    "propensity",
    "propensity_no_action",
)
EFFECTS = known_effects(("mood", "support_pain"), np.log([[0.5, 1.0, 0.5], [0.9, 1.0, 1.5]]))
EFFECTS.covariance[1, 1] = 0.3**2  # of the call, for customers in the mood
POLICY = policy(
    universal_holdout_share=0.05,
    pick_holdout_share=0.2,
    minimum_customer_value=1.0,
    touch_price=0.1,
)
LIMITS = Limits(
    100.0, np.array([3.0, 3.0]), {"phone": 9.0, "email": 9.0}, ("phone", "email"), ("call", "nudge")
)
LEARNING = Limits(
    20.0, np.array([1.0, 1.0]), {"phone": 1.0, "email": 1.0}, ("phone", "email"), ("call", "nudge")
)


def customers() -> list[dict[str, str]]:
    with (FOLDER / "customers.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decisions() -> list[str]:
    """Decide for the twenty and return the lines of the golden file."""
    rows = customers()
    numbers = [
        name for name in rows[0] if name.endswith("_draw") or name in ("churn_probability", "monthly_revenue")
    ]
    batch = candidates(
        len(rows),
        customer_id=[row["customer"] for row in rows],
        offers_allowed=np.array([int(row["offers_allowed"]) for row in rows]),
        suppression_reason=pa.array([row["suppression_reason"] or None for row in rows], pa.string()),
        signal_support_pain=[float(row["signal_support_pain"]) for row in rows],
        signal_mood=[float(row["signal_mood"]) for row in rows],
        **{name: [float(row[name]) for row in rows] for name in numbers},
    )
    planned = plan_actions(
        lambda: [batch], decision_inputs(POLICY, offers(), EFFECTS), LIMITS, LEARNING
    ).read_all().to_pylist()  # fmt: skip
    lines = [",".join(("customer", "what_it_shows", *COLUMNS))]
    for row, decided in zip(rows, planned, strict=True):
        cells = [_text(decided[column]) for column in COLUMNS]
        lines.append(",".join((row["customer"], f'"{row["what_it_shows"]}"', *cells)))
    return lines


def _text(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def test_the_golden_table_stands() -> None:
    path = FOLDER / "decisions.csv"
    if os.environ.get("REGENERATE_GOLDEN"):
        path.write_text("\n".join(decisions()) + "\n", encoding="utf-8")
    assert decisions() == path.read_text(encoding="utf-8").splitlines()


def test_twenty_customers_and_every_arm_and_rule() -> None:
    rows = [line.split(",") for line in decisions()[1:]]
    assert len(rows) == 20
    assert {row[4] for row in rows} >= {
        "policy",
        "pick_holdout",
        "trial",
        "universal_holdout",
        "not_chosen",
        "suppressed",
    }


# The churn probability of c15 under the call, over log-odds of ln 1/2 known to 0.3.
EXPECTED = quad(lambda x: norm.pdf(x) * expit(np.log(0.5) + 0.3 * x), -8, 8)[0]


# Worked with pencil: p, revenue, pain, offer -> p under the offer as a fraction of odds, value, v.
@pytest.mark.parametrize(
    ("customer", "worth", "value"),
    [
        ("c01", 100 * 0.5 * 1.5, (0.5 - 0.9 / 1.9) * 75 - 0.25),
        ("c02", 400 * 0.5 * 1.5, (0.5 - 0.25 / 1.25) * 300 - 12),
        ("c14", 300 * 0.5 * 1.5, (0.4 - (0.6 / (1 + 0.6))) * 225 - 0.25),  # odds 2/3 · 0.9 = 0.6
        ("c15", 200 * 0.5 * 1.5, (0.5 - EXPECTED) * 150 - 12),
        ("c17", 380 * 0.5 * 1.5, (0.5 - 0.25 / 1.25) * 285 - 12),
    ],
)
def test_values_by_hand(customer: str, worth: float, value: float) -> None:
    row = next(line.split(",") for line in decisions() if line.startswith(customer))
    assert float(row[-6]) == pytest.approx(worth, abs=0.005)
    assert float(row[-3]) == pytest.approx(value, abs=0.006)
