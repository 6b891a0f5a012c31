"""Which code trained: the git commit where there is one, else the version of the package."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parent.parent


def code_version(folder: Path = PACKAGE_FOLDER) -> str:
    """Return the commit of the package's checkout, with ``-dirty`` where files differ from it.

    A package installed without its checkout has no commit: then ``bayespilot`` and its version.
    """
    installed = f"bayespilot {version('bayespilot')}"
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return installed
    return described.stdout.strip() if described.returncode == 0 else installed
