"""A packed record says what the record said, in a small part of its memory."""

import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.files import digest_bytes
from server.packed_record import PackedRecord, unpacked

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
RECORDS = st.dictionaries(st.text(), st.recursive(SCALARS, lambda inner: st.dictionaries(st.text(), inner)), max_size=5)


@given(RECORDS)
def test_a_record_comes_back_with_its_order(record: dict[str, Any]) -> None:
    packed = PackedRecord.of(record)
    assert json.dumps(unpacked(packed)) == json.dumps(record)
    assert packed == record
    assert [packed[key] for key in packed] == list(record.values())
    assert len(packed) == len(record)
    assert packed.digest == digest_bytes(packed.text)
    assert PackedRecord.of(packed) is packed
    assert PackedRecord.read(packed.text) == packed


def test_a_thousand_sites_take_little() -> None:
    sites = {f"practice-{n:05d}": {"status": "accepted", "examples": 8, "bytes_up": 20000 + n % 9} for n in range(1000)}
    packed = PackedRecord.of({"participation": sites})
    assert sys.getsizeof(packed.compressed) < 0.2 * len(json.dumps(sites))
