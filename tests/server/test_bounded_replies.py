from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, pull_objects
from flwr.superlink.grid import http_grid

from server.bounded_replies import MAX_OBJECTS, bounded_replies, counted

ADVICE = "Flower moved a private name: mend server/bounded_replies.py"


def pulling(size: int) -> tuple[Callable[[str], bytes], list[str]]:
    pulled: list[str] = []

    def pull(object_id: str) -> bytes:
        pulled.append(object_id)
        return b"x" * size

    return pull, pulled


def test_flowers_grid_pulls_through_the_bound() -> None:
    assert http_grid.pull_objects is pull_objects, ADVICE
    assert "pull_objects" in http_grid.HttpGrid.pull_messages.__code__.co_names, ADVICE
    assert "ObjectPullError" in http_grid.HttpGrid.pull_messages.__code__.co_names, ADVICE


def test_a_reply_within_the_bound_passes_as_it_is() -> None:
    pull, _ = pulling(10)
    with bounded_replies(50):
        assert http_grid.pull_objects(list("abcde"), pull) == dict.fromkeys("abcde", b"x" * 10)
        assert http_grid.pull_objects(list("fghij"), pull) == dict.fromkeys("fghij", b"x" * 10)  # counted per reply
    assert http_grid.pull_objects is pull_objects


def test_a_longer_reply_is_given_up_before_all_of_it_is_here() -> None:
    pull, pulled = pulling(10)
    names = [f"piece-{number}" for number in range(MAX_OBJECTS)]
    with bounded_replies(50), pytest.raises(ObjectPullError, match="more than 50 bytes"):
        http_grid.pull_objects(names, pull)
    assert len(pulled) < MAX_OBJECTS


def test_a_reply_of_too_many_objects_is_not_begun() -> None:
    pull, pulled = pulling(0)
    with bounded_replies(50), pytest.raises(ObjectPullError, match="objects"):
        http_grid.pull_objects([str(number) for number in range(MAX_OBJECTS + 1)], pull)
    assert pulled == []


def test_few_objects_are_under_way_at_once_and_one_of_a_reply() -> None:
    lock, now = Lock(), Counter[str]()
    most = Counter[str]()

    def pull(object_id: str) -> bytes:
        with lock:
            for word in (object_id[0], "all"):
                now[word] += 1
                most[word] = max(most[word], now[word])
        Event().wait(0.005)
        with lock:
            now.subtract([object_id[0], "all"])
        return b""

    def reply(name: str) -> int:
        return len(http_grid.pull_objects([f"{name}{number}" for number in range(8)], pull))

    with bounded_replies(50), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reply, "pqrs")) == [8, 8, 8, 8]
    assert most == {"all": 2, **dict.fromkeys("pqrs", 1)}


def test_the_count_holds_over_threads() -> None:
    pull, _ = pulling(1)
    count = counted(pull, 500)
    with ThreadPoolExecutor(8) as pool:
        assert sum(map(len, pool.map(count, ["a"] * 500))) == 500
    with pytest.raises(ObjectPullError):
        count("b")
