"""Monitoring: the population of a run beside the population at training."""
