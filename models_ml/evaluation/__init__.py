"""How good a churn probability is (ranking, calibration, profit), and what a policy has been worth."""

from models_ml.evaluation.contrasts import (
    months_needed,
    pick_holdout_contrast,
    universal_holdout_contrast,
    verdict,
)
from models_ml.evaluation.intervals import Estimate
from models_ml.evaluation.policy_value import PolicyValue, policy_value

__all__ = [
    "Estimate",
    "PolicyValue",
    "months_needed",
    "pick_holdout_contrast",
    "policy_value",
    "universal_holdout_contrast",
    "verdict",
]
