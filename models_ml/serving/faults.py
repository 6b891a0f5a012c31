"""Errors in words that quote no customer: the message of an unexpected error may hold values of a request or a row."""

from __future__ import annotations

from models_ml.errors import BayesPilotError


def worded(error: Exception) -> str:
    """Return what went wrong, without a message that may quote a customer.

    Examples
    --------
    >>> worded(OSError(28, "No space left on device")), worded(KeyError("100000406"))
    ('No space left on device', 'KeyError')
    """
    if isinstance(error, BayesPilotError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return type(error).__name__


def place_of(error: Exception) -> str:
    """Return file and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
