"""What Flower makes of pulled objects is the oracle; but its way is dearer, and believes what an array says."""

import hashlib
import json
import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.superlink.grid import http_grid

from common import npy
from common.errors import SchemaError
from server.bounded_replies import bounded_replies
from server.lean_replies import inflate

ADVICE = "Flower moved a private name: mend server/lean_replies.py"
PIECE = 5 * 2**20
"""Into which Flower cuts arrays."""
MUCH = 2**40


def array_of(values: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> Array:
    return Array("float32", values.shape, "numpy.ndarray", npy.encode(values))


def deflated(content: RecordDict) -> dict[str, bytes]:
    return {name: each.deflate() for name, each in get_all_nested_objects(content).items()}


def values_of(content: RecordDict) -> dict[str, object]:
    return {
        name: dict(record)
        if isinstance(record, ConfigRecord)
        else {key: (a.dtype, a.shape, a.stype, a.data) for key, a in record.items()}
        for name, record in content.items()
        if isinstance(record, ConfigRecord | ArrayRecord)
    }


rng = np.random.default_rng(3)
LONG = rng.normal(size=PIECE // 4 * 2 + 77).astype(np.float32)
CONTENTS: Mapping[str, RecordDict] = {
    "pieces": RecordDict({"update": ArrayRecord({"float32": array_of(LONG)}), "head": ConfigRecord({"json": "{}"})}),
    "equal pieces": RecordDict({"update": ArrayRecord({"float32": array_of(np.zeros(PIECE, np.float32))})}),
    "two arrays": RecordDict(
        {"update": ArrayRecord({"a": array_of(LONG[:9])}), "extra": ArrayRecord({"b": array_of(LONG[3:5])})}
    ),
    "equal arrays": RecordDict({name: ArrayRecord({"a": array_of(LONG[:9])}) for name in ("update", "extra")}),
    "no array": RecordDict({"head": ConfigRecord({"json": "{}"})}),
    "an array of nothing": RecordDict({"update": ArrayRecord({"a": Array("float32", (0,), "numpy.ndarray", b"")})}),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_is_put_together_is_what_flower_makes(name: str) -> None:
    content = CONTENTS[name]
    theirs = inflate_object_from_contents(content.object_id, deflated(content))
    pulled = deflated(content)
    ours = inflate(content.object_id, pulled, max_bytes=MUCH, max_pieces=100)
    assert isinstance(ours, RecordDict)
    assert isinstance(theirs, RecordDict)
    assert values_of(ours) == values_of(theirs) == values_of(content)
    assert ours.object_id == theirs.object_id == content.object_id
    assert pulled == {}


def peak_over_reply(make: str) -> float:
    """Return the peak beside the pulled objects, in lengths of the reply."""
    content = CONTENTS["pieces"]
    pulled, name = deflated(content), content.object_id
    tracemalloc.start()
    if make == "ours":
        inflate(name, pulled, max_bytes=MUCH, max_pieces=100)
    else:
        inflate_object_from_contents(name, pulled)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / LONG.nbytes


def test_beside_what_was_pulled_there_is_the_array_and_nothing_else() -> None:
    assert peak_over_reply("ours") < 1.05
    assert peak_over_reply("flower's") > 1.9, "Flower has become lean itself: server/lean_replies.py can go"


def reply(
    *, indices: object, children: int = 1, piece: bytes = b"x" * 1000, kind: str = "ArrayChunk"
) -> dict[str, bytes]:
    """Return the objects of an array that says of itself what the test wants; its name is `array`."""
    pieces = {hashlib.sha256(bytes([i])).hexdigest(): framed(kind, [], piece) for i in range(children)}
    said = {"dtype": "float32", "shape": [3], "stype": "numpy.ndarray", "arraychunk_ids": indices}
    return {**pieces, "array": framed("Array", list(pieces), json.dumps(said).encode())}


def framed(kind: str, children: list[str], body: bytes) -> bytes:
    return f"{kind} {','.join(children)} {len(body)}".encode() + b"\0" + body


def test_an_array_cannot_say_that_it_is_longer_than_a_reply_may_be() -> None:
    contents = reply(indices=[0] * 50)
    tracemalloc.start()
    with pytest.raises(SchemaError, match="longer than a reply may be"):
        inflate("array", contents, max_bytes=40_000, max_pieces=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000


def test_arrays_are_counted_together() -> None:
    contents = CONTENTS["two arrays"]
    size = sum(len(array.data) for record in contents.array_records.values() for array in record.values())
    inflate(contents.object_id, deflated(contents), max_bytes=size, max_pieces=100)
    with pytest.raises(SchemaError, match="longer than a reply may be"):
        inflate(contents.object_id, deflated(contents), max_bytes=size - 1, max_pieces=100)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (reply(indices=[0] * 101, piece=b""), "101 pieces, at most 100"),
        (reply(indices=[0] * 10_000, piece=b""), "names its pieces in 3"),
        (reply(indices=[0], kind="ConfigRecord"), "other things than pieces"),
    ],
)
def test_an_array_of_too_many_or_other_things_is_refused(contents: dict[str, bytes], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        inflate("array", contents, max_bytes=MUCH, max_pieces=100)


def test_a_reply_of_as_many_pieces_as_are_allowed_is_taken() -> None:
    """Names of pieces have 64 digits: what they take must not be what is refused."""
    made = inflate("array", reply(indices=list(range(100)), children=100), max_bytes=MUCH, max_pieces=100)
    assert isinstance(made, Array)
    assert made.data == b"x" * 100_000


def test_flowers_grid_puts_replies_together_through_the_bound() -> None:
    assert http_grid.inflate_object_from_contents is inflate_object_from_contents, ADVICE
    assert "inflate_object_from_contents" in http_grid.HttpGrid.pull_messages.__code__.co_names, ADVICE
    content = CONTENTS["two arrays"]
    with bounded_replies(10**6):
        made = http_grid.inflate_object_from_contents(content.object_id, deflated(content))
        assert values_of(made) == values_of(content)
        with pytest.raises(SchemaError, match="longer than a reply may be"):
            http_grid.inflate_object_from_contents("array", reply(indices=[0] * 60, piece=b"x" * 20_000))
    assert http_grid.inflate_object_from_contents is inflate_object_from_contents
