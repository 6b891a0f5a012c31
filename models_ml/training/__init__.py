"""The training stage: split by time, fit, calibrate, judge in money, refit.

`train_candidates` runs it on any frame, without a warehouse; `feature_schema` declares the frame's features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models_ml.training.candidate_training import ComparedCandidates, train_candidates
    from models_ml.training.frames import feature_schema

__all__ = ["ComparedCandidates", "feature_schema", "train_candidates"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a function or class of the list above
    """Import on first use: scoring needs the modules below this package, not what trains."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from models_ml.training import candidate_training, frames

    return getattr(frames if name == "feature_schema" else candidate_training, name)
