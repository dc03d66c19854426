"""A journal that a hostile server cannot fill: so many refusals an hour are noted, then one line that says so.

So it is with answers that leave once more: they are the bytes of an entry that is there.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from client.gate import EntryLog
from client.journal import Entry

LIMIT = 60
WINDOW_S = 3600.0
LAST_REASON = f"as more than {LIMIT} refusals or repetitions in an hour, further ones are not written down"


@dataclass
class LimitedLog:
    """Passes on what is released always, and at most LIMIT refusals and LIMIT repetitions an hour."""

    log: EntryLog
    clock: Callable[[], float] = time.monotonic
    _start_s: float = -inf
    _counts: Counter[str] = field(default_factory=Counter)

    def append(self, entry: Entry) -> None:
        """Write one entry, or leave it out."""
        if entry.decision == "released":
            self.log.append(entry)
            return
        count = self._counted(entry.decision)
        if count <= LIMIT:
            self.log.append(entry)
        elif count == LIMIT + 1:
            self.log.append(replace(entry, reason=LAST_REASON))

    def has_room_for(self, what: str) -> bool:
        """Count one more of what is asked before round 1; LIMIT an hour are answered, so that each is written down."""
        return self._counted(what) <= LIMIT

    def _counted(self, what: str) -> int:
        now = self.clock()
        if now - self._start_s >= WINDOW_S:
            self._start_s, self._counts = now, Counter()
        self._counts[what] += 1
        return self._counts[what]
