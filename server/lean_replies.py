"""Flower's replies put together with as little memory as it takes, and never more than a reply may have.

Flower makes a piece of each pulled object, grows the array from the pieces and copies it once more: three times the
reply, and of several replies at once. An array also says itself how often each piece is in it: one pulled piece of
5 MB, named a million times, becomes 5 TB. So the arrays are joined here from the pulled objects as they lie, after
their length has been summed up, one reply at a time; Flower makes the rest around them.

The names are private to Flower and move with its releases: `tests/server/test_lean_replies.py` fails when they have.
"""

import json
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final  # JSON values

from flwr.app import Array
from flwr.supercore.inflatable.inflatable_object import InflatableObject, get_object_head_values_from_object_content
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from common.errors import SchemaError

_DIVIDER: Final = b"\0"
"""Between the head of an object and its body."""
_ARRAY, _PIECE = "Array", "ArrayChunk"
_BYTES_OF_A_NAME: Final = 128
"""What an array spends on naming a piece: 64 digits in its head, some more in its body."""
_ONE_AT_A_TIME: Final = Lock()


def inflate(object_id: str, contents: dict[str, bytes], *, max_bytes: int, max_pieces: int) -> InflatableObject:
    """Return the object that these pulled objects make up, as Flower would; `contents` is empty then.

    Raises:
        SchemaError: its arrays are longer than `max_bytes` together, have more pieces than `max_pieces`, or are made of
            other things than pieces. What Flower raises passes through.
    """
    with _ONE_AT_A_TIME:
        kinds = {name: get_object_head_values_from_object_content(content)[0] for name, content in contents.items()}
        arrays: dict[str, InflatableObject] = {}
        for name in [name for name, kind in kinds.items() if kind == _ARRAY]:
            pieces = _pieces(contents[name], contents, kinds, max_pieces)
            max_bytes -= sum(map(len, pieces))
            if max_bytes < 0:
                raise SchemaError("the arrays of a reply are longer than a reply may be")
            arrays[name] = _array(contents[name], b"".join(pieces))
        whole = inflate_object_from_contents(object_id, contents, objects=arrays)
        contents.clear()
        return whole


def _pieces(array: bytes, contents: Mapping[str, bytes], kinds: Mapping[str, str], most: int) -> list[memoryview]:
    """Return the bodies of an array's pieces in their order, as views."""
    if len(array) > _BYTES_OF_A_NAME * (most + 1):
        raise SchemaError(f"an array of a reply names its pieces in {len(array)} bytes, too many for {most} pieces")
    children = get_object_head_values_from_object_content(array)[1]
    indices = _said(array)["arraychunk_ids"]
    if len(indices) > most:
        raise SchemaError(f"an array of a reply has {len(indices)} pieces, at most {most} are taken")
    names = [children[index] for index in indices]
    if any(kinds.get(name) != _PIECE for name in names):
        raise SchemaError("an array of a reply is made of other things than pieces")
    return [_body(contents[name]) for name in names]


def _array(content: bytes, data: bytes) -> Array:
    said = _said(content)
    return Array(said["dtype"], tuple(said["shape"]), said["stype"], data)


def _said(array: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(bytes(_body(array)))
    return said


def _body(content: bytes) -> memoryview:
    return memoryview(content)[content.index(_DIVIDER) + 1 :]
