"""Start the page with Streamlit, for this machine only and without usage statistics.

`bayespilot app` calls `start`; Streamlit then runs this file, with the source in the environment.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

from models_ml.errors import BayesPilotError
from models_ml.paths import published_run_folder

SOURCE_VARIABLE = "BAYESPILOT_APP_SOURCE"


def command(port: int) -> list[str]:
    """Return the command that serves the page on the loopback address."""
    options = {
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(Path(__file__)), *given]


def start(source: str, port: int) -> NoReturn:
    """Become the process that serves the page, so that signals reach it.

    Raises
    ------
    BayesPilotError
        If Streamlit is not installed, or nothing has been published.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise BayesPilotError("Streamlit is not installed", next_step="pip install -e '.[app]'")
    published_run_folder(source)
    os.execve(sys.executable, command(port), os.environ | {SOURCE_VARIABLE: source})


if __name__ == "__main__":
    from models_ml.app.page import show

    show(os.environ.get(SOURCE_VARIABLE, "demo"))
