"""Decisions: the value of a contact, which customers to contact under limits, and how randomisation is logged."""
