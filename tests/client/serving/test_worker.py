"""The model's thread: a failed batch is its requests' alone, and nobody waits for a thread that has ended."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from client.serving.batching import Job, JobQueue, QueueClosedError, Sizes
from client.serving.resident import Version
from client.serving.worker import Worker
from common.tasks import Example


@dataclass
class Said:
    """A model that says the length of each row, or raises what it is told to."""

    errors: list[BaseException] = field(default_factory=list)
    version: Version = Version("first", {}, {})  # noqa: RUF009 # frozen
    sizes: list[int] = field(default_factory=list)

    def answer(self, examples: Sequence[Any], site: str | None, *, batch_size: int) -> tuple[list[Any], list[int]]:
        if self.errors:
            raise self.errors.pop()
        return [{"prediction": example.length} for example in examples], [len(examples)]

    def write(self, version: Version) -> None:
        self.version = version

    def batch(self, rows: int) -> None:
        self.sizes.append(rows)


def started(model: Said) -> tuple[Worker, JobQueue]:
    queue = JobQueue(Sizes(max_wait_s=0.001))
    worker = Worker(model, queue, batch_size=4, threads=1, counts=model)  # type: ignore[arg-type] # all that it asks of one
    worker.start()
    return worker, queue


def job(*lengths: int) -> Job:
    return Job([Example((1,) * length, 0) for length in lengths])


def test_each_request_gets_its_own_rows_and_the_digest_that_answered() -> None:
    worker, queue = started(model := Said())
    jobs = [job(1, 2), job(3), job(4, 5, 6)]
    for each in jobs:
        queue.put(each)
    found = [[row["prediction"] for row in each.answer.result(10)[0]] for each in jobs]
    assert found == [[1, 2], [3], [4, 5, 6]]
    worker.replace(Version("second", {}, {}))
    queue.put(last := job(7))
    assert last.answer.result(10)[1] == "second"
    worker.close()
    assert sum(model.sizes) == 7


def test_a_batch_that_fails_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    worker, queue = started(Said([RuntimeError("of a patient")]))
    queue.put(failed := job(1))
    with pytest.raises(RuntimeError):
        failed.answer.result(10)
    queue.put(after := job(2))
    assert after.answer.result(10)[0] == [{"prediction": 2}]
    assert "RuntimeError" in caplog.text
    assert "patient" not in caplog.text
    worker.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_leaves_nobody_waiting() -> None:
    worker, queue = started(Said([KeyError("x")]))
    queue.put(failed := job(1))
    with pytest.raises(KeyError):
        failed.answer.result(10)
    for thread in threading.enumerate():
        if thread.name == "model":
            thread.join(10)
    assert not worker.is_alive()
    with pytest.raises(QueueClosedError):
        queue.put(job(1))


def test_a_request_that_was_given_up_is_not_computed() -> None:
    queue = JobQueue(Sizes(max_wait_s=0.001))
    model = Said()
    worker = Worker(model, queue, batch_size=4, threads=1, counts=model)  # type: ignore[arg-type] # all that it asks of one
    queue.put(given_up := job(1))
    queue.put(other := job(2, 2))
    assert given_up.answer.cancel()
    worker.start()
    assert len(other.answer.result(10)[0]) == 2
    worker.close()
    assert model.sizes == [2]
