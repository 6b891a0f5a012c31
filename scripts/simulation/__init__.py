"""Simulation of months with BayesPilot: the demo world reacts to the actions that dbt decided.

Each month (:mod:`simulation.loop`) the world's records are written as raw tables, ``dbt build`` runs in a copy of
the project (:mod:`simulation.business`) or, after the first month, its compiled models alone
(:mod:`simulation.compiled_project`), and the deliverable actions become contacts in the world
(:mod:`simulation.world`). The hidden truth gives their value beside that of other policies
(:mod:`simulation.true_value`) and the distance of the beliefs from it (:mod:`simulation.beliefs`).
"""
