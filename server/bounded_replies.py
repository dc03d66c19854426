"""How much of one reply a ServerApp takes into its memory.

Flower pulls every object of a reply before anybody can look at it, and the front door bounds each object, not their
number. So what is pulled for one reply is counted, and a reply that is longer is given up as one whose objects are not
there: its site has failed, the round goes on. What was pulled is put together by `server.lean_replies`.

The names are private to Flower and move with its releases: `tests/server/test_bounded_replies.py` fails when they have.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Any, Final  # Flower's options are passed on as they come

from flwr.supercore.inflatable.inflatable_object import InflatableObject
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, pull_objects
from flwr.superlink.grid import http_grid

from common.state import AdapterSchema
from server.lean_replies import inflate

MAX_OBJECTS: Final = 64
"""Of a reply without its pieces: message, records and arrays are some ten."""
_PIECE_BYTES: Final = 2**20
"""Below the size into which Flower cuts arrays."""
_TEXTS_BYTES: Final = 8 * 2**20
"""For the head of a reply, a text of at most `common.wire.MAX_TEXT` characters, and Flower's own framing."""

_PULLS: Final = BoundedSemaphore(2)
"""Objects that are under way at once: each is there three times while it is taken from its response."""
_PULL, _INFLATE = "pull_objects", "inflate_object_from_contents"
_WORKERS: Final = "max_concurrent_pulls"
"""For one reply; with more, a single reply would have all that is under way."""

PullObject = Callable[[str], bytes]


def reply_bytes(schema: AdapterSchema) -> int:
    """Return how long a reply may be: an update of the shared tensors, as much again for what a strategy asks."""
    return 2 * schema.shared.size_bytes + _TEXTS_BYTES


@contextmanager
def bounded_replies(max_bytes: int) -> Iterator[None]:
    """Let this process's grid pull at most `max_bytes` for one reply, and make no more of it, while the block runs."""
    max_objects = MAX_OBJECTS + max_bytes // _PIECE_BYTES

    def bounded(object_ids: list[str], pull_object_fn: PullObject, **options: Any) -> dict[str, bytes]:
        if len(object_ids) > max_objects:
            raise ObjectPullError(object_ids[0], f"a reply of {len(object_ids)} objects is not taken")
        return pull_objects(object_ids, counted(pull_object_fn, max_bytes), **{**options, _WORKERS: 1})

    def lean(object_id: str, contents: dict[str, bytes]) -> InflatableObject:
        return inflate(object_id, contents, max_bytes=max_bytes, max_pieces=max_objects)

    with _in_place_of(_PULL, bounded), _in_place_of(_INFLATE, lean):
        yield


@contextmanager
def _in_place_of(name: str, own: Callable[..., object]) -> Iterator[None]:
    before = getattr(http_grid, name)
    setattr(http_grid, name, own)
    try:
        yield
    finally:
        setattr(http_grid, name, before)


def counted(pull: PullObject, max_bytes: int) -> PullObject:
    """Return `pull` for the objects of one reply, which together have at most `max_bytes`; several threads call it."""
    lock, left = Lock(), max_bytes

    def counting(object_id: str) -> bytes:
        nonlocal left
        with _PULLS:
            content = pull(object_id)
        with lock:
            left -= len(content)
            if left < 0:
                raise ObjectPullError(object_id, f"a reply of more than {max_bytes} bytes is not taken")
        return content

    return counting
