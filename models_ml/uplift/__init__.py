"""Learn from any randomised trial which customers should get which offer, and what that is worth.

`learn_policy` runs on any frame, without a warehouse; ``bayespilot uplift FILE`` runs it on a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models_ml.uplift.learning import LearnedPolicy, learn_policy

__all__ = ["LearnedPolicy", "learn_policy"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a function or class of the list above
    """Import on first use: the command line lists its commands without loading what learns."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from models_ml.uplift import learning

    return getattr(learning, name)
