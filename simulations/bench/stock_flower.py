"""Stock Flower beside ours: SuperLink and two SuperNodes as they come, in subprocess isolation, without TLS or door."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event
from time import monotonic

from common import supervision
from common.errors import UserError
from common.files import write_bytes
from common.health import grpc_health
from common.quiet import QUIET
from common.supervision import Program
from server.coordinator.flower_command import PROGRAMS, flower
from simulations.bench.adapters import SITES, Prepared, prepare_study
from simulations.bench.process_memory import watching
from simulations.bench.real_federation import free_port
from simulations.bench.stock_apps import TIMES

ROUND_S = 120.0
"""A round that takes longer will not end."""
START_S = 60.0
_APP = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "stock"
version = "1.0.0"
license = { file = "LICENSE" }
dependencies = ["flwr>=1.41.0"]
[tool.flwr.app]
publisher = "bench"
fab-format-version = 1
flwr-version-target = "1.41.0"
[tool.flwr.app.components]
serverapp = "simulations.bench.stock_apps:server"
clientapp = "simulations.bench.stock_apps:client"
[tool.flwr.app.config]
out = ""
bundle = ""
base = ""
rounds = 1
rank = 1
packed = false
"""


@dataclass(frozen=True)
class Stock:
    """Seconds of each round, of what each message spends on imports and the base model, and memory in MB."""

    rounds: list[float]
    loads: list[float]
    server_app_mb: float
    link_mb: float


def measure_stock(rank: int, rounds: int, packed: bool) -> Stock:  # passed on by position
    """Play `rounds` rounds; `packed` sends all tensors as one."""
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out)
        study = prepare_study(folder / "study", rank=rank, rounds=rounds)
        home = folder / "flwr-home"
        with _processes(folder), watching(home, ("flwr-serverapp", "flower-superlink")) as peaks:
            _submit(folder, study, f"rounds={rounds} rank={rank} packed={json.dumps(packed)}")
            times = _await_times(folder / TIMES, rounds)
        loads = [float(line) for line in (folder / "loads.jsonl").read_text().splitlines()]
        return Stock(
            [end - begin for begin, end in pairwise(times)],
            loads,
            peaks.until("flwr-serverapp", times[-1]),
            peaks.until("flower-superlink", times[-1]),
        )


@contextmanager
def _processes(folder: Path) -> Iterator[None]:
    """Supervised as ours are, so that nothing is left of them."""
    link, health, home = free_port(), f"127.0.0.1:{free_port()}", folder / "flwr-home"
    environment = {
        **QUIET,
        "FLWR_HOME": str(home.resolve()),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    address = f"127.0.0.1:{link}"
    write_bytes(
        home / "config.toml",
        f'[superlink]\ndefault = "local"\n[superlink.local]\naddress = "{address}"\ninsecure = true\n'.encode(),
    )
    bound = ("--host", "127.0.0.1", "--port", str(link), "--health-server-address", health)
    commands: dict[str, tuple[str, ...]] = {"link": ("flower-superlink", "--insecure", *bound)}
    for site in SITES:
        own = ("--superlink", address, "--host", "127.0.0.1", "--port", str(free_port()))
        commands[site] = ("flower-supernode", "--insecure", *own)
    programs = [
        Program(name, (str(PROGRAMS / command), *arguments), environment, priority=index, steady_s=8)
        for index, (name, (command, *arguments)) in enumerate(commands.items())
    ]
    supervision.start(folder / "run", programs, logs=folder / "logs")
    try:
        _await_health(health)
        yield
    finally:
        supervision.stop(folder / "run")


def _await_health(address: str) -> None:
    end = monotonic() + START_S
    while not grpc_health(address, patience_s=1):
        if monotonic() > end:
            raise UserError(f"stock Flower's SuperLink does not answer {START_S:.0f} s after its start")
        Event().wait(0.2)


def _submit(folder: Path, study: Prepared, numbers: str) -> None:
    app = folder / "app"
    write_bytes(app / "pyproject.toml", _APP.encode())
    write_bytes(app / "LICENSE", b"For a measurement\n")
    values = {"out": folder, "bundle": study.folder, "base": study.base}
    texts = [f"{key}={json.dumps(str(value))}" for key, value in values.items()]
    config = " ".join([*texts, numbers])
    flower(folder, "run", str(app), "local", "-c", config)


def _await_times(path: Path, rounds: int) -> list[float]:
    end = monotonic() + ROUND_S * (rounds + 1)
    while monotonic() < end:
        times: list[float] = json.loads(path.read_bytes()) if path.exists() else []
        if len(times) > rounds:
            return times
        Event().wait(0.5)
    raise UserError(f"stock Flower did not play {rounds} rounds in {ROUND_S * (rounds + 1):.0f} s")
