"""The door as a process: it starts from its settings file, ends cleanly on SIGTERM, and writes no address."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from server.front_door.__main__ import main

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[3]
PULL = "/v1/fleet/pull-messages"


@pytest.fixture
def written(doors: Any, tmp_path: Path, free_port: Any) -> Path:
    settings = doors.settings(port=free_port(), polling={"hold_s": 20, "interval_s": 0.02, "idle_interval_s": 0.02})
    path = tmp_path / "door.json"
    path.write_text(settings.model_dump_json())
    return path


def wait_for(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            assert client.get("/health").status_code == 200
            return
        except httpx.ConnectError:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)


def test_sigterm_answers_the_polls_logs_the_counts_and_exits_with_0(doors: Any, written: Path) -> None:
    doors.recorder.reply = lambda _: Response(b"")
    command = [sys.executable, "-m", "server.front_door", str(written)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        client = doors.client(int(written.read_text().split('"port":')[1].split(",")[0]))
        wait_for(client, process)
        assert client.get("/docs").status_code == 404
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(client.post, PULL, content=b"who")
            before = len(doors.recorder.seen)
            while len(doors.recorder.seen) < before + 3:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            answer = poll.result(timeout=15)
        _, log = process.communicate(timeout=15)
    finally:
        process.kill()
        process.communicate()
    assert time.monotonic() - started < 6
    assert (answer.status_code, answer.content, process.returncode) == (200, b"", 0)
    for line in ("INFO /health 200: 1", "INFO other 404: 1", f"INFO {PULL} 200: 1"):
        assert line in log
    assert "127.0.0.1" not in log


def test_a_port_that_is_taken_is_the_users_mistake(
    doors: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "door.json"
    path.write_text(doors.settings(port=doors.recorder.port).model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "server.front_door", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is another process there" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["nowhere.json"]])
def test_wrong_usage_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
