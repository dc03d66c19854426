"""A program that lives but does not answer is restarted: after its grace, after failures in a row, and no other."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from pydantic import ValidationError

from common.errors import UserError
from common.supervision import Program, ProgramState, start, states, stop
from common.watch import Check, WatchConfig, is_due, read_config, watch_program

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = """
import sys, grpc
from concurrent.futures import ThreadPoolExecutor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
servicer = health.HealthServicer()
servicer.set('', health_pb2.HealthCheckResponse.SERVING)
server = grpc.server(ThreadPoolExecutor(2))
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
"""


@pytest.mark.parametrize(
    ("running", "age_s", "due"), [(True, 46, True), (True, 45, True), (True, 44, False), (False, 100, False)]
)
def test_a_program_is_asked_after_its_grace_only(running: bool, age_s: float, due: bool) -> None:
    state = ProgramState("it", running, 7, "RUNNING" if running else "STARTING", NOW - timedelta(seconds=age_s))
    assert is_due(state, NOW, grace_s=45) == due


def test_an_unknown_program_is_not_asked() -> None:
    assert not is_due(None, NOW, grace_s=0)


@pytest.mark.parametrize(
    "ways", [{}, {"grpc": "a:1", "url": "https://a", "ca": "ca"}, {"url": "https://a"}, {"grpc": "a:1", "ca": "ca"}]
)
def test_a_check_has_one_way_of_asking(ways: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="expected either grpc, or url and ca"):
        Check.model_validate({"program": "it", **ways})


def test_a_configuration_is_read_as_written(tmp_path: Path) -> None:
    config = WatchConfig(folder=tmp_path, checks=(Check(program="a", grpc="127.0.0.1:1"),), failures=2)
    program = watch_program(config, tmp_path / "watch.json", environment={"A": "b"})
    assert read_config(Path(program.command[-1])) == config
    (tmp_path / "watch.json").write_text('{"folder": "x"}')
    with pytest.raises(UserError, match=r"watch\.json: checks: Field required"):
        read_config(tmp_path / "watch.json")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    stop(tmp_path / "run")


def wait_until(reached: Callable[[], bool], deadline_s: float = 30) -> None:
    end = monotonic() + deadline_s
    while not reached():
        assert monotonic() < end
        Event().wait(0.05)


def pid_of(folder: Path, name: str) -> int:
    return states(folder)[name].pid or 0


@pytest.mark.processes
def test_a_hung_program_is_restarted_and_its_neighbour_is_not(folder: Path) -> None:
    script = folder.parent / "server.py"
    script.write_text(SERVER)
    addresses = {name: f"unix:{folder.parent / name}.sock" for name in ("hangs", "works")}
    servers = [Program(name, (sys.executable, str(script), to), stop_wait_s=1) for name, to in addresses.items()]
    checks = tuple(Check(program=name, grpc=to) for name, to in addresses.items())
    config = WatchConfig(folder=folder, checks=checks, interval_s=0.2, patience_s=1, failures=2, grace_s=3)
    watch = watch_program(config, folder.parent / "watch.json", environment={})
    start(folder, [*servers, watch], logs=folder.parent / "logs")
    hung, neighbour = pid_of(folder, "hangs"), pid_of(folder, "works")
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: pid_of(folder, "hangs") not in {0, hung})
    assert pid_of(folder, "works") == neighbour
    assert "hangs has not answered 2 times" in (folder.parent / "logs" / "watch.log").read_text()
