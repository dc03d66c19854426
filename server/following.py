"""Following a run from outside its process: its events as they are written, until it has ended."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from common.errors import UserError
from common.growing import lines_after
from server.events import Event, Progress, from_json
from server.exchange import SYSTEM_CLOCK, Clock
from server.run_folder import ENDED, RunFolder, RunState

POLL_S: Final = 0.3
ASK_EVERY_S: Final = 10.0
"""So often the SuperLink is asked whether the run's process still lives."""
PATIENCE_S: Final = 300.0
"""So long it may be away: the watch starts it again, and the run goes on."""


@dataclass
class EventReader:
    """Reads a growing `events.jsonl`; `position` is the byte after the last whole line that was read."""

    run: RunFolder
    position: int = 0

    def new(self) -> Iterator[Event]:
        """Yield the events written since; a line that is cut, or of another version, is passed over."""
        for _, event in self.timed():
            yield event

    def timed(self) -> Iterator[tuple[str, Event]]:
        """Yield the events written since, each after its time (ISO, UTC)."""
        if not self.run.events.exists():
            return
        for position, line in lines_after(self.run.events, self.position):
            self.position = position
            found = timed_event(line)
            if found is not None:
                yield found


def timed_event(line: bytes) -> tuple[str, Event] | None:
    """Return time and event of one whole line of `events.jsonl`; None where it is of another version, or damaged."""
    try:
        content = json.loads(line)
        return str(content["time"]), from_json(content)
    except (ValueError, TypeError, KeyError):
        return None


def follow(
    reader: EventReader, progress: Progress, ask_state: Callable[[], RunState], *, clock: Clock = SYSTEM_CLOCK
) -> RunState:
    """Hand every new event to `progress` until the run has ended; return its last state.

    ask_state: asks the SuperLink too, since a server process that was killed writes nothing.

    Raises:
        UserError: the SuperLink was asked for minutes, and did not answer. The run may go on.
    """
    asked = answered = clock.now()
    while True:
        state = reader.run.state()
        if clock.now() - asked >= ASK_EVERY_S:
            try:
                state, answered = ask_state(), clock.now()
            except UserError as error:
                _check_patience(reader.run, clock.now() - answered, error)
            asked = clock.now()
        for event in reader.new():  # after the state: what was written before it ended is not missed
            progress(event)
        if state.state in ENDED:
            return state
        clock.wait(POLL_S)


def _check_patience(run: RunFolder, seconds: float, error: UserError) -> None:
    if seconds > PATIENCE_S:
        raise UserError(
            f"the SuperLink has not answered for {seconds:.0f} s ({error}); run {run.name!r} may go on: see fedpeft "
            "server status, then watch it with fedpeft server follow"
        ) from None
