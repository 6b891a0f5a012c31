"""Quality of churn probabilities (ranking, calibration, profit), and the measured value of a policy."""

from models_ml.evaluation.contrasts import pick_holdout_contrast, universal_holdout_contrast
from models_ml.evaluation.intervals import Estimate, Evidence, Sequence, at_every_look, months_needed, verdict
from models_ml.evaluation.metrics import brier_decomposition, expected_calibration_error
from models_ml.evaluation.policy_value import PolicyValue, policy_value
from models_ml.evaluation.profit import expected_maximum_profit, maximum_profit, probability_better

__all__ = [
    "Estimate",
    "Evidence",
    "PolicyValue",
    "Sequence",
    "at_every_look",
    "brier_decomposition",
    "expected_calibration_error",
    "expected_maximum_profit",
    "maximum_profit",
    "months_needed",
    "pick_holdout_contrast",
    "policy_value",
    "probability_better",
    "universal_holdout_contrast",
    "verdict",
]
