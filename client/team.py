"""The further processes of a site that trains on several devices: each holds the base model, and waits for rounds.

They start with the first round and stay, as the trainer does. Whatever goes wrong in one of them, or in this process
amid a round, ends them all; the next round starts them anew. What they are told travels in memory, from this process to
its own children; a child whose parent is gone ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from client.execution import Execution, limited_threads
from client.place import Place
from client.replicas import backend_of, join
from client.round_training import RoundWork, train_round
from client.steps import Setting
from client.training import Trained
from common.errors import FedpeftError
from common.quiet import silence
from common.state import AdapterState
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench, open_workbench

START_S: Final = 600.0
"""How long a process may take to load the base model."""
_READY: Final = "ready"


class MemberError(FedpeftError):
    """A further process of the site ended, or did not start; its own words are in the trainer's log."""


@dataclass(frozen=True)
class Member:
    """What a further process is given: its number, the study, where the base model is, the rows, how it computes."""

    rank: int
    size: int
    study: Study
    base_model: Path
    examples: Sequence[AnyExample]
    execution: Execution
    meeting: Path


@dataclass
class Team:
    """This process, which is number 0, and one further process for each of `others`."""

    study: Study
    base_model: Path
    examples: Sequence[AnyExample]
    execution: Execution
    others: tuple[Execution, ...]
    _links: list[tuple[BaseProcess, Connection]] = field(default_factory=list)
    _place: Place | None = None
    _left: ExitStack = field(default_factory=ExitStack)

    def train(self, work: RoundWork, state: AdapterState, bench: Workbench, setting: Setting) -> Trained:
        """Train one round from `state`, which is in the workbench already, here and in every other process."""
        try:
            place = self._meet() if self._place is None else self._place
            for _, link in self._links:
                _tell(link, (work, state))
            setting = replace(setting, place=place)
            return train_round(work, bench, self.examples, execution=self.execution, setting=setting)
        except BaseException:
            self.close()  # the others are amid a step that this process will not take
            raise

    def _meet(self) -> Place:
        """Start the processes, and meet them once all of them have loaded the base model."""
        folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="fedpeft-")))  # 0700, this user's
        size, context = 1 + len(self.others), get_context("spawn")
        for rank, execution in enumerate(self.others, start=1):
            here, there = context.Pipe()
            member = Member(rank, size, self.study, self.base_model, self.examples, execution, folder / "meeting")
            process: BaseProcess = context.Process(target=serve, args=(member, there), daemon=True)
            process.start()
            there.close()  # so that its end is seen here
            self._links.append((process, here))
        for started, link in self._links:
            wait([link, started.sentinel], timeout=START_S)
            if not _says_ready(link):
                raise MemberError("a further process of this site did not start; its reason is in this log")
        for _, link in self._links:
            _tell(link, _READY)
        backend = backend_of(self.execution.device)
        self._place = self._left.enter_context(join(0, size, meeting=folder / "meeting", backend=backend))
        return self._place

    def close(self) -> None:
        """End the other processes; without any, nothing happens."""
        for process, link in self._links:
            link.close()
            process.kill()
            process.join()
        self._links, self._place = [], None
        self._left.close()


def _says_ready(link: Connection) -> bool:
    """Whether a process that has said something, or ended, has loaded the base model."""
    try:
        return link.poll() and link.recv() == _READY
    except EOFError:
        return False


def _tell(link: Connection, what: object) -> None:
    try:
        link.send(what)
    except OSError:
        raise MemberError("a further process of this site has ended; its reason is in this log") from None


def serve(member: Member, link: Connection) -> None:
    """Load the base model, meet the others, and train round after round until the parent is gone."""
    silence(os.environ)
    execution, size = member.execution, member.size
    bench = open_workbench(member.study, member.base_model, attention=execution.attention).to(execution.device)
    try:
        link.send(_READY)
        link.recv()
        with join(member.rank, size, meeting=member.meeting, backend=backend_of(execution.device)) as place:
            while True:
                work, state = link.recv()
                bench.write(state)
                with limited_threads(execution.threads):
                    setting = Setting(place=place)
                    train_round(work, bench, member.examples, execution=execution, setting=setting)
    except EOFError:
        return
