"""Applying the deployed pipeline: pure functions from record batch to record batch."""
