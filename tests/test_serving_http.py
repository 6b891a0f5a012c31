"""The service over HTTP: what it refuses, what it logs, and how it changes runs and ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import uvicorn
from serving_data import (
    change_facts,
    copy_run,
    payload,
    plain,
    point_to,
)

from models_ml.errors import BayesPilotError
from models_ml.serving import server as over_http
from models_ml.serving.deciding import DECIDED, Asked
from models_ml.serving.decision_log import DecisionLog
from models_ml.serving.payload import Payload, PayloadError
from models_ml.serving.published_run import Input, PublishedRun, read_published_run
from models_ml.serving.server import _token, make_app
from models_ml.serving.service import Service
from models_ml.serving.snapshot import SNAPSHOT

TOKEN = "a token of the tests"


class Client:
    """Asks a running service, one connection for all requests."""

    def __init__(self, port: int, service: Service) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.service, self.port = service, port

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return status and content of an answer; a body that is no text is sent as JSON."""
        text = body if isinstance(body, str | bytes | None) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, text, {"content-type": "application/json", **named})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def decide(self, body: Any) -> tuple[int, Any]:
        return self.ask("POST", "/decisions", body)


@contextmanager
def serving(published: Path, log: Path, **options: Any) -> Iterator[Client]:
    """Serve the published run on a free port of this machine until the block ends."""
    service = Service(published, "demo", DecisionLog(log))
    app = make_app(service, **{"token": None, "is_loopback": True, "pick_up_seconds": 0.05, **options})
    server = uvicorn.Server(uvicorn.Config(app, port=0, access_log=False, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Client(server.servers[0].sockets[0].getsockname()[1], service)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
    assert not thread.is_alive()


def wait_until(happened: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def client(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that several tests ask."""
    with serving(published, tmp_path_factory.mktemp("log") / "decisions", largest_body=200_000) as found:
        yield found


def test_one_customer_and_many(
    client: Client, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    status, answer = client.decide(payload(customers[0]))
    assert status == 200
    row = plain(nightly[customers[0].customer_id])
    assert {name: answer[name] for name in DECIDED} == {name: row[name] for name in DECIDED}
    status, answers = client.decide([payload(one) for one in customers[:7]])
    assert status == 200
    assert [one["customer_id"] for one in answers] == [one.customer_id for one in customers[:7]]
    assert {**answers[0], "decision_id": ""} == {**answer, "decision_id": ""}


def test_a_customer_of_tonight(
    client: Client, customers: list[Asked], nightly: dict[str, dict[str, Any]]
) -> None:
    status, found = client.ask("GET", f"/customers/{customers[3].customer_id}")
    assert status == 200
    assert {name: found[name] for name in DECIDED} == {
        name: plain(nightly[customers[3].customer_id])[name] for name in DECIDED
    }
    assert client.ask("GET", "/customers/nobody")[0] == 404


def test_what_is_deployed_is_described(client: Client) -> None:
    status, found = client.ask("GET", "/pipeline")
    assert (status, found["source"], len(found["features"]) > 70) == (200, "demo", True)
    run = client.service._run
    assert found["touch_price"] == run.inputs.policy.touch_price > 0
    prices = json.loads(run.snapshot.tables["plan"]["limit_prices"][0].as_py())
    assert found["price_of_a_contact"] == pytest.approx(
        {
            offer.offer: prices[f"offer {offer.offer}"] + prices[f"channel {offer.channel}"]
            for offer in run.inputs.offers
        }
    )
    assert client.ask("GET", "/health")[1]["status"] == "ok"
    openapi = client.ask("GET", "/openapi.json")[1]
    fee = openapi["components"]["schemas"]["Features"]["properties"]["monthly_fee"]
    assert (fee["unit"], "examples" in fee) == ("currency", True)
    assert fee["anyOf"][0]["minimum"] == 0
    assert "basic" in openapi["components"]["schemas"]["Features"]["properties"]["plan"]["known_categories"]


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"tenure_days": "SECRET"}, "features.tenure_days", "is not a valid integer"),
        ({"tenure_days": 1.5}, "features.tenure_days", "is not a valid integer"),
        ({"tenure_days": None}, "features.tenure_days", "is not a valid integer"),
        ({"tenure_days": 2**40}, "features.tenure_days", "is above 2147483647"),
        ({"tenure_days": -1}, "features.tenure_days", "is below 0"),
        ({"announced_fee_share": 1.25}, "features.announced_fee_share", "is above 1"),
        ({"days_to_commitment_end": -1}, "features.days_to_commitment_end", "is below 0"),
        ({"monthly_fee": float("nan")}, "features.monthly_fee", "is not a finite number"),
        ({"monthly_fee": float("inf")}, "features.monthly_fee", "is not a finite number"),
        (
            {"plan": "SECRET"},
            "features.plan",
            "is not a category that the pipeline or the published run knows",
        ),
        ({"plan": 7}, "features.plan", "is not a valid string"),
        ({"SECRET_x": 1}, "features.SECRET_x", "is not a feature of the deployed pipeline"),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(
    client: Client,
    customers: list[Asked],
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
    field: str,
    problem: str,
) -> None:
    for body, place in (
        (payload(customers[0], **change), field),
        ([payload(customers[0], **change)], f"0.{field}"),
    ):
        status, answer = client.decide(body)
        assert status == 422
        assert answer["fields"] == [{"field": place, "problem": problem}]
        assert "SECRET" not in json.dumps(answer).replace("SECRET_x", "")
    assert "SECRET" not in caplog.text


def test_other_bad_requests_are_refused(client: Client, customers: list[Asked]) -> None:
    body = payload(customers[0])
    without = {"customer_id": "a", "features": {k: v for k, v in body["features"].items() if k != "plan"}}
    assert client.decide(without)[1]["fields"] == [{"field": "features.plan", "problem": "is missing"}]
    assert client.decide({"features": body["features"]})[1]["fields"] == [
        {"field": "customer_id", "problem": "is missing"}
    ]
    assert client.decide([body, body])[1]["fields"] == [
        {"field": "1.customer_id", "problem": "is given twice in one request"}
    ]
    assert client.decide("{")[1]["fields"] == [{"field": "body", "problem": "is not valid JSON"}]
    assert client.decide(b"\xff\xfe")[0] == 422
    assert client.decide("[]")[1]["fields"] == [{"field": "body", "problem": "holds no customer"}]
    status, answer = client.ask("POST", "/decisions", "x" * 10_000_000)
    assert (status, answer["fields"][0]["field"]) == (413, "body")


def test_a_page_of_another_site_cannot_ask(client: Client, customers: list[Asked]) -> None:
    body = json.dumps(payload(customers[0]))
    assert client.ask("POST", "/decisions", body, content_type="text/plain")[0] == 415
    assert client.ask("GET", "/pipeline", Host="shop.example")[0] == 403


def test_a_fault_shows_no_trace_and_no_value(
    client: Client, customers: list[Asked], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError(f"SECRET {customers[0].customer_id}")

    monkeypatch.setattr("models_ml.serving.service.decide_now", fail)
    status, answer = client.decide(payload(customers[0]))
    assert (status, list(answer)) == (500, ["error"])
    assert "ValueError" in caplog.text
    assert "SECRET" not in caplog.text + json.dumps(answer)
    monkeypatch.undo()
    assert client.decide(payload(customers[0]))[0] == 200


def test_a_token_is_asked_for(published: Path, customers: list[Asked], tmp_path: Path) -> None:
    with serving(published, tmp_path / "log", token=TOKEN, is_loopback=False) as client:
        body = payload(customers[0])
        assert client.decide(body)[0] == 401
        assert client.ask("POST", "/decisions", body, Authorization="Bearer wrong")[1]["fields"][0][
            "field"
        ] == ("Authorization")
        assert client.ask("POST", "/decisions", body, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert client.ask("GET", "/health")[0] == 200


def test_other_machines_need_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _token("127.0.0.1", "") is None
    with pytest.raises(BayesPilotError, match="only with a token"):
        _token("0.0.0.0", "")
    monkeypatch.setenv("SERVE_TOKEN", "short")
    with pytest.raises(BayesPilotError, match="shorter than"):
        _token("127.0.0.1", "SERVE_TOKEN")
    monkeypatch.setenv("SERVE_TOKEN", TOKEN)
    assert _token("0.0.0.0", "SERVE_TOKEN") == TOKEN


def test_wrong_fields_beyond_the_first_are_counted() -> None:
    columns = [Input(f"feature_{at}", "DOUBLE", False, f"feature {at}", "", None) for at in range(23)]
    with pytest.raises(PayloadError) as refused:
        Payload(columns, {}).read(b'{"customer_id": "a", "features": {}}')
    assert (len(refused.value.fields), refused.value.more) == (20, 3)


def test_a_value_outside_its_declared_range_is_refused() -> None:
    columns = [
        Input("tenure_days", "INTEGER", False, "tenure", "days", None, 0.0, None),
        Input("share", "DOUBLE", True, "share", "", None, 0.0, 1.0),
        Input("change", "DOUBLE", True, "change", "", None),
    ]
    read = Payload(columns, {}).read
    body = '{"customer_id": "a", "features": {"tenure_days": %s, "share": %s, "change": %s}}'
    assert read((body % (0, 1, -2.5)).encode())[0][0].features == {
        "tenure_days": 0,
        "share": 1,
        "change": -2.5,
    }
    assert read((body % (0, "null", -2.5)).encode())[0][0].features["share"] is None
    with pytest.raises(PayloadError) as refused:
        read((body % (-1, 1.5, 0)).encode())
    assert refused.value.fields == [
        {"field": "features.tenure_days", "problem": "is below 0"},
        {"field": "features.share", "problem": "is above 1"},
    ]


def test_an_address_that_is_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle:
        log = SimpleNamespace(close=lambda: None)
        close = log.close

        def __init__(self, *_: object) -> None: ...

        def health(self) -> dict[str, str]:
            return {"run_id": "one"}

    monkeypatch.setattr(over_http, "current_run", lambda *_: None)
    monkeypatch.setattr(over_http, "DecisionLog", Idle)
    monkeypatch.setattr(over_http, "Service", Idle)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("RETENTION_DB", str(tmp_path / "demo.duckdb"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BayesPilotError, match=f"could not begin to listen(.|\n)*127.0.0.1:{port}"):
            over_http.serve("demo", "127.0.0.1", port, "")


def test_a_service_without_a_published_run_says_what_to_do(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    with pytest.raises(BayesPilotError, match="nothing is published"):
        Service(tmp_path / "published", "demo", log)
    (tmp_path / "published" / "runs" / "empty").mkdir(parents=True)
    point_to(tmp_path / "published", tmp_path / "published" / "runs" / "empty")
    with pytest.raises(BayesPilotError, match="holds nothing for the service"):
        Service(tmp_path / "published", "demo", log)
    log.close()


def test_the_next_run_is_picked_up_between_requests(
    published: Path, customers: list[Asked], nightly: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Requests go on while a damaged and a sound run are published; each answer is of one run."""
    copies = tmp_path / "published"
    first = copy_run(copies, (published / "current").resolve(), "first")
    point_to(copies, first)
    damaged = copy_run(copies, first, "damaged")
    pickled = damaged / SNAPSHOT / "deployed_pipeline.pkl"
    pickled.chmod(0o644)
    pickled.write_bytes(b"something else")
    second = copy_run(copies, first, "second")
    one = next(one for one in customers if nightly[one.customer_id]["action"] != "no_action")
    change_facts(second, one.customer_id, nightly={"action": "no_action", "arm": "trial"})
    other = next(other for other in customers if other is not one)
    with serving(copies, tmp_path / "log") as client:
        seen: list[tuple[str, str]] = []
        done = threading.Event()

        def keep_asking() -> None:
            asking = Client(client.port, client.service)
            while not done.is_set():
                status, answers = asking.decide([payload(one), payload(other)])
                assert status == 200
                assert len({answer["run_id"] for answer in answers}) == 1
                seen.append((answers[0]["run_id"], answers[0]["action"]))

        thread = threading.Thread(target=keep_asking)
        thread.start()
        point_to(copies, damaged)
        wait_until(lambda: client.ask("GET", "/health")[1]["status"] == "degraded")
        assert "checksum" in client.ask("GET", "/health")[1]["faults"][0]
        point_to(copies, second)
        wait_until(lambda: client.ask("GET", "/pipeline")[1]["run_id"] == "second")
        wait_until(lambda: ("second", "no_action") in seen)
        done.set()
        thread.join()
        assert client.ask("GET", "/health")[1]["status"] == "ok"
    assert set(seen) == {("first", nightly[one.customer_id]["action"]), ("second", "no_action")}


def test_the_work_between_requests_outlasts_any_exception(
    published: Path, customers: list[Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run, the change to it and the log fail in ways that nobody has foreseen: it is said, and the rest goes on."""
    copies = tmp_path / "published"
    runs = [
        copy_run(copies, (published / "current").resolve(), name) for name in ("first", "second", "third")
    ]
    point_to(copies, runs[0])
    monkeypatch.setattr("models_ml.serving.service.TRY_AGAIN_SECONDS", 3600.0)

    def fail(*_: Any) -> Any:
        raise KeyError("SECRET")

    with serving(copies, tmp_path / "log") as client:
        client.service.log._flush_seconds = 0.0

        def faults() -> list[str]:
            health = client.ask("GET", "/health")[1]
            assert (health["status"] == "ok") == (not health["faults"])
            assert "SECRET" not in json.dumps(health)
            found: list[str] = health["faults"]
            return found

        for place in ("read_published_run", "Payload"):
            with monkeypatch.context() as broken:
                broken.setattr(f"models_ml.serving.service.{place}", fail)
                point_to(copies, runs[1])
                wait_until(lambda: faults() == ["the next published run was not picked up: KeyError"])
                broken.setattr("models_ml.serving.decision_log._write", fail)
                status, answer = client.decide(payload(customers[0]))
                assert (status, answer["run_id"]) == (200, "first")
                wait_until(lambda: faults()[1:] == ["the Parquet of the log is not written: KeyError"])
            wait_until(lambda: len(faults()) == 1)
            assert client.service.log.state()["rows_waiting"] == 0
            point_to(copies, runs[0])
            wait_until(lambda: faults() == [])
        with monkeypatch.context() as broken:
            broken.setattr(client.service, "read_next_run", fail)
            wait_until(lambda: faults() == ["look for a run: KeyError"])
        wait_until(lambda: faults() == [])
        point_to(copies, runs[2])
        wait_until(lambda: client.ask("GET", "/pipeline")[1]["run_id"] == "third")
        assert faults() == []


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), duckdb.IOException("SECRET")])
def test_a_run_that_could_not_be_read_for_a_while_is_read_again(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Only what is wrong with the run itself is final: damaged files stay damaged, a disk comes back."""
    copies = tmp_path / "published"
    runs = [copy_run(copies, (published / "current").resolve(), name) for name in ("first", "second")]
    point_to(copies, runs[0])
    log = DecisionLog(tmp_path / "log")
    service = Service(copies, "demo", log)
    point_to(copies, runs[1])
    failures = [error, error]
    tried = 0

    def fail_twice(folder: Path, source: str) -> PublishedRun:
        nonlocal tried
        tried += 1
        if failures:
            raise failures.pop()
        return read_published_run(folder, source)

    monkeypatch.setattr("models_ml.serving.service.read_published_run", fail_twice)
    assert service.read_next_run() is None
    assert service.read_next_run() is None
    assert tried == 1, "not at every look, for it takes the processor from answers"
    assert service.health()["status"] == "degraded"
    monkeypatch.setattr("models_ml.serving.service.TRY_AGAIN_SECONDS", 0.0)
    service._try_again_at = 0.0
    assert service.read_next_run() is None
    prepared = service.read_next_run()
    assert prepared is not None
    service.switch(prepared)
    assert (service.health()["run_id"], service.health()["status"]) == ("second", "ok")

    failures.append(BayesPilotError("the run has no plan"))
    point_to(copies, runs[0])
    assert service.read_next_run() is None
    assert service.read_next_run() is None
    assert tried == 4, "what is wrong with the run is final"
    assert "the run has no plan" in service.health()["faults"][0]
    service.close()
