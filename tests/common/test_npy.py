import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.errors import SchemaError
from common.npy import HEADER_BYTES, decode, encode, header

DTYPES = ("float32", "float64", "float16", "int64", "uint8", "bool")


@given(st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, st.integers(0, 40))))
def test_what_is_encoded_is_read_back_here_and_by_numpy(array: np.ndarray) -> None:
    content = encode(array)
    ours = decode(content, dtype=array.dtype.name, size=array.size)
    theirs = np.load(io.BytesIO(content), allow_pickle=False)
    for read in (ours, theirs):
        assert read.dtype == array.dtype
        assert read.tobytes() == array.tobytes()


def test_an_array_is_read_where_its_bytes_lie_and_cannot_be_changed_there() -> None:
    content = encode(np.arange(100_000, dtype=np.float32))
    tracemalloc.start()
    read = decode(content, dtype="float32", size=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000
    assert read.ctypes.data % read.itemsize == 0
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1


def test_writing_makes_no_more_than_the_bytes_themselves() -> None:
    array = np.arange(250_000, dtype=np.float32)
    tracemalloc.start()
    content = encode(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * len(content)


@given(st.binary(max_size=300), st.integers(0, 20))
def test_any_other_bytes_are_a_schema_error(content: bytes, size: int) -> None:
    with pytest.raises(SchemaError):
        decode(content, dtype="float32", size=size)


@given(st.integers(0, HEADER_BYTES - 1), st.integers(1, 255))
def test_every_byte_of_the_header_counts(position: int, change: int) -> None:
    content = bytearray(encode(np.zeros(3, np.float32)))
    content[position] ^= change
    with pytest.raises(SchemaError, match="npy header"):
        decode(bytes(content), dtype="float32", size=3)


def test_a_header_that_claims_4_tb_allocates_nothing() -> None:
    claim = header("float32", 10**12)
    tracemalloc.start()
    with pytest.raises(SchemaError):
        decode(claim + bytes(12), dtype="float32", size=3)
    with pytest.raises(SchemaError):
        decode(claim, dtype="float32", size=10**12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_an_object_array_is_not_unpickled() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SchemaError):
        decode(buffer.getvalue(), dtype="float32", size=1)
