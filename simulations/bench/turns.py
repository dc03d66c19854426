"""Contenders that play rounds of the same work in turns, each a process that waits while another plays.

A contender reads a line from its standard input for each round, and writes one of JSON when it is over; a round before
the first line is its start. So a contender can be a script that another Python runs, with libraries of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from signal import SIGKILL
from tempfile import TemporaryFile
from time import perf_counter
from typing import IO, TextIO

from common.errors import UserError
from simulations.bench.process_tree import cpu_seconds, peak_of_tree, tree

PATIENCE_S = 900.0
"""A round that takes longer will not end."""
END_S = 30.0


class Over(Exception):  # not an error: the last round was played
    """Nobody asks for another round."""


class Turns:
    """What a contender sees of the others: their turns are while it waits."""

    def __init__(self, asked: TextIO, answers: TextIO) -> None:
        self._asked, self._answers = asked, answers
        self._begin = perf_counter()

    def done(self, **also: float) -> None:
        """Say that a round is over, and wait until the next may begin; raises Over where none will.

        also: what else is to be known of the round.
        """
        self._answers.write(json.dumps({"seconds": perf_counter() - self._begin, **also}) + "\n")
        self._answers.flush()
        if not self._asked.readline():
            raise Over
        self._begin = perf_counter()


def serve(play: Callable[[Turns], None]) -> None:
    """Be a contender: `play` plays a round before each call of `done`. What others print goes to the error stream."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    try:
        play(Turns(sys.stdin, answers))
    except Over:
        return


@dataclass(frozen=True)
class Contender:
    """name: of its figures. command: what is run, with `environment` over this process's own."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Played:
    """What one contender's rounds took.

    startup_s: from the start of its process to the end of its first round, which the others do not count. seconds,
    cpu_seconds: of each turn, the latter of all its processes. peak_mb: of all its processes, in one more turn that is
    not timed, since who looks at memory slows down. also: what it said of its last round.
    """

    startup_s: float
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    also: Mapping[str, float] = field(default_factory=dict)


def play_turns(contenders: Sequence[Contender], turns: int) -> dict[str, Played]:
    """Start all, then have each play a round in each turn; every other turn goes the other way round."""
    with ExitStack() as stack:
        running = [stack.enter_context(_started(each)) for each in contenders]
        played = {each.contender.name: Played(each.startup_s) for each in running}
        for turn in range(turns):
            for each in running if turn % 2 == 0 else reversed(running):
                _play(each, played[each.contender.name])
        for each in running:
            with peak_of_tree(each.process.pid) as peak:
                each.round()
            played[each.contender.name].peak_mb = peak.mb
    return played


def _play(each: "_Running", played: Played) -> None:
    before = cpu_seconds(tree(each.process.pid))
    also = dict(each.round())
    played.seconds.append(also.pop("seconds"))
    played.cpu_seconds.append(cpu_seconds(tree(each.process.pid)) - before)
    played.also = also


@dataclass
class _Running:
    """A contender's process, and what it prints beside its answers."""

    contender: Contender
    process: "subprocess.Popen[bytes]"
    printed: IO[bytes]
    startup_s: float = 0.0

    def round(self) -> Mapping[str, float]:
        """Have it play a round, and return what it says of it."""
        assert self.process.stdin is not None  # a pipe
        with suppress(BrokenPipeError):  # then no answer comes either
            self.process.stdin.write(b"round\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Mapping[str, float]:
        """Wait for its answer. Raises UserError where none comes."""
        assert self.process.stdout is not None  # a pipe
        line = self.process.stdout.readline() if select([self.process.stdout], [], [], PATIENCE_S)[0] else b""
        if not line:
            raise UserError(f"contender {self.contender.name} plays no more: {self._last_words()}")
        found: Mapping[str, float] = json.loads(line)
        return found

    def _last_words(self) -> str:
        """Return how it ended, and the last that it printed."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        code = self.process.returncode
        end = f"no answer in {PATIENCE_S:.0f} s" if code is None else f"exit code {code}"
        self.printed.seek(0)
        said = self.printed.read().decode(errors="replace").strip().splitlines()
        return f"{end}, {said[-1]}" if said else end


@contextmanager
def _started(contender: Contender) -> Iterator[_Running]:
    """Start it and wait for the end of its first round; at the end it has time to end what it started itself."""
    begin = perf_counter()
    with TemporaryFile() as printed:
        process = subprocess.Popen(
            contender.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            env={**os.environ, **contender.environment},
        )
        try:
            running = _Running(contender, process, printed)
            running.answer()
            running.startup_s = perf_counter() - begin
            yield running
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None  # a pipe
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        for pid in reversed(tree(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        process.wait()
    assert process.stdout is not None  # a pipe
    process.stdout.close()


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of a contender that is a module of ours."""
    return (sys.executable, "-m", name, *arguments)


def script(python: str, path: Path, *arguments: str) -> tuple[str, ...]:
    """Return the command of a contender that a Python of its own runs."""
    return (python, str(path), *arguments)
