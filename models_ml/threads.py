"""How many threads numerical libraries may use: sums over several threads change their last bits."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS and OpenMP to one thread, as scoring and calibration do.

    Sums over several threads change their last bits, and on batches more threads mostly wait for each other.
    """
    return _threads().limit(limits=1)


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread and leave OpenMP free, which histogram boosting uses without changing a bit."""
    return _threads().limit(limits=1, user_api="blas")


@functools.cache
def _threads() -> ThreadpoolController:
    """Return the control over BLAS and OpenMP threads; finding the libraries takes a while."""
    return ThreadpoolController()
