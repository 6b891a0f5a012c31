"""How good a churn probability is: ranking, calibration and profit."""
