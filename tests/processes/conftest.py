"""Real processes of Flower on the loopback, each ended by the pid that this test session started."""

import os
import runpy
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest

from common.quiet import QUIET

BIN = Path(sys.executable).parent
STOP_S = 15.0
POLL_S = 0.1


class Processes:
    """Processes that run until the test ends, with a Flower home of their own and their output in files."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {**os.environ, **QUIET, **environ, "FLWR_HOME": str(folder / "flwr-home")}
        # A SuperLink and a SuperNode start their helpers by bare names.
        self.environ["PATH"] = f"{BIN}{os.pathsep}{self.environ['PATH']}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: str, *arguments: str) -> None:
        """Start a command of this environment in a session of its own."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [BIN / command, *arguments],
                cwd=self.folder,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def call(self, command: str, *arguments: str, deadline_s: float = 60) -> str:
        """Run a command to its end and return what it printed; it must succeed."""
        done = subprocess.run(
            [BIN / command, *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline_s,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def wait_until(self, reached: Callable[[], bool], *, what: str, deadline_s: float) -> None:
        """Wait until something holds, as long as every process lives; else fail with the ends of their logs."""
        end = monotonic() + deadline_s
        while not reached():
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            assert not ended, f"{ended} ended before {what}\n{self._logs()}"
            assert monotonic() < end, f"no {what} after {deadline_s} s\n{self._logs()}"
            Event().wait(POLL_S)

    def _logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in self.folder.glob("*.log"))

    def stop(self) -> None:
        """End what was started, the last first."""
        for process in reversed(self._running.values()):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            try:
                os.killpg(process.pid, signal.SIGKILL)  # helpers that outlived it
            except ProcessLookupError:
                continue


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Start processes that end with the test."""
    started = Processes(tmp_path, {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2", "OMP_NUM_THREADS": "1"})
    yield started
    started.stop()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return ports of the loopback that nobody uses."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def is_healthy() -> Callable[..., bool]:
    """Whether a SuperLink answers."""

    def ask(url: str, *, ca: Path | None = None) -> bool:
        context = None if ca is None else ssl.create_default_context(cafile=ca)
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2, context=context) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    return ask


@pytest.fixture(scope="session")
def warm() -> Iterator[Any]:
    """The command `fedpeft`, each time in a process of its own that is forked ready: see warm.py."""
    program = runpy.run_path(str(Path(__file__).with_name("warm.py")))
    with program["warm_command"]() as command:
        yield command
