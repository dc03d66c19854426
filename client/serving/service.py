"""A service's parts put together: model, queue, thread, reloading, counters; and a request's way through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # JSON values

from client.serving.batching import Job, JobQueue, Sizes
from client.serving.columns import section_of, texts_of
from client.serving.metrics import Metrics
from client.serving.reloading import LOOK_EVERY_S, Reloader
from client.serving.resident import Resident, open_resident
from client.serving.worker import Worker
from common.data_schema import DataSection


@dataclass(frozen=True)
class Settings:
    """What a user chooses. sites: {name: folder of its own tensors}. most_rows: of one request."""

    adapter: Path
    base_model: Path | None = None
    sites: Mapping[str, Path] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    sizes: Sizes = field(default_factory=Sizes)
    most_rows: int = 1024
    most_bytes: int = 4 * 2**20
    token: str | None = None
    look_every_s: float = LOOK_EVERY_S


class Service:
    """Made with the model loaded; `start` and `close` are its life."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.resident: Resident = open_resident(
            settings.adapter,
            base_model=settings.base_model,
            sites=settings.sites,
            device=settings.device,
            threads=settings.threads,
        )
        self.section: DataSection = section_of(self.resident.opened.study)
        self.queue = JobQueue(settings.sizes)
        self.metrics = Metrics(self.queue)
        self._worker = Worker(
            self.resident,
            self.queue,
            batch_size=settings.sizes.max_batch,
            threads=settings.threads,
            counts=self.metrics,
        )
        self._reloader = Reloader(
            self.resident,
            settings.adapter,
            settings.sites,
            replace=self._worker.replace,
            count=self.metrics.reload,
            look_every_s=settings.look_every_s,
        )
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading")  # tokenizers are of one thread at a time
        self._open = False

    def start(self) -> None:
        """Start the threads."""
        self._worker.start()
        self._reloader.start()
        self._open = True

    def close(self) -> None:
        """Answer what waits, and end."""
        self._open = False
        self._reloader.close()
        self._worker.close()
        self._reading.shutdown()

    def reload(self) -> None:
        """Have the adapter read again."""
        self._reloader.ask()

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered."""
        return self._open and self._worker.is_alive()

    @property
    def reading(self) -> ThreadPoolExecutor:
        """The thread in which `submit` may run."""
        return self._reading

    def submit(self, rows: Sequence[Mapping[str, Any]], site: str | None) -> Job:
        """Render, tokenise and queue the rows of a request. Raises BadRowsError, QueueFullError, QueueClosedError."""
        texts, bench = texts_of(self.section, rows), self.resident.opened.bench
        job = Job(bench.task.encode(bench.reader, texts, None, max_length=bench.max_length), site)
        self.queue.put(job)
        return job

    def describe(self) -> dict[str, Any]:
        """Return what `/v1/model` says."""
        opened = self.resident.opened
        return {
            "study": opened.study.name,
            "task": opened.study.task.kind,
            "target": opened.study.task.target,
            "labels": list(opened.study.task.labels),
            "columns": {name: column.type for name, column in self.section.columns.items()},
            "sites": list(self.resident.sites),
            "adapter": self.resident.version.digest,
            "digests": {**opened.digests, "study": opened.study.digest, "adapter": self.resident.version.digest},
            "precision": opened.execution.precision,
        }
