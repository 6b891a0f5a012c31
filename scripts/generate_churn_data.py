"""Generate the raw tables of the demo source: an invented subscription business, simulated month by month.

    python scripts/generate_churn_data.py --customers 5000 --months 24 --seed 7 --out seeds/raw/demo

The same arguments write the same bytes. Customers are simulated in chunks of 10,000, so that memory does not grow
with their number.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from demo_world import records
from demo_world.history import chunks, simulate_history
from demo_world.truth import SCHEMA as TRUTH_SCHEMA
from demo_world.truth import truth
from rich.progress import track

ENDS_ON = np.datetime64("2026-10-31")
TABLES = {**records.SCHEMAS, "truth": TRUTH_SCHEMA}


def raw_chunks(*, customers: int, months: int, seed: int, clean: bool) -> Iterator[records.Events]:
    """Yield the raw tables and the truth of one chunk of customers after the other."""
    for chunk in chunks(customers):
        state, events = simulate_history(chunk, months=months, ends_on=ENDS_ON, seed=seed)
        raw = records.observed(events, ENDS_ON)
        has_bad_rows = chunk.number == 0 and not clean
        yield {**(records.with_bad_rows(raw) if has_bad_rows else raw), "truth": truth(state)}


def write_parquet(tables: Iterator[records.Events], folder: Path) -> dict[str, int]:
    """Write each table to ``<folder>/<table>.parquet``, a row group per chunk; return the number of rows of each.

    All files are written aside first: a crash leaves the earlier files unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys(TABLES, 0)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".generating-") as aside:
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(_writer(Path(aside) / f"{name}.parquet", schema))
                for name, schema in TABLES.items()
            }
            for chunk in tables:
                for name, table in chunk.items():
                    writers[name].write_table(table)
                    rows[name] += len(table)
        for name in TABLES:
            os.replace(Path(aside) / f"{name}.parquet", folder / f"{name}.parquet")
    return rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=9)


def main(
    customers: Annotated[int, typer.Option(min=1, help="Customers that ever signed up.")] = 5000,
    months: Annotated[int, typer.Option(min=1, max=72, help="Months of history up to 2026-10-31.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random world.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder of the Parquet files.")] = Path("seeds/raw/demo"),
    clean: Annotated[bool, typer.Option("--clean", help="Leave out the few bad rows.")] = False,
) -> None:
    """Write raw tables and hidden truth of a subscription business whose churn drivers are known, as Parquet files."""
    generated = raw_chunks(customers=customers, months=months, seed=seed, clean=clean)
    total = sum(1 for _ in chunks(customers))
    rows = write_parquet(iter(track(generated, total=total, description="chunks of customers")), out)
    for name, count in rows.items():
        size = (out / f"{name}.parquet").stat().st_size / 1e6
        typer.echo(f"{name:<20}{count:>12,} rows {size:>9.2f} MB")


if __name__ == "__main__":
    typer.run(main)
