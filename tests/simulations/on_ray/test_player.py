"""A worker plays its chunks as a run in process does, without any Ray here; what it cannot play it says in a line."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from common.quiet import QUIET
from server.closing import Outcome
from server.events import Progress
from server.job import ServerJob
from server.rounds import run_rounds
from server.state import ServerState
from simulations.deadlines import without_deadlines
from simulations.on_ray.grid import RayGrid
from simulations.on_ray.letters import Answered, Arrays, Parcel
from simulations.on_ray.player import TOGETHER_S, Player, together
from simulations.run import run
from simulations.virtual import VirtualSites


@dataclass
class Here:
    """Workers that are objects of this process, each parcel the next one's; every `again`th is played twice."""

    workers: Sequence[Player]
    again: int
    held: list[Arrays] = field(default_factory=list)
    ready: list[list[Answered]] = field(default_factory=list)
    turn: Any = field(default_factory=count)

    def share(self, arrays: Arrays) -> int:
        self.held.append(arrays)
        return len(self.held) - 1

    def give(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            turn = next(self.turn)
            for _ in range(2 if turn % self.again == 0 else 1):
                beside = [self.held[reference] for reference in parcel.beside]
                self.ready += self.workers[turn % len(self.workers)].play(parcel.letters, *beside)

    def take(self, patience_s: float) -> Sequence[Answered]:
        return self.ready.pop(0) if self.ready else []


def runtime(workers: int, again: int) -> Callable[..., None]:
    def play(
        sites: VirtualSites, job: ServerJob, state: ServerState, deliver: Callable[[Outcome], None], progress: Progress
    ) -> None:
        from simulations.inprocess import task_identity

        work = {site: len(sites.rows[site].train) for site in job.sites}
        players = [Player(str(sites.folder.path), {}, 0.0) for _ in range(workers)]
        with task_identity():
            grid = RayGrid(Here(players, again), work, sites.decision.shape)
            deliver(run_rounds(grid, without_deadlines(job), state, progress=progress))

    return play


OPTIONS = ["federation.rounds=2", "training.local_epochs=1", 'peft.private=["head.*"]']


def bytes_of(out: Path) -> list[bytes]:
    private = sorted(out.glob("sites/*/private.safetensors"))
    assert len(private) == 3
    return [path.read_bytes() for path in (out / "adapter" / "adapter.safetensors", *private)]


@pytest.mark.parametrize(("workers", "again"), [(1, 99), (2, 99), (5, 1)])
def test_the_bytes_are_those_of_a_run_in_process(tmp_path: Path, workers: int, again: int) -> None:
    """Whoever plays whom, and where each chunk is played twice, as after the death of the worker that had it."""
    run("quick", out=tmp_path / "a", overrides=OPTIONS, comparison=False, workers=2)
    run("quick", out=tmp_path / "b", overrides=OPTIONS, comparison=False, workers=2, runtime=runtime(workers, again))
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_a_chunk_that_is_played_again_trains_nothing_again(tmp_path: Path) -> None:
    run("quick", out=tmp_path / "a", overrides=OPTIONS, comparison=False, workers=2, runtime=runtime(2, 1))
    steps = {p: len(p.read_text().splitlines()) for p in (tmp_path / "a").glob("sites/*/steps.jsonl")}
    run("quick", out=tmp_path / "b", overrides=OPTIONS, comparison=False, workers=2)
    expected = {p: len(p.read_text().splitlines()) for p in (tmp_path / "b").glob("sites/*/steps.jsonl")}
    assert len(steps) == 3
    assert sorted(steps.values()) == sorted(expected.values())


def test_a_folder_that_a_worker_does_not_see_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not see the run in .*--out must lie on a disk that all of them share"):
        list(Player(str(tmp_path / "elsewhere"), {}, 0.0).play([]))


def test_a_worker_reports_nothing_that_the_server_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine nobody has silenced its libraries."""
    for name in QUIET:
        monkeypatch.setenv(name, "as it was")
    Player("nowhere", dict(QUIET), 0.0)
    assert {name: os.environ[name] for name in QUIET} == dict(QUIET)


def test_replies_go_back_together_until_they_are_large(
    message: Callable[..., Any], adapter: Callable[..., Any]
) -> None:
    """In order, none left behind, and no object of Ray for each: 10 of 4 MiB are 4 + 4 + 2."""
    replies = [(i, message(i, update=adapter(4 << 20))) for i in range(10)]
    found = list(together(replies, clock=lambda: 0.0))
    assert [answer.number for together in found for answer in together] == list(range(10))
    assert [len(together) for together in found] == [4, 4, 2]
    assert list(together([])) == []


def test_no_reply_waits_long_for_others(message: Callable[..., Any], adapter: Callable[..., Any]) -> None:
    """By a clock that has gone on by half the patience at each look: one reply in two looks."""
    ticks = count()
    replies = [(i, message(i, update=adapter(10))) for i in range(4)]
    found = list(together(replies, clock=lambda: next(ticks) * TOGETHER_S / 2))
    assert [[answer.number for answer in each] for each in found] == [[0, 1], [2, 3]]
