"""Python models whose rows stay on the executors of Spark: the same functions of batches, by ``mapInArrow``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BATCH_MODELS: dict[str, Callable[..., Any]] = {}
