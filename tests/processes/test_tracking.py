"""Tracking against a real MLflow server with a SQLite store: what it has equals the results, also after its death."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from common.command import main
from server.events import RoundFinished
from simulations.run import run

pytestmark = pytest.mark.slow
PATIENCE_S = 90.0


class Server:
    """An MLflow server whose database outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--backend-store-uri": f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination": f"{self.folder}/artifacts",
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "1",
        }
        command = [sys.executable, "-m", "mlflow", "server", *(word for pair in options.items() for word in pair)]
        environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + PATIENCE_S
        while not self.answers():
            is_coming = self.process.poll() is None and time.monotonic() < end
            assert is_coming, (self.folder / "server.log").read_text()
            Event().wait(0.1)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    made = Server(tmp_path / "server")
    made.start()
    yield made
    made.kill()


def runs_at(address: str) -> dict[str, Any]:
    """The runs of the experiment by site; that of the federation has none."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name("quick")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    table = {each.data.tags.get("fedpeft.site", ""): each for each in found}
    assert len(table) == len(found)  # no run is there twice
    return table


def history(address: str, run_id: str, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=address).get_metric_history(run_id, name)
    return sorted((each.step, each.value) for each in found)


def check(address: str, folder: Path) -> None:
    """What the server has is what the results say, each figure once, and the adapter byte for byte."""
    results = json.loads((folder / "results.json").read_text())
    runs = runs_at(address)
    whole = runs[""]
    assert set(runs) == {"", "east", "north", "west"}
    assert {each.info.status for each in runs.values()} == {"FINISHED"}
    assert whole.data.params["training.learning_rate"] == json.dumps(results["study"]["training"]["learning_rate"])
    assert whole.data.tags["fedpeft.digest.study"] == results["digests"]["study"]
    validations = [results["initial"]["validation"], *[record["validation"] for record in results["rounds"]]]
    pooled = [(i, v["pooled"]["log_loss"]["value"]) for i, v in enumerate(validations)]
    assert history(address, whole.info.run_id, "validation/log_loss") == pooled
    for site in ("east", "north", "west"):
        one = runs[site]
        assert one.data.tags["mlflow.parentRunId"] == whole.info.run_id
        losses = [(record["round"], record["train"]["sites"][site]["loss"]) for record in results["rounds"]]
        assert history(address, one.info.run_id, "train/loss") == losses
        bounds = [(i, v["sites"][site]["log_loss"]["high"]) for i, v in enumerate(validations)]
        assert history(address, one.info.run_id, "validation/log_loss_high") == bounds
    check_files(address, whole.info.run_id, folder)


def check_files(address: str, run_id: str, folder: Path) -> None:
    from mlflow import MlflowClient

    kept = Path(MlflowClient(tracking_uri=address).download_artifacts(run_id, "", str(folder.parent)))
    for path in (folder / "adapter").iterdir():
        assert (kept / "adapter" / path.name).read_bytes() == path.read_bytes()
    assert (kept / "results.json").read_bytes() == (folder / "results.json").read_bytes()
    assert (kept / "report.html").exists()


@pytest.mark.timeout(300)
def test_a_server_that_is_killed_costs_the_run_nothing_and_has_it_all_in_the_end(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"

    def kill_after_round_1(event: object) -> None:
        if not isinstance(event, RoundFinished) or event.round != 1:
            return
        end = time.monotonic() + PATIENCE_S
        while runs_at(server.address).get("") is None or "fedpeft.batch" not in str(
            runs_at(server.address)[""].data.tags
        ):
            assert time.monotonic() < end
            Event().wait(0.2)
        server.kill()

    to = f"mlflow={server.address}"
    played = run("quick", out=out, comparison=False, track=[to], progress=kill_after_round_1)
    assert played.content["kept_round"] == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert lines[-1].startswith("tracking: mlflow has n")
    assert lines[-1].endswith(f"(no connection to the server); catch up with: fedpeft track {out} --to {to}")
    assert all("training goes on" in line for line in lines[:-1])
    assert len(lines) <= 2

    server.start()
    assert {each.info.status for each in runs_at(server.address).values()} == {"RUNNING"}
    with pytest.raises(SystemExit) as ended:
        main(["track", str(out), "--to", to])
    assert ended.value.code == 0
    check(server.address, out)
    forget(server.address)  # as if it had been killed between the figures and the note that they are there
    with pytest.raises(SystemExit):
        main(["track", str(out), "--to", to])
    check(server.address, out)


def forget(address: str) -> None:
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=address).delete_tag(runs_at(address)[""].info.run_id, "fedpeft.batch")
