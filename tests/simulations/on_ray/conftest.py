"""Messages of a round, as the server makes them, without a run."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from common import wire
from simulations.inprocess import task_identity


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with task_identity():
        yield


@pytest.fixture
def adapter() -> Callable[[int], ArrayRecord]:
    """Return an adapter's record of so many bytes."""
    return lambda size: ArrayRecord([np.arange(size, dtype=np.uint8)])


@pytest.fixture
def message() -> Callable[..., Message]:
    """Return a message to a node: a head of its own, and arrays that it may have in common with others."""

    def make(node: int, **arrays: ArrayRecord) -> Message:
        content = RecordDict({"head": ConfigRecord({"json": f'{{"to": {node}}}'}), **arrays})
        return wire.message(content, kind="train", node=node, round_number=3)

    return make
