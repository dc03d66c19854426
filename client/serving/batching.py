"""Requests on their way into the model: a bounded queue, and which of them go together.

Rows of several requests of one site make one batch, up to `max_batch` rows or until the oldest has waited
`max_wait_s`; while the model is busy, more gather by themselves. Rows that wait together are cut into batches by
length, so that little is padded.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any  # a prediction's columns hold words and numbers

from common.errors import FedpeftError
from common.tasks import AnyExample

GATHERED_BATCHES = 8
"""Batches whose rows are sorted by length together."""
Answer = tuple[list[dict[str, Any]], str]
"""The rows' predictions, and the digest of the adapter that made them."""


class QueueFullError(FedpeftError):
    """More rows wait than the queue holds."""


class QueueClosedError(FedpeftError):
    """The service is ending."""


@dataclass(frozen=True, eq=False)
class Job:
    """The rows of one request. site: whose own tensors answer."""

    examples: Sequence[AnyExample]
    site: str | None = None
    answer: "Future[Answer]" = field(default_factory=Future)
    since: float = field(default_factory=monotonic)


@dataclass(frozen=True)
class Sizes:
    """Rows of a batch, seconds that a row may wait for others, and rows that may wait in all."""

    max_batch: int = 32
    max_wait_s: float = 0.005
    most_waiting: int = 4096


class JobQueue:
    """The queue between requests and the one thread that has the model."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str | None, deque[Job]] = OrderedDict()
        self._rows = 0
        self._closed = False

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def put(self, job: Job) -> None:
        """Add a request's rows. Raises QueueFullError, QueueClosedError."""
        with self._changed:
            if self._closed:
                raise QueueClosedError("the service is ending")
            if self._rows and self._rows + len(job.examples) > self._sizes.most_waiting:
                raise QueueFullError(f"{self._rows} rows wait, at most {self._sizes.most_waiting} may")
            self._waiting.setdefault(job.site, deque()).append(job)
            self._rows += len(job.examples)
            self._changed.notify_all()

    def wake(self) -> None:
        """Let whoever waits in `take` look up: something else is to be done first."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more; what waits is still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def give_up(self) -> list[Job]:
        """Take no more, and return what waits."""
        with self._changed:
            self._closed = True
            jobs = [job for waiting in self._waiting.values() for job in waiting]
            self._waiting.clear()
            self._rows = 0
            return jobs

    def take(self, interrupted: "threading.Event") -> list[Job] | None:
        """Wait for requests of one site, the oldest first, and return them; [] when interrupted, None at the end."""
        with self._changed:
            while not interrupted.is_set():
                if not self._waiting and self._closed:
                    return None
                left = self._patience()
                if left is not None and left <= 0:
                    return self._gathered()
                self._changed.wait(left)
            return []

    def _oldest(self) -> str | None:
        return min(self._waiting, key=lambda site: self._waiting[site][0].since)

    def _patience(self) -> float | None:
        """Return the seconds until the oldest site's rows go; None where none wait."""
        if not self._waiting:
            return None
        jobs = self._waiting[self._oldest()]
        full = sum(len(job.examples) for job in jobs) >= self._sizes.max_batch
        return 0.0 if full or self._closed else jobs[0].since + self._sizes.max_wait_s - monotonic()

    def _gathered(self) -> list[Job]:
        site = self._oldest()
        found: list[Job] = []
        jobs, room = self._waiting[site], GATHERED_BATCHES * self._sizes.max_batch
        while jobs and (not found or len(jobs[0].examples) <= room):
            found.append(jobs.popleft())
            room -= len(found[-1].examples)
        if not jobs:
            del self._waiting[site]
        self._rows -= sum(len(job.examples) for job in found)
        return found
