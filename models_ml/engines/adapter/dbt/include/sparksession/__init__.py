"""Macros of the adapter sparksession, and the settings of Spark's log."""

from pathlib import Path

PACKAGE_PATH = str(Path(__file__).parent)
