"""``bayespilot serve``: the interface over HTTP, on a port, until SIGTERM.

It says what is deployed and what tonight's decision for a customer is, and decides now for the customers of a request.
"""

from __future__ import annotations

import hmac
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models_ml.errors import BayesPilotError
from models_ml.paths import decision_log_folder, published_folder
from models_ml.serving.decision_log import DecisionLog
from models_ml.serving.faults import place_of
from models_ml.serving.payload import PayloadError
from models_ml.serving.service import Service, current_run

SHORTEST_TOKEN = 16

LARGEST_BODY = 4_000_000  # bytes; a thousand customers take about three million
LARGEST_INLINE = 20_000  # bytes that are answered at once: another thread would take longer to start
PICK_UP_SECONDS = 2.0
LOG = logging.getLogger("bayespilot.serve")
OPEN_PATHS = ("/health",)
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]", "::1")


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
        If the token is missing or short, nothing is published, another service of the source runs, or the address
        cannot be listened on.
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
    LOG.info("answering by run %s, on http://%s:%d", service.health()["run_id"], host, port)
    try:
        uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)
    except SystemExit as ended:  # uvicorn has said why
        raise BayesPilotError(
            "the service could not begin to listen; the line above says why",
            where=f"{host}:{port}",
            next_step="end what listens there, or name another address with --host and --port",
        ) from ended


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


class BodyTooLargeError(Exception):
    """A request beyond `LARGEST_BODY`."""


def make_app(
    service: Service,
    *,
    token: str | None,
    is_loopback: bool,
    pick_up_seconds: float = PICK_UP_SECONDS,
    largest_body: int = LARGEST_BODY,
) -> FastAPI:
    """Return the interface to a service.

    Parameters
    ----------
    service : Service
        Started and closed with the application.
    token : str or None
        Asked of every request but that for health, as ``Authorization: Bearer …``.
    is_loopback : bool
        Whether only this machine may ask: requests that name another host are refused.
    pick_up_seconds : float
        How often a new published run is looked for.
    largest_body : int
        Bytes.
    """
    one_at_a_time = anyio.Lock(fast_acquire=True)

    async def work(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - passed on
        async with one_at_a_time:
            return await run_in_threadpool(function, *arguments)

    async def decide(body: bytes, began: float) -> tuple[list[dict[str, Any]], bool]:
        if len(body) > LARGEST_INLINE:
            return await work(service.decide, body, began)
        async with one_at_a_time:
            return service.decide(body, began)

    async def look_for_a_run() -> None:
        prepared = await run_in_threadpool(service.read_next_run)
        if prepared is not None:
            await work(service.switch, prepared)

    async def write_the_log() -> None:
        await run_in_threadpool(service.log.flush_if_due)

    async def work_between_requests() -> None:
        while True:
            await anyio.sleep(pick_up_seconds)
            for step in (look_for_a_run, write_the_log):
                try:
                    await step()
                except Exception as error:  # noqa: BLE001 - it would end the task group, and close the log
                    service.note(step.__name__, error)
                else:
                    service.note(step.__name__, None)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work_between_requests)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(service.close)

    app = FastAPI(
        title="BayesPilot",
        summary="One customer's retention decision now, by the rules of the last published run.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )

    app.add_middleware(Guard, token=token, is_loopback=is_loopback)

    @app.get("/health")
    async def health() -> JSONResponse:
        """Say whether the service answers, picks up published runs and writes its log."""
        return JSONResponse(service.health())

    @app.get("/pipeline")
    async def pipeline() -> JSONResponse:
        """Say what decides: the published run, its pipeline, its policy, its prices, and what is left of its limits."""
        return JSONResponse(await work(service.described))

    @app.get("/customers/{customer_id}")
    async def customer(customer_id: str) -> JSONResponse:
        """Return the last published decision on a customer, with its reasons."""
        found = await work(service.customer, customer_id)
        if found is None:
            return _refused(404, "the published run does not know this customer", "customer_id")
        return JSONResponse(found)

    @app.post("/decisions")
    async def decisions(request: Request) -> JSONResponse:
        """Decide for one customer, or for each of a list of at most 1,000."""
        began = time.perf_counter()
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return _refused(415, "the body must be application/json", "Content-Type")
        try:
            body = await _body(request, largest_body)
            answers, is_list = await decide(body, began)
        except BodyTooLargeError:
            return _refused(413, f"the body is larger than {largest_body:,} bytes", "body")
        except PayloadError as error:
            more = {"more": error.more} if error.more else {}
            return JSONResponse({"error": "fields are wrong", "fields": error.fields, **more}, 422)
        return JSONResponse(answers if is_list else answers[0])

    plain = app.openapi

    def described() -> dict[str, Any]:
        app.openapi_schema = None
        return service.with_schemas(plain())

    app.openapi = described  # type: ignore[method-assign]
    return app


class Guard:
    """Refuses requests of other hosts and without the token, and keeps what went wrong out of answers and the log."""

    def __init__(self, app: ASGIApp, *, token: str | None, is_loopback: bool) -> None:
        self._app, self._token, self._is_loopback = app, token, is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold values of the request
            LOG.error("%s in %s", type(error).__name__, place_of(error))
            if not has_begun:
                failed = JSONResponse({"error": "the service could not answer; its log names the place"}, 500)
                await failed(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._is_loopback and headers.get("host", "").rsplit(":", 1)[0] not in LOOPBACK_HOSTS:
            return _refused(403, "the host is not this machine", "Host")
        if (
            self._token is not None
            and scope["path"] not in OPEN_PATHS
            and not _is_known(headers, self._token)
        ):
            return _refused(401, "the token is missing or wrong", "Authorization")
        return None


async def _body(request: Request, largest: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > largest:
        raise BodyTooLargeError
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > largest:
            raise BodyTooLargeError
    return bytes(read)


def _is_known(headers: Headers, token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _refused(status: int, what: str, field: str) -> JSONResponse:
    return JSONResponse({"error": what, "fields": [{"field": field, "problem": what}]}, status)
