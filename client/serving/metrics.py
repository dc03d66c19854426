"""Counters of a service for Prometheus, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from client.serving.batching import JobQueue

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What is counted: requests by status, rows, seconds, batches, errors, reloads, and rows that wait."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, queue: JobQueue) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter("fedpeft_serve_requests", "Requests to predict.", ["status"], registry=own)
        self._rows = Counter("fedpeft_serve_rows", "Rows that were predicted.", registry=own)
        self._errors = Counter("fedpeft_serve_errors", "Requests that the service could not answer.", registry=own)
        self._seconds = Histogram("fedpeft_serve_seconds", "Seconds of a request.", buckets=SECONDS, registry=own)
        self._batches = Histogram("fedpeft_serve_batch_rows", "Rows of a batch.", buckets=ROWS, registry=own)
        self._reloads = Counter("fedpeft_serve_reloads", "Adapters that were loaded anew.", ["outcome"], registry=own)
        Gauge("fedpeft_serve_waiting_rows", "Rows that wait for the model.", registry=own).set_function(
            lambda: queue.rows
        )

    def batch(self, rows: int) -> None:
        """Count a batch."""
        self._batches.observe(rows)

    def rows(self, count: int) -> None:
        """Count rows that were predicted."""
        self._rows.inc(count)

    def request(self, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)
        if status >= 500:
            self._errors.inc()

    def reload(self, outcome: str) -> None:
        """Count a reload: `done` or `refused`."""
        self._reloads.labels(outcome).inc()

    def text(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self._registry)
