"""Decisions: what a contact is worth, whom to contact under limits, and how randomisation is logged."""
