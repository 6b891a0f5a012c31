"""The demo world: a subscription business whose customers leave for known causes.

A world is founded (:mod:`demo_world.founding`) and played forward one month at a time by
:func:`demo_world.month.step_month`, a pure function of the state, the month's contacts and a random
generator. Whatever the business would record comes back as Arrow tables; what it cannot know (why a customer
leaves, how each offer would change that) stays in the state and in :mod:`demo_world.truth`.
"""
