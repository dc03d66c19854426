"""Tracking a run up to where it is now: for one that is finished, or that a tracker has missed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError
from server.run_folder import RunFolder
from server.tracking.destination import Destination
from server.tracking.keeping_up import KeepingUp
from server.tracking.process import lock_of


def runs_in(folder: Path) -> list[Path]:
    """Return the run in a folder, or those of its several seeds. Raises UserError: there is none."""
    found = [each for each in (folder, *sorted(folder.glob("seed-*"))) if RunFolder(each).events.exists()]
    if not found:
        raise UserError(f"{folder} holds no run that has begun: there is no events.jsonl; name a run's folder")
    return found


def track_at_once(run: Path, to: Destination) -> str:
    """Bring a destination up to a run, and return in a line what it has.

    Raises:
        UserError: it does not take everything, or another process tracks this run to it.
    """
    with _alone(run, to.kind):
        keeping = KeepingUp(run, to)
        went_well = keeping.advance(is_over=True)
        keeping.close()
    if not went_well:
        raise UserError(f"{keeping.behind()}; mend that, then the same command again: {keeping.command()}")
    if not keeping.is_complete:
        return f"{to.kind} has {run} up to round {keeping.round or 0}; the run is not complete"
    return f"{to.kind} has all of {run}"


@contextmanager
def _alone(run: Path, kind: str) -> Iterator[None]:
    descriptor = os.open(lock_of(run, kind), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"another process tracks {run} to {kind} now; nothing to do, or try again later") from None
    finally:
        os.close(descriptor)
