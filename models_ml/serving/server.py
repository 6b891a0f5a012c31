"""``bayespilot serve``: the interface on a port, until SIGTERM."""

from __future__ import annotations

import logging
import os
import signal

import uvicorn

from models_ml.errors import BayesPilotError
from models_ml.paths import decision_log_folder, published_folder
from models_ml.serving.app import LOOPBACK_HOSTS, make_app
from models_ml.serving.decision_log import DecisionLog
from models_ml.serving.service import Service, current_run

SHORTEST_TOKEN = 16


def serve(source: str, host: str, port: int, token_variable: str) -> None:
    """Answer requests until the process is told to end; what is being answered then is finished.

    Parameters
    ----------
    source : str
    host, port
        Where to listen; another host than this machine asks for a token.
    token_variable : str
        Name of the environment variable that holds the token, empty for none.

    Raises
    ------
    BayesPilotError
        If the token is missing or short, nothing is published, or another service of the source runs.
    """
    token = _token(host, token_variable)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    current_run(published_folder(source), source)  # says so before a log is begun where nothing is published
    log = DecisionLog(decision_log_folder(source))
    try:
        service = Service(published_folder(source), source, log)
    except BayesPilotError:
        log.close()
        raise
    for told_to_end in (signal.SIGTERM, signal.SIGINT):
        # uvicorn takes these over, finishes what it answers, and sends them to the process once more
        signal.signal(told_to_end, lambda *_: None)
    app = make_app(service, token=token, is_loopback=host in LOOPBACK_HOSTS)
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)


def _token(host: str, variable: str) -> str | None:
    token = os.environ.get(variable, "") if variable else ""
    if variable and len(token) < SHORTEST_TOKEN:
        raise BayesPilotError(
            f"the token is missing or shorter than {SHORTEST_TOKEN} characters",
            where=f"environment variable {variable}",
            next_step=f'export {variable}="$(openssl rand -hex 32)"',
        )
    if not token and host not in LOOPBACK_HOSTS:
        raise BayesPilotError(
            "other machines may ask only with a token",
            where=f"--host {host}",
            next_step="name the environment variable that holds one: --token-env BAYESPILOT_TOKEN",
        )
    return token or None
