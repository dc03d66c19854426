"""kill -9 of every process of a federation, each in the middle of a round: the adapter is that of a run undisturbed.

The round is open for sure: `west` keeps its answer until the process has been killed.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from client.processes import site_status, start_site
from common.leftovers import command_of, find_leftovers, is_alive

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def in_round(federation: Any, name: str, kill: Callable[[], None], *, round_number: int = 1) -> Any:
    """Start a run, kill something while a round waits for west alone, let west answer; return the run."""
    held = federation.hold(round_number)
    run = federation.submit("strict", name)
    federation.wait(held.asked.is_set, what="question to west")
    for site in ("east", "north"):
        federation.wait_for_event(run, "reply", round_number=round_number, site=site, status="accepted")
    kill()
    held.released.set()
    return run


@pytest.mark.parametrize("program", ["superlink", "door"])
def test_a_program_of_the_coordinator(federation: Any, program: str) -> None:
    run = in_round(federation, f"kill-{program}", lambda: federation.kill(program))
    federation.finished(run)


@pytest.mark.parametrize("program", ["gateway", "supernode"])
def test_a_program_of_a_site_whose_answer_is_being_made(federation: Any, program: str) -> None:
    """A SuperNode gives up a gateway's task after a minute. What it was itself given is asked again at the deadline.

    The SuperLink lets a killed SuperNode's key in again only when it has missed two heartbeats, after some 40 s.
    """
    run = in_round(federation, f"kill-{program}", lambda: federation.kill(program, "west"))
    federation.finished(run)


def test_a_trainer_in_training(federation: Any) -> None:
    run = federation.submit("strict", "kill-trainer")
    federation.wait_for_event(run, "round_started", round_number=1)
    federation.wait(lambda: federation.is_busy("east"), what="training")
    federation.kill("trainer", "east")
    results = federation.finished(run)
    assert [each["decision"] for each in federation.journal("east", run)].count("refused") == 0
    assert results["rounds"][0]["participation"]["east"]["status"] == "accepted"


def serverapp(federation: Any) -> int:
    pids = find_leftovers(str((federation.coordinator / "run").resolve()))
    (found,) = [pid for pid in pids if any(part.endswith("flwr-serverapp") for part in command_of(pid))]
    return int(found)


@pytest.mark.parametrize("victim", ["serverapp", "superexec"])
def test_a_run_without_its_process_has_failed_and_is_resumed(federation: Any, victim: str) -> None:
    """Whatever the superexec has started ends with it."""

    def kill() -> None:
        os.kill(serverapp(federation) if victim == "serverapp" else federation.pid(victim), signal.SIGKILL)

    run = in_round(federation, f"kill-{victim}", kill, round_number=2)
    state = federation.ended(run)
    assert state.state == "failed"
    assert "go on with: fedpeft server resume" in state.reason
    before = federation.journal("east", run)
    federation.resume(run)
    federation.finished(run)
    assert [e["round"] for e in federation.events(run) if e["event"] == "round_started"] == [1, 2, 2, 3]
    after = [(e["decision"], e["kind"], e["round"]) for e in federation.journal("east", run)[len(before) :]]
    assert after == [("released", "preflight", 0), ("repeated", "train", 2), ("released", "evaluate", 3)]


def test_the_supervisor_of_a_site(federation: Any) -> None:
    folder = federation.sites["east"]
    supervisor = int((folder.run / "supervisord.pid").read_text())
    run = in_round(federation, "kill-supervisor", lambda: os.kill(supervisor, signal.SIGKILL))
    federation.finished(run)
    left = find_leftovers(str(folder.run.resolve()))
    assert left
    start_site(folder)
    assert not any(is_alive(pid) for pid in left)
    assert site_status(folder)["running"]
