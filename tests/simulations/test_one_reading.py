"""A message is decoded once, and only where it is the very same one: every other is read for itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import RecordDict

from common import wire
from common.errors import RefusedError
from common.protocol import Request, RoundPlan
from common.state import AdapterSchema
from simulations.one_reading import MOST, OneReading

SHARED = {"a": np.arange(4, dtype=np.float32)}
SCHEMA = AdapterSchema.of(SHARED)
REQUEST = Request("train", "run-1", 1, 0, "s", SCHEMA.digest, RoundPlan(), ("validation",), SHARED)


def content(request: Request, adapter: wire.PackedAdapter | None = None) -> RecordDict:
    return wire.encode_request(request, adapter or wire.pack_adapter(request.shared, SCHEMA))


def test_copies_of_one_message_are_one_request() -> None:
    reading, packed = OneReading(), wire.pack_adapter(SHARED, SCHEMA)
    first, second = content(REQUEST, packed), content(REQUEST, packed)
    copied = RecordDict({name: record.copy() for name, record in second.items()})
    found = reading.read(first, SCHEMA)
    assert found.digest == wire.decode_request(first, SCHEMA).digest
    assert reading.read(second, SCHEMA) is found
    assert reading.read(copied, SCHEMA) is found


@pytest.mark.parametrize(
    "other",
    [
        lambda packed: content(replace(REQUEST, seed=1), packed),
        lambda packed: content(replace(REQUEST, plan=RoundPlan(proximal_mu=0.5)), packed),
        lambda _: content(replace(REQUEST, shared={"a": np.ones(4, np.float32)})),
    ],
    ids=["seed", "plan", "arrays"],
)
def test_another_message_is_another_request(other: Callable[[wire.PackedAdapter], RecordDict]) -> None:
    reading, packed = OneReading(), wire.pack_adapter(SHARED, SCHEMA)
    first, message = reading.read(content(REQUEST, packed), SCHEMA), other(packed)
    found = reading.read(message, SCHEMA)
    assert found.digest == wire.decode_request(message, SCHEMA).digest != first.digest


def test_what_is_refused_is_refused_again_and_another_schema_is_never_taken_for_it() -> None:
    reading, packed = OneReading(), wire.pack_adapter(SHARED, SCHEMA)
    message = content(REQUEST, packed)
    reading.read(message, SCHEMA)
    for _ in range(2):
        with pytest.raises(RefusedError, match="WRONG_SCHEMA"):
            reading.read(message, AdapterSchema.of({"b": np.zeros(4, np.float32)}))


def test_many_different_messages_are_not_all_remembered() -> None:
    """Whose arrays are gone may have given its ids to others: what is remembered is held."""
    reading = OneReading()
    for number in range(5 * MOST):
        request = replace(REQUEST, seed=number, shared={"a": np.full(4, number, np.float32)})
        assert reading.read(content(request), SCHEMA).digest == request.digest
    assert len(reading._known) <= MOST
    reading.forget()
    assert not reading._known
