"""Workers of Ray against our grid in process: the same bytes, who dies is replaced, and every way to stop is clean.

Ray runs in processes of its own here: it leaves files open in the process that starts it, a warning each.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event

import psutil
import pytest

from server import events
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


def simulate_in_process(out: Path, *overrides: str, resume: bool = False, workers: int = 2) -> None:
    """As many workers as Ray has on two cores; a run that goes on keeps its own."""
    given = None if resume else workers
    run("quick", out=out, overrides=overrides, comparison=False, resume=resume, workers=given)


def stop_after_round_1(event: events.Event) -> None:
    if isinstance(event, events.RoundFinished) and event.round == 1:
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


@pytest.mark.slow
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
        run("quick", out=out, overrides=[PRIVATE_HEAD], comparison=False, workers=2, progress=stop_after_round_1)
    assert python(tmp_path, INTERRUPTED, str(out), PRIVATE_HEAD).returncode == -signal.SIGINT
    assert rounds_finished(out) == [1, 2]
    simulate_in_process(out, PRIVATE_HEAD, resume=True)
    simulate_in_process(whole, PRIVATE_HEAD)
    assert (adapter(out), heads(out)) == (adapter(whole), heads(whole))


EPOCHS = "training.local_epochs=12"
"""Long enough for a worker to be found at work."""


class Running:
    """A command that runs in a session of its own, and what it has started."""

    def __init__(self, out: Path, *options: str, environ: Mapping[str, str] | None = None) -> None:
        arguments = ["simulate", "quick", "--runtime", "ray", "--out", str(out), "--no-comparison", f"--set={EPOCHS}"]
        self.events = out / "events.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, *options],
            cwd=out.parent,
            env={**os.environ, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.seen: set[psutil.Process] = set()

    def worker(self, *, after_replies: int = 0) -> int | None:
        """Return the pid of a worker that plays a chunk, once so many replies have come; None where the run is over."""
        while self.process.poll() is None:
            self._look()
            replies = self.events.read_text().count('"reply"') if self.events.exists() else -1
            for each in self.seen if replies >= after_replies else ():
                with suppress(psutil.Error):
                    if each.is_running() and each.cmdline()[:1] == ["ray::Player.play"]:
                        return int(each.pid)
            Event().wait(0.02)
        return None

    def _look(self) -> None:
        with suppress(psutil.Error):
            self.seen |= set(psutil.Process(self.process.pid).children(recursive=True))

    def end(self) -> Done:
        """Return what came of it, once it has ended and nothing that it had started is left."""
        out, err = self.process.communicate(timeout=DEADLINE_S)
        _, left = psutil.wait_procs(self.seen, timeout=30)
        assert not left
        return Done(self.process.args, self.process.returncode, out, err)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The adapter of the runs below, where nothing happens to them."""
    out = tmp_path_factory.mktemp("whole") / "out"
    simulate_in_process(out, EPOCHS)
    return adapter(out)


REPLACED = "a worker process of Ray died (ActorDiedError) and is replaced, {} of 3 times\n"


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_bytes_are_the_same(tmp_path: Path, undisturbed: bytes) -> None:
    """One with its first chunk, one after a reply; the results on stdout are JSON still."""
    running = Running(tmp_path / "out", "--json")
    for replies in (0, 1):
        pid = running.worker(after_replies=replies)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    done = running.end()
    assert (done.returncode, done.stderr) == (0, REPLACED.format(1) + REPLACED.format(2))
    assert json.loads(done.stdout)["rounds"]
    assert adapter(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_a_run_whose_workers_go_on_dying_stops_and_can_be_resumed(tmp_path: Path) -> None:
    """Its bytes are those of as many workers in process."""
    running = Running(tmp_path / "out", "--workers", "1")
    while (pid := running.worker()) is not None:
        os.kill(pid, signal.SIGKILL)
    done = running.end()
    *replaced, last = done.stderr.splitlines(keepends=True)
    assert (done.returncode, replaced) == (3, [REPLACED.format(i) for i in (1, 2, 3)])
    assert "the 4th" in last
    assert "--resume" in last
    other = Running(tmp_path / "out", "--resume", "--workers", "2").end()
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "--workers 1, which fixes its bytes" in other.stderr
    done = Running(tmp_path / "out", "--resume").end()
    assert (done.returncode, done.stderr) == (0, "")
    simulate_in_process(tmp_path / "whole", EPOCHS, workers=1)
    assert adapter(tmp_path / "out") == adapter(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_ends_the_run_and_all_that_it_started(tmp_path: Path, undisturbed: bytes) -> None:
    """As a terminal does it: every process of the group is told. Then the run goes on in process."""
    running = Running(tmp_path / "out")
    assert running.worker() is not None
    os.killpg(running.process.pid, signal.SIGINT)
    done = running.end()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (130, "", 1)
    assert done.stderr.startswith("interrupted; go on with: ")
    simulate_in_process(tmp_path / "out", EPOCHS, resume=True)
    assert adapter(tmp_path / "out") == undisturbed


CLUSTER = """
import ray, sys
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_the_workers_are_those_of_a_cluster_that_is_there_and_stays(tmp_path: Path, undisturbed: bytes) -> None:
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        environ = {"RAY_ADDRESS": cluster.stdout.readline().strip()}
        done = Running(tmp_path / "out", environ=environ).end()
        assert (done.returncode, done.stderr) == (0, "")
        crowded = Running(tmp_path / "b", "--workers", "4", environ=environ).end()
        assert (crowded.returncode, crowded.stderr.count("\n")) == (2, 1)
        assert "there is room for 3" in crowded.stderr
        workers = psutil.Process(cluster.pid).children(recursive=True)
        assert not [each for each in workers if each.name().startswith("ray::Player")]
        assert cluster.poll() is None
        cluster.communicate("")
    assert json.loads((tmp_path / "out" / "ray.json").read_text()) == {"workers": 3}
    assert adapter(tmp_path / "out") == undisturbed


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    away = Running(tmp_path / "c", environ={"RAY_ADDRESS": "127.0.0.1:1"}).end()
    assert (away.returncode, away.stderr.count("\n")) == (2, 1)
    assert "RAY_ADDRESS '127.0.0.1:1' names no Ray that answers" in away.stderr


WITHOUT_RAY = "import sys; sys.modules['ray'] = None; " + COMMAND


def test_without_ray_the_command_says_what_to_install(tmp_path: Path) -> None:
    done = python(tmp_path, WITHOUT_RAY, "simulate", "quick", "--runtime", "ray", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert 'pip install "fedpeft[ray]"' in done.stderr
