"""Records in a file: what was written is read, wherever its writer was killed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CheckpointError
from simulations.crowd.records import Place, encoded, read, scanned

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "empty": np.zeros((0, 2), np.float64),
    "one": np.array(7, dtype=np.int64),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
}
RECORDS = [({"site": "east", "n": 1}, TENSORS), ({"site": "å", "n": None}, {}), ({"site": "west"}, {"a": TENSORS["a"]})]
CONTENTS = [encoded(about, tensors) for about, tensors in RECORDS]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"".join(CONTENTS))
    places = [place for place, _ in scanned(tmp_path / "r", 0)]
    for place, (about, tensors) in zip(places, RECORDS, strict=True):
        found = read(place)
        assert found.about == about
        assert list(found.tensors) == list(tensors)
        for name, array in tensors.items():
            assert found.tensors[name].dtype == array.dtype
            assert found.tensors[name].shape == array.shape
            assert np.array_equal(found.tensors[name], array)


@given(cut=st.integers(0, sum(map(len, CONTENTS))))
def test_of_a_file_that_ends_anywhere_the_whole_records_are_read(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "r"
    path.write_bytes(b"".join(CONTENTS)[:cut])
    whole = sum(sum(map(len, CONTENTS[: i + 1])) <= cut for i in range(3))
    assert [about for _, about in scanned(path, 0)] == [about for about, _ in RECORDS[:whole]]


@given(at=st.integers(0, len(CONTENTS[0]) - 1))
def test_a_record_that_was_changed_is_none(at: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("changed") / "r"
    changed = bytearray(CONTENTS[0])
    changed[at] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(Place(path, 0, len(CONTENTS[0])))
    assert list(scanned(path, 0)) == []


def test_a_file_that_is_gone_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gone cannot be read"):
        read(Place(tmp_path / "gone", 0, 1))
