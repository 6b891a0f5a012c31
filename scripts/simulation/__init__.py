"""Playing BayesPilot forward: the demo world lives month by month with the actions that dbt decided.

The world (:mod:`demo_world`) writes its records as raw tables, ``dbt build`` runs in a copy of the project
(:mod:`simulation.business`), the deliverable actions become contacts (:mod:`simulation.world`), and the hidden
truth says what they were worth beside other policies (:mod:`simulation.valuation`,
:mod:`simulation.appraisal`) and how far beliefs are from it (:mod:`simulation.beliefs`).
"""
