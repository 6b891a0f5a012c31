"""The training stage: split by time, fit, calibrate, judge in money, refit."""
