"""Which requests go together, and when."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from client.serving.batching import GATHERED_BATCHES, Job, JobQueue, QueueClosedError, QueueFullError, Sizes
from common.tasks import Example

NEVER = threading.Event()


def job(rows: int, site: str | None = None, since: float = 0.0) -> Job:
    """Waiting since long ago, unless said otherwise."""
    return Job([Example((1, 2, 3), 0)] * rows, site, since=since)


def test_requests_of_one_site_go_together_and_the_oldest_first() -> None:
    queue = JobQueue(Sizes(max_batch=4))
    jobs = [job(1, "east", 2.0), job(2, "west", 1.0), job(2, "east", 3.0)]
    for each in jobs:
        queue.put(each)
    assert queue.take(NEVER) == [jobs[1]]
    assert queue.take(NEVER) == [jobs[0], jobs[2]]
    assert queue.rows == 0


def test_no_more_are_gathered_than_are_sorted_together_and_a_large_one_goes_alone() -> None:
    queue, most = JobQueue(Sizes(max_batch=2)), 2 * GATHERED_BATCHES
    jobs = [job(most - 1), job(1), job(1), job(5 * most)]
    for each in jobs:
        queue.put(each)
    assert [queue.take(NEVER) for _ in range(3)] == [jobs[:2], jobs[2:3], jobs[3:]]


def test_a_full_batch_does_not_wait_and_a_small_one_waits_for_others() -> None:
    queue = JobQueue(Sizes(max_batch=3, max_wait_s=3600))
    now = Job([]).since
    first, second = job(1, since=now), job(2, since=now)
    queue.put(first)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(queue.take, NEVER)
        assert not taken.done()
        queue.put(second)
        assert taken.result(timeout=10) == [first, second]


def test_what_waits_at_the_end_is_given_out_and_no_more_is_taken() -> None:
    queue, waiting = JobQueue(Sizes(max_wait_s=3600)), job(1, since=Job([]).since)
    queue.put(waiting)
    queue.close()
    with pytest.raises(QueueClosedError):
        queue.put(job(1))
    assert queue.take(NEVER) == [waiting]
    assert queue.take(NEVER) is None


def test_rows_are_counted_and_one_request_always_fits() -> None:
    queue = JobQueue(Sizes(most_waiting=4))
    queue.put(job(9))
    with pytest.raises(QueueFullError, match="9 rows wait, at most 4 may"):
        queue.put(job(1))
    queue.take(NEVER)
    queue.put(job(4))
    assert queue.give_up()[0].examples
    assert queue.rows == 0


def test_an_interruption_ends_the_wait() -> None:
    queue, interrupted = JobQueue(Sizes()), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(queue.take, interrupted)
        interrupted.set()
        queue.wake()
        assert taken.result(timeout=10) == []
