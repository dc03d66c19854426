"""A journal that a hostile server cannot fill: so many refusals an hour are noted, then one line that says so."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from client.gate import EntryLog
from client.journal import Entry

LIMIT = 60
WINDOW_S = 3600.0
LAST_REASON = f"as more than {LIMIT} refusals in an hour, further ones are not written down"


@dataclass
class LimitedLog:
    """Passes on what is released always, and refusals while there are at most LIMIT of them in an hour."""

    log: EntryLog
    clock: Callable[[], float] = time.monotonic
    _start_s: float = -inf
    _refused: int = 0

    def append(self, entry: Entry) -> None:
        """Write one entry, or leave it out."""
        if entry.decision != "refused":
            self.log.append(entry)
            return
        now = self.clock()
        if now - self._start_s >= WINDOW_S:
            self._start_s, self._refused = now, 0
        self._refused += 1
        if self._refused <= LIMIT:
            self.log.append(entry)
        elif self._refused == LIMIT + 1:
            self.log.append(replace(entry, reason=LAST_REASON))
