"""The one thread that has the model: it takes gathered requests, answers them, and writes new adapters in between."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from client.execution import limited_threads
from client.serving.batching import Job, JobQueue
from client.serving.resident import Resident, Version

log = logging.getLogger("fedpeft.serve")


class Counts(Protocol):
    """What is counted of batches; see `client.serving.metrics`."""

    def batch(self, rows: int) -> None:
        """Count a batch of so many rows."""


class Worker:
    """Starts with `start`, ends with `close`, which answers what waits first."""

    def __init__(self, resident: Resident, queue: JobQueue, *, batch_size: int, threads: int, counts: Counts) -> None:
        self._resident, self._queue = resident, queue
        self._batch_size, self._threads, self._counts = batch_size, threads, counts
        self._written = threading.Event()
        self._next: list[Version] = []
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether there is anyone to answer."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Answer what waits, and end."""
        self._queue.close()
        self._thread.join()

    def replace(self, version: Version) -> None:
        """Have this version answer from the next batch on."""
        self._next.append(version)
        self._written.set()
        self._queue.wake()

    def _run(self) -> None:
        try:
            self._go_on()
        finally:  # nobody would ever answer these
            _fail(self._queue.give_up(), RuntimeError("the model's thread has ended"))

    def _go_on(self) -> None:
        with limited_threads(self._threads):
            while (jobs := self._queue.take(self._written)) is not None:
                if self._written.is_set():
                    self._written.clear()
                    self._write()
                if jobs:
                    self._answer(jobs)

    def _write(self) -> None:
        versions, self._next = self._next, []
        if versions:
            self._resident.write(versions[-1])
            log.info("adapter %s answers", versions[-1].digest)

    def _answer(self, jobs: list[Job]) -> None:
        jobs = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
        try:
            self._compute(jobs)
        except RuntimeError as error:  # torch's own, such as for lack of memory: the next batch may be smaller
            log.error("a batch failed: %s", type(error).__name__)
            _fail(jobs, error)
        except BaseException as error:
            _fail(jobs, error)
            raise

    def _compute(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        examples = [example for job in jobs for example in job.examples]
        rows, sizes = self._resident.answer(examples, jobs[0].site, batch_size=self._batch_size)
        digest, start = self._resident.version.digest, 0
        for size in sizes:
            self._counts.batch(size)
        for job in jobs:
            end = start + len(job.examples)
            job.answer.set_result((rows[start:end], digest))
            start = end


def _fail(jobs: list[Job], error: BaseException) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
