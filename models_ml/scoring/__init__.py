"""Scoring: the deployed pipeline applied to features, and its reasons, from record batch to record batch."""
