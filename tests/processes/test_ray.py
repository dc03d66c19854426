"""Flower's simulation engine on Ray against our grid in process: the same bytes, and every way to stop is clean.

Ray runs in processes of its own here: it leaves files open in the process that starts it, a warning each.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client.execution import Execution
from common.errors import UserError
from server.events import Event, RoundFinished
from simulations.ray_runtime import backend_config
from simulations.run import run

pytestmark = pytest.mark.processes

PRIVATE_HEAD = 'peft.private=["head.*"]'
DEADLINE_S = 240
Done = subprocess.CompletedProcess[str]


def python(folder: Path, program: str, *arguments: str) -> Done:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=DEADLINE_S)


COMMAND = "import sys; from common.command import main; sys.exit(main(sys.argv[1:]))"


def simulate_on_ray(out: Path, *options: str) -> None:
    arguments = ["simulate", "quick", "--runtime", "ray", "--out", str(out), "--no-comparison", *options]
    done = python(out.parent, COMMAND, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def simulate_in_process(out: Path, *overrides: str, resume: bool = False) -> None:
    run("quick", out=out, overrides=overrides, comparison=False, resume=resume)


def stop_after_round_1(event: Event) -> None:
    if isinstance(event, RoundFinished) and event.round == 1:
        raise KeyboardInterrupt


def adapter(out: Path) -> bytes:
    return (out / "adapter" / "adapter.safetensors").read_bytes()


def rounds_finished(out: Path) -> list[int]:
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    return [event["round"] for event in events if event["event"] == "round_finished"]


def heads(out: Path) -> dict[str, bytes]:
    found = {path.parent.name: path.read_bytes() for path in (out / "sites").glob("*/private.safetensors")}
    assert set(found) == {"east", "north", "west"}
    return found


def test_the_adapter_is_that_of_a_run_in_process(tmp_path: Path) -> None:
    simulate_on_ray(tmp_path / "ray")
    simulate_in_process(tmp_path / "inprocess")
    assert adapter(tmp_path / "ray") == adapter(tmp_path / "inprocess")


INTERRUPTED = """
import sys
from server.events import RoundFinished
from simulations.run import run

def stop(event):
    if isinstance(event, RoundFinished):
        raise KeyboardInterrupt

run("quick", out=sys.argv[1], overrides=[sys.argv[2]], runtime="ray", resume=True, comparison=False, progress=stop)
"""


@pytest.mark.slow
def test_each_runtime_goes_on_where_the_other_was_interrupted(tmp_path: Path) -> None:
    """Round 1 in process, 2 on Ray, 3 in process. The heads are private: what sites keep on their disks counts too."""
    out, whole = tmp_path / "run", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        run("quick", out=out, overrides=[PRIVATE_HEAD], comparison=False, progress=stop_after_round_1)
    assert python(tmp_path, INTERRUPTED, str(out), PRIVATE_HEAD).returncode == -signal.SIGINT
    assert rounds_finished(out) == [1, 2]
    simulate_in_process(out, PRIVATE_HEAD, resume=True)
    simulate_in_process(whole, PRIVATE_HEAD)
    assert (adapter(out), heads(out)) == (adapter(whole), heads(whole))


FAILING = """
import os, sys
from flwr.clientapp import ClientApp
from client.execution import Execution
from common import wire
from common.errors import ParticipationError
from server.exchange import SYSTEM_CLOCK, Exchange
from simulations.ray_runtime import backend_config, engine

app = ClientApp()

@app.query()
def die(message, context):
    os._exit(1)

def ask(gpus):
    backend = backend_config(Execution(), sites=1, cores=1, cluster=False)
    backend["client_resources"]["num_gpus"] = gpus
    with engine(app, nodes=1, backend=backend) as grid:
        while not (nodes := list(grid.get_nodes())):
            SYSTEM_CLOCK.wait(0.02)
        exchange = Exchange(grid, SYSTEM_CLOCK)
        exchange.push("a", 0, wire.message(wire.encode_query(), kind="query", node=nodes[0].node_id, round_number=0))
        list(exchange.collect(0, None))

try:
    ask(float(sys.argv[1]))
except ParticipationError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(("gpus", "found"), [("0", "worker process of Ray died"), ("1000", "ActorPool is empty")])
def test_an_engine_that_fails_ends_the_run_and_says_how_to_go_on(tmp_path: Path, gpus: str, found: str) -> None:
    """A worker that dies while it answers; and workers that no machine has room for."""
    done = python(tmp_path, FAILING, gpus)
    assert done.returncode == 1
    assert found in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr


WITHOUT_RAY = "import sys; sys.modules['ray'] = None; " + COMMAND


def test_without_ray_the_command_says_what_to_install(tmp_path: Path) -> None:
    done = python(tmp_path, WITHOUT_RAY, "simulate", "quick", "--runtime", "ray", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert 'pip install "fedpeft[ray]"' in done.stderr


@pytest.mark.parametrize(("threads", "sites", "cores"), [(1, 3, 2), (2, 3, 16), (4, 2, 2), (1, 1000, 64)])
def test_there_are_never_more_workers_than_sites_or_cores_and_at_least_one(
    threads: int, sites: int, cores: int
) -> None:
    backend = backend_config(Execution(threads=threads), sites=sites, cores=cores, cluster=False)
    workers = backend["init_args"]["num_cpus"] // backend["client_resources"]["num_cpus"]
    assert 1 <= workers <= min(sites, max(1, cores // threads))


def test_a_running_cluster_is_asked_for_no_cores() -> None:
    assert "num_cpus" not in backend_config(Execution(), sites=3, cores=2, cluster=True)["init_args"]


def test_each_worker_knows_its_gpu_as_the_first() -> None:
    with pytest.raises(UserError, match="cuda:0"):
        backend_config(Execution(device="cuda:1"), sites=3, cores=2, cluster=False)
    assert backend_config(Execution(device="cuda:0"), sites=1, cores=1)["client_resources"]["num_gpus"] == 1.0
