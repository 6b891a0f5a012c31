"""Watching a deployed pipeline: what the population looked like at training, and how far it has moved."""
