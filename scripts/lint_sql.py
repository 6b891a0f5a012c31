"""sqlfluff with a rare garbage collection, which takes a third of its time otherwise and finds next to nothing.

Options and exit codes are those of sqlfluff. Processes that it starts import this module too.
"""

from __future__ import annotations

import gc

gc.set_threshold(100_000, 100, 100)

from sqlfluff.cli.commands import cli  # noqa: E402 - its spawned processes load this module first

if __name__ == "__main__":
    cli()
