"""How many threads numerical libraries may use: sums over several threads change their last bits."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


@functools.cache
def _threads() -> ThreadpoolController:
    """Return the control over BLAS and OpenMP threads; finding the libraries takes a while."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS and OpenMP to one thread, as scoring and calibration do.

    On batches, more threads wait for each other, beside a busy neighbour many times longer than the work takes.
    """
    return _threads().limit(limits=1)


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread and leave OpenMP free, which histogram boosting uses without changing a bit."""
    return _threads().limit(limits=1, user_api="blas")
