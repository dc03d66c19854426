"""Frames: what a gateway hands to the trainer's socket, and back."""

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common import wire
from common.errors import SchemaError


def test_a_frame_gives_back_every_record_byte_by_byte() -> None:
    arrays = {"float32": Array("float32", (3,), "numpy.ndarray", b"any bytes"), "b": Array("x", (0,), "other", b"")}
    content = RecordDict({"head": ConfigRecord({"json": '{"ä": "\\n"}'}), "adapter": ArrayRecord(arrays)})
    found = wire.from_frame(wire.to_frame(content))
    assert dict(found["head"]) == dict(content["head"])
    assert {k: vars(a) for k, a in found["adapter"].items()} == {k: vars(a) for k, a in arrays.items()}  # type: ignore[union-attr,arg-type] # an ArrayRecord
    assert set(found) == set(content)


@pytest.mark.parametrize("cut", [0, 4, 20, -1])
def test_what_is_no_frame_is_a_schema_error(cut: int) -> None:
    frame = wire.to_frame(RecordDict({"head": ConfigRecord({"json": "{}"})}))
    with pytest.raises(SchemaError):
        wire.from_frame(frame[:cut])
