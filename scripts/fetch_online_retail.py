"""Download UCI Online Retail II, or convert a copy on disk, to ``invoice_lines.parquet`` in the raw-data folder.

    python scripts/fetch_online_retail.py
    python scripts/fetch_online_retail.py --from-file online_retail_II.xlsx --out my_folder

The workbook has one sheet a year, and the second begins before the first ends: lines in both sheets are taken from
the second. Nothing else is changed; the staging models interpret the lines.
"""

from __future__ import annotations

import os
import tempfile
import urllib.request
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from online_retail_file import (
    BY_HAND,
    FILE_NAME,
    LICENCE,
    SOURCE,
    URL,
    Figures,
    check_period,
    count_figures,
    keep_each_sheet_once,
    load_lines,
    type_lines,
    unpacked,
    write_lines,
)
from rich.console import Console
from rich.progress import Progress

from models_ml.errors import BayesPilotError
from models_ml.paths import project_root


def download(target: Path, progress: Progress) -> None:
    """Download the official archive.

    Raises
    ------
    BayesPilotError
        If the archive cannot be reached or is incomplete; the message says how to continue by hand.
    """
    try:
        with urllib.request.urlopen(URL, timeout=60) as answer, target.open("wb") as archive:
            size = int(answer.headers.get("Content-Length") or 0)
            task = progress.add_task("downloading", total=size or None)
            while block := answer.read(1 << 20):
                archive.write(block)
                progress.advance(task, len(block))
    except OSError as error:
        raise BayesPilotError(
            f"the official file could not be downloaded: {error}", where=URL, next_step=BY_HAND
        ) from error
    if size and target.stat().st_size != size:
        raise BayesPilotError("the download is incomplete", where=URL, next_step=f"try again, or {BY_HAND}")


def convert(path: Path, target: Path, progress: Progress) -> Figures:
    """Convert a workbook, a CSV export or a zip archive of one to the Parquet file ``target``.

    Raises
    ------
    BayesPilotError
        If the file is missing, unreadable, or not Online Retail II; ``target`` is then as it was.
    """
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        load_lines(connection, unpacked(path, Path(folder)), progress)
        task = progress.add_task("checking and writing", total=None)
        type_lines(connection, str(path))
        repeated_lines = keep_each_sheet_once(connection)
        check_period(connection, str(path))
        write_lines(connection, target)
        progress.update(task, total=1, completed=1)
        return count_figures(connection, target, repeated_lines)


def raw_data_folder() -> Path:
    """Return the folder that the source reads: ``RETENTION_DATA``, else seeds/raw/online_retail."""
    configured = os.environ.get("RETENTION_DATA")
    return Path(configured) if configured else project_root() / "seeds" / "raw" / "online_retail"


def report(figures: Figures, target: Path) -> None:
    """Print what was written, where it comes from and under which licence."""
    typer.echo(
        f"{target}: {figures.lines:,} invoice lines, {figures.first_day} to {figures.last_day}\n"
        f"  {figures.invoices:,} invoices, {figures.customers:,} customers;"
        f" {figures.lines_without_customer:,} lines without a customer\n"
        f"  {figures.repeated_lines:,} lines in two sheets were taken once\n"
        f"  sha256 {figures.sha256}\n"
        f"  source {SOURCE}\n"
        f"  licence {LICENCE}\n"
        f"next: RETENTION_DATA='{target.parent}' dbt build --vars '{{source: online_retail}}'"
    )


def main(
    from_file: Annotated[
        Path | None, typer.Option(help="Convert this .xlsx, .csv or .zip instead of downloading.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the file; RETENTION_DATA or seeds/raw/online_retail if not given."),
    ] = None,
) -> None:
    """Download UCI Online Retail II, or convert a copy, to invoice_lines.parquet in the raw-data folder."""
    try:
        target = (out or raw_data_folder()) / FILE_NAME
        with (
            tempfile.TemporaryDirectory() as downloads,
            Progress(console=Console(stderr=True), transient=True) as progress,
        ):
            path = from_file or Path(downloads) / "online_retail_ii.zip"
            if from_file is None:
                download(path, progress)
            figures = convert(path, target, progress)
    except BayesPilotError as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from error
    report(figures, target)


if __name__ == "__main__":
    typer.run(main)
