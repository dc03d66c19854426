"""What Prometheus reads over HTTP, from this machine alone."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.loopback import free_ports
from server.coordinator.initialise import initialise

pytestmark = pytest.mark.processes


def made(folder: Path, section: str) -> Path:
    initialise(folder, hosts=["fl.example.org"], port=8443)
    settings = folder / "server.toml"
    settings.write_text(settings.read_text() + section)
    return folder


def start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "server.metrics.process", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def running(tmp_path: Path, port: int) -> "Iterator[subprocess.Popen[str]]":
    with start(made(tmp_path / "coordinator", f"[metrics]\nport = {port}\n")) as process:
        yield process
        process.kill()


def read(port: int, process: "subprocess.Popen[str]") -> str:
    end = monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
                return str(reply.read().decode())
        except urllib.error.URLError:
            assert process.poll() is None
            assert monotonic() < end
            Event().wait(0.1)


def test_it_answers_without_a_superlink_and_ends_when_asked(running: "subprocess.Popen[str]", port: int) -> None:
    families = {family.name: family for family in text_string_to_metric_families(read(port, running))}
    assert families["fedpeft_superlink_up"].samples[0].value == 0
    assert families["fedpeft_certificate_days_left"].samples[0].value > 390
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    running.terminate()
    assert running.wait(20) == 0


def test_without_a_port_it_says_so(tmp_path: Path) -> None:
    with start(made(tmp_path / "coordinator", "")) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "metrics: server.toml has no port under [metrics]\n")
