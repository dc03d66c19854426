"""One-dimensional arrays as npy bytes, read without trusting the bytes.

A reader of npy takes dtype and shape, and so the size of what it allocates, from the header: a header of 128 bytes can
claim 4 TB. Here the reader knows what has to come, so it compares the header and never interprets it. The format is NPY
1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): `numpy.load` reads what `encode` writes.
"""

from functools import lru_cache

import numpy as np

from common.errors import SchemaError
from common.state import Array

HEADER_BYTES = 128
_PREFIX = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")


@lru_cache(maxsize=1 << 10)
def header(dtype: str, size: int) -> bytes:
    """Return the npy header of a little-endian array of shape `(size,)`; the same come again with every message.

    >>> header("float32", 3)[10:68]
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), } "
    """
    words = f"{{'descr': '{_wire_dtype(dtype).str}', 'fortran_order': False, 'shape': ({size},), }}"
    return _PREFIX + words.ljust(HEADER_BYTES - len(_PREFIX) - 1).encode() + b"\n"


def encode(array: Array) -> bytes:
    """Return the npy bytes of an array of shape `(n,)`."""
    content = np.ascontiguousarray(array, _wire_dtype(array.dtype.name))
    return b"".join((header(array.dtype.name, array.size), content.data))


def decode(content: bytes, *, dtype: str, size: int) -> Array:
    """Return an array of shape `(size,)` from bytes that must be exactly those of one: a view of them, not writable.

    Raises:
        SchemaError: another length or another header; nothing was allocated for it.
    """
    expected = HEADER_BYTES + size * np.dtype(dtype).itemsize
    if len(content) != expected:
        raise SchemaError(f"array has {len(content)} bytes, {dtype}[{size}] has {expected}")
    if content[:HEADER_BYTES] != header(dtype, size):
        raise SchemaError(f"array does not have the npy header of {dtype}[{size}]")
    return np.frombuffer(content, _wire_dtype(dtype), offset=HEADER_BYTES).astype(dtype, copy=False)


@lru_cache(maxsize=1 << 6)
def _wire_dtype(dtype: str) -> np.dtype[np.generic]:
    return np.dtype(dtype).newbyteorder("<")
