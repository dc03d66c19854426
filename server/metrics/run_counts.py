"""What the events of one run count up to, read as they grow."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any  # JSON values

from server.events import Event, RoundFinished, RunFinished, RunStarted, SiteAnswered
from server.following import EventReader
from server.run_folder import RunFolder


@dataclass
class RunCounts:
    """Sums over the events of a run so far.

    round: the last complete one, of `rounds`. replies: by site and status. size_bytes: received, by site. seconds: of
    the last complete round; all_seconds: of all of them. scores: the last pooled validation metrics by name.
    """

    reader: EventReader
    round: int = 0
    rounds: int = 0
    replies: Counter[tuple[str, str]] = field(default_factory=Counter)
    size_bytes: Counter[str] = field(default_factory=Counter)
    seconds: float | None = None
    all_seconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)

    def read_on(self) -> None:
        """Count what was appended. Raises OSError where it cannot be read."""
        for event in self.reader.new():
            self._count(event)

    def _count(self, event: Event) -> None:
        if isinstance(event, SiteAnswered):
            self.replies[event.site, event.status] += 1
            self.size_bytes[event.site] += event.bytes
        elif isinstance(event, RunStarted):
            self.rounds = event.rounds
            if event.finished is not None and event.finished.round > self.round:
                self._count(event.finished)
        elif isinstance(event, RoundFinished):
            self.round, self.rounds = event.round, event.rounds
            self.seconds = event.seconds
            self.all_seconds += event.seconds
            self._score(event.validation)
        elif isinstance(event, RunFinished):
            self._score(event.validation)

    def _score(self, validation: Any) -> None:
        pooled = (validation or {}).get("pooled") or {}
        found = {name: metric.get("value") for name, metric in pooled.items()}
        self.scores.update({name: float(value) for name, value in found.items() if value is not None})


def counts_of(run: RunFolder) -> RunCounts:
    """Return what is counted of a run, from its beginning."""
    return RunCounts(EventReader(run))
