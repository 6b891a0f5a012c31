"""Learn from any randomised trial which customers should get which offer, and what that is worth.

`learn_policy` runs on any frame, without a warehouse; ``bayespilot uplift FILE`` runs it on a file.
"""

from models_ml.uplift.learning import LearnedPolicy, learn_policy

__all__ = ["LearnedPolicy", "learn_policy"]
