"""Tracking beside a run that is being played: a process for each destination, which can neither end nor hold it."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Final

from server.tracking.destination import Destination, missing_package
from server.tracking.keeping_up import catching_up
from server.tracking.process import BEHIND

END_S: Final = 60.0
"""So long tracking may take after the run's end, all destinations together; half of it where the run failed."""
_KILLED_S: Final = 5.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Companion:
    """A process that tracks, and the thread that hands on what it says."""

    to: Destination
    process: "subprocess.Popen[str]"
    reader: Thread


@contextmanager
def tracked(run: Path, destinations: Sequence[Destination], tell: Tell, *, end_s: float = END_S) -> Iterator[None]:
    """Track the run in the folder `run`, which need not be there yet, while the block plays it.

    tell: is given each line that whoever watches the run should read, also from another thread.
    """
    companions = [each for to in destinations if (each := _begin(run, to, tell)) is not None]
    wait_s = end_s / 2
    try:
        yield
        wait_s = end_s
    finally:
        _end(run, companions, tell, monotonic() + wait_s)


def _begin(run: Path, to: Destination, tell: Tell) -> Companion | None:
    missing = missing_package(to.kind)
    if missing is not None:
        tell(f"tracking: {missing}; then catch up with: {catching_up(run, to.text)}")
        return None
    command = (sys.executable, "-P", "-m", "server.tracking.process", str(run), to.text)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run; the end of standard input is for its companions
        )
    except OSError as error:
        tell(f"tracking: {to.kind} has nothing ({error.strerror}); catch up with: {catching_up(run, to.text)}")
        return None
    reader = Thread(target=_hand_on, args=(process.stdout, tell), daemon=True)
    reader.start()
    return Companion(to, process, reader)


def _hand_on(lines: IO[str], tell: Tell) -> None:
    with lines:
        for line in lines:
            tell(line.rstrip("\n"))


def _end(run: Path, companions: Sequence[Companion], tell: Tell, deadline: float) -> None:
    for each in companions:
        assert each.process.stdin is not None  # it is a pipe
        with suppress(OSError):
            each.process.stdin.close()
    for each in companions:
        catch_up = f"catch up with: {catching_up(run, each.to.text)}"
        try:
            code = each.process.wait(timeout=max(0.0, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait(timeout=_KILLED_S)
            tell(f"tracking: {each.to.kind} did not take everything in time; {catch_up}")
            code = BEHIND
        each.reader.join(timeout=_KILLED_S)
        if code not in (0, BEHIND):  # else it has said why
            tell(f"tracking: the process for {each.to.kind} ended by itself ({code}); {catch_up}")
