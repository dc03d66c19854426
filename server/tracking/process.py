"""The process beside a run that tracks it to one destination, until its standard input ends: then the run is over.

    python -m server.tracking.process RUN DESTINATION

A process of its own, since a server that hangs, a library that needs memory and a full disk are then not the run's. It
says on standard output, in whole lines, what whoever watches the run should know.
"""

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

from common.locking import exclusive
from common.quiet import silence
from server.tracking.destination import destination
from server.tracking.keeping_up import KeepingUp

POLL_S: Final = 0.5
RETRY_S: Final = 2.0
"""Seconds from the first failure to the next attempt; doubled by each that fails, up to the next."""
MOST_RETRY_S: Final = 60.0

BEHIND: Final = 3
"""The exit status where something is not tracked at the end; Python's own for a defect is 1."""

Say = Callable[[str], None]


def track(keeping: KeepingUp, is_over: Callable[[float], bool], say: Say) -> bool:
    """Track a run until it is over, say what fails and what is missing at the end; return whether nothing is.

    is_over: waits at most so many seconds for the run's end.
    """
    wait_s, due, said = RETRY_S, 0.0, False
    while not is_over(POLL_S):
        if monotonic() < due:
            continue
        if keeping.advance():
            wait_s, due = RETRY_S, 0.0
            continue
        if not said:
            say(f"tracking: {keeping.behind()}; training goes on, and it is tried again")
            said = True
        wait_s, due = min(2 * wait_s, MOST_RETRY_S), monotonic() + wait_s
    if not keeping.advance(is_over=True):
        say(f"tracking: {keeping.behind()}; catch up with: {keeping.command()}")
    keeping.close()
    return keeping.failure is None


def _stdin_ends(wait_s: float) -> bool:
    """Whether standard input has ended within so many seconds."""
    ready, _, _ = select.select([0], [], [], wait_s)
    return bool(ready) and not os.read(0, 4096)


def lock_of(run: Path, kind: str) -> Path:
    """Return the file whose lock holds whoever tracks the run to a kind."""
    return run / f".tracking-{kind}.lock"


def main(arguments: list[str]) -> int:
    """Track the run of the first argument to the destination of the second."""
    silence(os.environ)
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is none of our lines
    run, to = Path(arguments[0]), destination(arguments[1], base=Path.cwd())

    def say(line: str) -> None:
        said.write(line + "\n")
        said.flush()

    while not run.is_dir() or not any(run.glob("events.jsonl")):  # the folder is the run's to make
        if _stdin_ends(POLL_S):
            return 0
    with exclusive(lock_of(run, to.kind)):
        return 0 if track(KeepingUp(run, to), _stdin_ends, say) else BEHIND


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
