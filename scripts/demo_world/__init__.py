"""The demo world: a subscription business whose customers leave for known reasons.

The first customers are drawn by :mod:`demo_world.sign_ups`. :func:`demo_world.month.step_month` simulates one
month: a pure function of the state, the month's contacts and a random generator. It returns what the business
would record as Arrow tables. What a business cannot know (why a customer leaves, how each offer would change
that) stays in the state and in :mod:`demo_world.truth`.
"""
