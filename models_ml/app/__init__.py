"""The page to work with: the last plan, other limits, one customer, what the programme earned, monitoring.

Everything is read from the published copy; nothing is written. `bayespilot app` starts it.
"""
