"""BayesPilot: whom to contact, with which offer, and what that is worth."""
