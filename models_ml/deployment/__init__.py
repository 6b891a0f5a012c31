"""Deployment: the deployed pipeline and its kept versions, the challenge that replaces it, logs and tracking."""
