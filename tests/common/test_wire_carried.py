"""What travels beside the adapter, and what of the adapter: a site's own rank, and nothing of the rest."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from common import npy, wire
from common.errors import SchemaError
from common.protocol import Request, RoundPlan
from common.rank_slices import sliced
from common.state import AdapterSchema, Array, digest_state

RNG = np.random.default_rng(0)
SHARED: dict[str, Array] = {
    "head.bias": RNG.normal(size=2).astype(np.float32),
    "q.lora_A.weight": RNG.normal(size=(4, 5)).astype(np.float32),
    "q.lora_B.weight": RNG.normal(size=(3, 4)).astype(np.float32),
}
CARRIED: dict[str, Array] = {
    "carried.q.lora_A.weight": RNG.normal(size=(2, 5)).astype(np.float32),
    "carried.q.lora_B.weight": RNG.normal(size=(3, 2)).astype(np.float32),
}
SCHEMA = AdapterSchema.of(SHARED)


def request(rank: int | None = None, carried: dict[str, Array] = CARRIED) -> Request:
    shared = {**sliced(SHARED, rank), **carried}
    return Request("train", "r1", 2, 0, "sha256:s", SCHEMA.digest, RoundPlan(rank=rank), ("validation",), shared)


def encoded(asked: Request) -> wire.Content:
    return wire.encode_request(asked, wire.pack_adapter(asked.shared, SCHEMA, asked.plan.rank))


@pytest.mark.parametrize("rank", [None, 1, 3, 4, 9])
@pytest.mark.parametrize("carried", [CARRIED, {}], ids=["carried", "plain"])
def test_a_request_comes_back_through_flower_and_frames(rank: int | None, carried: dict[str, Array]) -> None:
    asked = request(rank, carried)
    content = encoded(asked)
    for read in (recorddict_from_proto(recorddict_to_proto(content)), wire.from_frame(wire.to_frame(content))):
        found = wire.decode_request(read, SCHEMA)
        assert digest_state(found.shared) == digest_state(asked.shared)
        assert (found.digest, found.plan) == (asked.digest, asked.plan)


def test_where_nothing_is_carried_nothing_is_new_on_the_wire() -> None:
    content = encoded(request(carried={}))
    assert set(content) == {"head", "adapter"}
    head = json.loads(str(content["head"]["json"]))  # type: ignore[index] # a ConfigRecord
    assert set(head) == {"kind", "run", "round", "seed", "study", "adapter_schema", "plan", "splits"}


def test_a_site_s_message_has_its_part_and_no_number_of_the_rest() -> None:
    content = encoded(request(2))
    payload = b"".join(array.data for name in ("adapter", "carried") for array in content[name].values())  # type: ignore[union-attr]
    numbers = np.concatenate([SHARED["q.lora_A.weight"][2:].reshape(-1), SHARED["q.lora_B.weight"][:, 2:].reshape(-1)])
    assert not any(number.tobytes() in payload for number in numbers)
    own = [a.reshape(-1) for a in (*sliced(SHARED, 2).values(), *CARRIED.values())]
    assert all(number.tobytes() in payload for number in np.concatenate(own))
    floats = 2 + 2 * 5 + 3 * 2, 2 * 5 + 3 * 2
    assert len(payload) == 4 * sum(floats) + 2 * npy.HEADER_BYTES
    assert wire.size_bytes(content) == len(payload) + len(content["head"]["json"])  # type: ignore[index]


def test_a_rank_cuts_nothing_of_what_is_carried() -> None:
    found = wire.decode_request(encoded(request(1)), SCHEMA)
    assert all(np.array_equal(found.shared[name], array) for name, array in CARRIED.items())


def test_what_is_carried_is_part_of_the_question() -> None:
    bent = {**CARRIED, "carried.q.lora_B.weight": CARRIED["carried.q.lora_B.weight"] + np.float32(1e-6)}
    assert len({request().digest, request(carried=bent).digest, request(carried={}).digest, request(2).digest}) == 4


def head_with(content: wire.Content, **changes: Any) -> None:
    head = json.loads(str(content["head"]["json"]))  # type: ignore[index]
    content["head"]["json"] = json.dumps({**head, **changes})  # type: ignore[index]


def specs(**changes: Any) -> list[dict[str, Any]]:
    first, second = AdapterSchema.of(CARRIED).to_json()
    return [{**first, **changes}, second]


def without_record(content: wire.Content) -> None:
    del content["carried"]


def with_record(content: wire.Content, array: Array) -> None:
    content["carried"] = ArrayRecord(
        {"float32": FlowerArray("float32", (array.size,), "numpy.ndarray", npy.encode(array))}
    )


NAN = np.full(16, np.nan, np.float32)
HOSTILE: dict[str, Callable[[wire.Content], Any]] = {
    "described and not there": without_record,
    "there and not described": lambda c: head_with(c, carried=None),
    "described as nothing": lambda c: head_with(c, carried=[]),
    "no list": lambda c: head_with(c, carried={"name": "x"}),
    "no shape": lambda c: head_with(c, carried=specs(shape="5")),
    "a negative shape": lambda c: head_with(c, carried=specs(shape=[-2, -5])),
    "a huge shape": lambda c: head_with(c, carried=specs(shape=[1 << 30, 1 << 30])),
    "larger than its bytes": lambda c: head_with(c, carried=specs(shape=[1 << 13, 1 << 13])),
    "a shape of many": lambda c: head_with(c, carried=specs(shape=[1] * 9)),
    "a fraction": lambda c: head_with(c, carried=specs(shape=[2.5, 4])),
    "another dtype": lambda c: head_with(c, carried=specs(dtype="object")),
    "private": lambda c: head_with(c, carried=specs(group="private")),
    "a long name": lambda c: head_with(c, carried=specs(name="x" * 513)),
    "one name twice": lambda c: head_with(c, carried=[specs()[0], specs()[0]]),
    "more words": lambda c: head_with(c, carried=specs(more=1)),
    "not finite": lambda c: with_record(c, NAN),
    "too few bytes": lambda c: with_record(c, NAN[:3]),
    "rank 0": lambda c: head_with(c, plan={"active": None, "proximal_mu": 0.0, "rank": 0, "extra": {}}),
    "a negative rank": lambda c: head_with(c, plan={"active": None, "proximal_mu": 0.0, "rank": -1, "extra": {}}),
    "another rank than its tensors'": lambda c: head_with(
        c, plan={"active": None, "proximal_mu": 0.0, "rank": 2, "extra": {}}
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_anything_else_is_no_request(kind: str) -> None:
    content = encoded(request())
    HOSTILE[kind](content)
    with pytest.raises(SchemaError):
        wire.decode_request(content, SCHEMA)


def test_what_is_carried_cannot_take_the_place_of_the_adapter_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"q.lora_B.weight": SHARED["q.lora_B.weight"]}
    schema = AdapterSchema.of(own)
    content = encoded(request())
    head = json.loads(content["head"]["json"])
    head["carried"] = schema.to_json()
    content["head"]["json"] = json.dumps(head)
    content["carried"] = wire._pack(own, schema)
    with pytest.raises(SchemaError, match="the adapter's own names"):
        wire.decode_request(content, SCHEMA)
