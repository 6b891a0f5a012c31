"""What is deployed changes as one: after a kill at any step, beside readers, and by one writer at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import test_deployment_control as control
import training_data as data

from models_ml.deployment import switch as switching
from models_ml.deployment.deployed import DEPLOYED, SWITCH, load_deployed, read_deployed, read_record
from models_ml.deployment.logs import read_events
from models_ml.deployment.switch import LOCK, one_writer
from models_ml.deployment.tracking import Tracker, TrackingError
from models_ml.deployment.versions import kept_versions, promote, roll_back
from models_ml.errors import BayesPilotError, without_credentials
from models_ml.training.context import Purpose, read_purpose, warehouse_tables

HERE = Path(__file__).parent
project_of_two = control.project_of_two
project = control.project
folder = control.folder
TRAINED = 3  # trainings of project_of_two


@pytest.fixture(scope="module")
def purpose() -> Purpose:
    return read_purpose(data.warehouse(customers=1), warehouse_tables())


class TestKills:
    @pytest.mark.parametrize(("command", "every"), [("promote", 1), ("rollback", 4), ("train", 7)])
    def test_the_next_command_finds_one_of_the_two_whole(
        self, project_of_two: Path, tmp_path: Path, command: str, every: int
    ) -> None:
        scene = tmp_path / "project"
        shutil.copytree(project_of_two, scene)
        older, newer = control.versions(scene / "models_ml" / "artifacts" / "demo")
        finished = subprocess.run(
            [sys.executable, str(HERE / "killed_commands.py"), str(scene), command, str(every)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        undisturbed, *kills = [json.loads(line) for line in finished.stdout.splitlines()]
        assert undisturbed["version"] != newer
        assert command == "train" or undisturbed["version"] == older
        found = set()
        for after in kills:
            assert after["listed"] == [after["version"]], after
            assert after["log"] == after["alias"] == after["version"], after
            assert after["pickle"], after
            assert after["events"], after
            assert after["trainings"] == after["logged_training"], after
            assert not after["under_way"], after
            if command == "train":
                is_new = after["version"] == undisturbed["version"]
                assert after["trainings"] == TRAINED + is_new, after
                assert after["report"], after  # of the version that is deployed
            found.add(after["version"])
        assert found <= {newer, undisturbed["version"]}
        assert len(found) == 2, "kills before the decision and after it"


def copy_pickle(folder: Path, version: str) -> None:
    shutil.copy(folder / "versions" / version / f"{DEPLOYED}.pkl", folder / f"{DEPLOYED}.pkl")


def copy_record(folder: Path, version: str) -> None:
    shutil.copy(folder / "versions" / version / f"{DEPLOYED}.json", folder / f"{DEPLOYED}.json")


class TestRepair:
    @pytest.mark.parametrize("mixture", [copy_pickle, copy_record])
    def test_pickle_and_record_of_two_kept_versions_are_read_by_the_record_and_repaired(
        self, folder: Path, purpose: Purpose, mixture: Callable[[Path, str], None]
    ) -> None:
        older, newer = control.versions(folder)
        mixture(folder, older)
        expected = older if mixture is copy_record else newer
        assert load_deployed(folder, purpose)[1].pipeline_version == expected
        assert [one.version for one in kept_versions(folder, "demo") if one.is_champion] == [expected]
        kept = folder / "versions" / expected / f"{DEPLOYED}.pkl"
        assert (folder / f"{DEPLOYED}.pkl").read_bytes() == kept.read_bytes()

    def test_a_damaged_pickle_is_no_interrupted_switch(self, folder: Path, purpose: Purpose) -> None:
        (folder / f"{DEPLOYED}.pkl").write_bytes(b"damaged")
        kept_versions(folder, "demo")
        with pytest.raises(BayesPilotError, match="checksum"):
            load_deployed(folder, purpose)

    def test_a_switch_to_a_version_that_is_gone_is_dropped(
        self, folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older, newer = control.versions(folder)
        with monkeypatch.context() as patch:
            patch.setattr(switching, "finish", interrupt)
            with one_writer_without_repair(folder), pytest.raises(KeyboardInterrupt):
                switching.switch(folder, switch_to(folder, older))
        assert (folder / SWITCH).is_file()
        copy_record(folder, older)
        shutil.rmtree(folder / "versions" / older)
        assert [one.version for one in kept_versions(folder, "demo") if one.is_champion] == [newer]
        assert load_deployed(folder, purpose)[1].pipeline_version == newer
        assert not (folder / SWITCH).exists()
        assert read_events(folder)[-1].deployed_version == newer

    def test_an_alias_that_could_not_be_moved_is_moved_by_the_next_command(
        self, folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older, newer = control.versions(folder)
        with monkeypatch.context() as patch:
            patch.setattr(Tracker, "point_champion_at", refuse)
            with pytest.raises(TrackingError):
                promote(folder, older, purpose)
        assert control.champion_alias(folder) == newer
        assert load_deployed(folder, purpose)[1].pipeline_version == older
        told: list[str] = []
        switching.settle(folder, told.append)
        assert told == ["an interrupted deployment has been completed"]
        assert control.champion_alias(folder) == older
        assert [event.deployed_version for event in read_events(folder)].count(older) == 2  # not logged twice

    def test_what_killed_writers_had_not_switched_is_removed(self, folder: Path, purpose: Purpose) -> None:
        older, _ = control.versions(folder)
        (folder / ".deployments.jsonl.4711").write_text("half a li")
        (folder / "versions" / older / ".aside.4711").mkdir()
        (folder / LOCK).write_text("process 4711")  # held by nobody
        promote(folder, older, purpose)
        assert [path for path in folder.rglob(".*") if "mlruns" not in path.parts] == []

    def test_a_file_of_a_switch_that_cannot_be_read_says_so(self, folder: Path, purpose: Purpose) -> None:
        older, newer = control.versions(folder)
        for content in ("{", "[]", '{"source": "demo"}'):
            (folder / SWITCH).write_text(content)
            with pytest.raises(BayesPilotError, match="interrupted deployment cannot be read"):
                promote(folder, older, purpose)
        assert load_deployed(folder, purpose)[1].pipeline_version == newer


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def refuse(*_: object) -> None:
    raise TrackingError("no answer")


def switch_to(folder: Path, version: str) -> switching.Switch:
    newest = read_events(folder)[-1].deployed_version
    return switching.Switch(
        "demo", switching.DeploymentEvent("", "promoted", None, version, newest, version, None, [], "")
    )


@contextmanager
def one_writer_without_repair(folder: Path) -> Iterator[None]:
    """Stand for the lock, whose repair would be interrupted as well."""
    yield


class TestOneWriter:
    def test_a_second_writer_is_refused_and_names_the_first(
        self, folder: Path, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older, newer = control.versions(folder)
        monkeypatch.setattr(switching, "WAIT_SECONDS", 0.2)
        with (folder / LOCK).open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            held.write("process 4711")
            held.flush()
            for command in (lambda: promote(folder, older, purpose), lambda: roll_back(folder, purpose)):
                with pytest.raises(BayesPilotError, match=r"(?s)another command is changing.*process 4711"):
                    command()
        assert load_deployed(folder, purpose)[1].pipeline_version == newer
        assert promote(folder, older, purpose)[1]

    def test_writers_wait_for_each_other(self, tmp_path: Path) -> None:
        inside, most, done = 0, 0, 0

        def write() -> None:
            nonlocal inside, most, done
            for _ in range(20):
                with one_writer(tmp_path / "artifacts"):
                    inside += 1
                    most, done = max(most, inside), done + 1
                    inside -= 1

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert (inside, most, done) == (0, 1, 80)
        assert list((tmp_path / "artifacts").iterdir()) == []

    def test_readers_beside_a_writer_always_find_a_whole_version(
        self, folder: Path, purpose: Purpose
    ) -> None:
        older, newer = control.versions(folder)
        seen, faults, stop = set(), [], threading.Event()

        def read() -> None:
            while not stop.is_set():
                try:
                    record, _ = read_deployed(folder, "demo") or (None, b"")
                    seen.add(record.pipeline_version if record else None)
                except BayesPilotError as error:
                    faults.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for version in (older, newer) * 5:
            promote(folder, version, purpose)
        stop.set()
        for reader in readers:
            reader.join()
        assert faults == []
        assert seen == {older, newer}

    def test_a_folder_that_cannot_be_written_is_worded(self, tmp_path: Path, purpose: Purpose) -> None:
        (tmp_path / "artifacts").write_text("a file where the folder belongs")
        with pytest.raises(BayesPilotError, match="cannot be read or written"):
            promote(tmp_path / "artifacts", "any", purpose)


ADDRESSES = (
    "http://name:s3cret@127.0.0.1:9",
    "http://s3cret@127.0.0.1:9",
    "http://name:p@s3cret@127.0.0.1:9",
    "http://name:s3cret%40x@127.0.0.1:9/path?api_key=s3cret",
    "postgresql://name:s3cret@127.0.0.1:9/records",
    "mysql+pymysql://name:s3cret@127.0.0.1:9/records",
    "nosuch://name:s3cret@127.0.0.1",
    "http://name:s3cret@[broken",
)


class TestCredentials:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_no_fault_of_the_server_shows_them_and_nothing_changes(
        self,
        folder: Path,
        purpose: Purpose,
        address: str,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        older, newer = control.versions(folder)
        before = control.snapshot(folder)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(BayesPilotError) as refused:
            promote(folder, older, purpose)
        shown = "".join(traceback.format_exception(refused.value)) + "".join(capfd.readouterr())
        assert "s3cret" not in shown
        assert "MLFLOW_TRACKING_URI" in shown
        assert control.snapshot(folder) == before
        assert read_record(folder) is not None
        assert load_deployed(folder, purpose)[1].pipeline_version == newer

    def test_a_server_that_answers_is_not_printed_with_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with tracking_server() as port:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://name:s3cret@127.0.0.1:{port}")
            with Tracker(tmp_path, "demo")._client() as client:
                client.set_terminated("r1")
        shown = "".join(capfd.readouterr())
        assert "s3cret" not in shown

    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("http://name:s3cret@host/api", "http://***@host/api"),
            ("'postgresql+psycopg2://u:p@h/db?sslmode=off'", "'postgresql+psycopg2://***@h/db?sslmode=off'"),
            ("md:shop?motherduck_token=abc&x=1", "md:shop?motherduck_token=***&x=1"),
            ("https://host/x?sig=abc%2F", "https://host/x?sig=***"),
            ("https://host/design=3?page=2 of a@b", "https://host/design=3?page=2 of a@b"),
            ("file:///models/a.pkl, then mail me@host", "file:///models/a.pkl, then mail me@host"),
        ],
    )
    def test_addresses_are_masked_and_nothing_else(self, text: str, masked: str) -> None:
        assert without_credentials(text) == masked
        assert str(BayesPilotError(text, where=text, values=[text], next_step=text)).count(masked) == 4


@contextmanager
def tracking_server() -> Iterator[int]:
    """Answer every request of MLflow's client as if a run had just ended."""
    run = {"info": {"run_id": "r1", "experiment_id": "1", "status": "FINISHED", "run_name": "x"}, "data": {}}

    class Answer(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps({"run": run, "run_info": run["info"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - names of the base class

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
