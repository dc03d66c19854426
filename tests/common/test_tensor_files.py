import errno
import resource
import signal
import stat
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from common.tensor_files import group_of, joined, save_safetensors, to_safetensors


def test_an_array_in_fortran_order_comes_back_as_it_was() -> None:
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))

    found = safetensors.numpy.load(to_safetensors({"b": array, "a": array[:, ::2]}))

    np.testing.assert_array_equal(found["b"], array)
    np.testing.assert_array_equal(found["a"], array[:, ::2])


def test_the_order_of_the_mapping_does_not_change_the_bytes() -> None:
    one, two = np.zeros(2, np.float32), np.ones(3, np.float32)

    assert to_safetensors({"x": one, "y": two}) == to_safetensors({"y": two, "x": one})


NAMES = st.text("ab./", max_size=4)
ARRAYS = st.lists(st.integers(0, 9), max_size=3).map(lambda values: np.array(values, np.float32))
GROUPS = st.dictionaries(st.text("ab.", max_size=3), st.dictionaries(NAMES, ARRAYS), max_size=4)


@given(GROUPS)
def test_each_group_comes_out_of_the_joined_table_as_it_was(groups: dict[str, dict[str, Any]]) -> None:
    """Also where one group's name begins another's, is empty, or a tensor's own name has slashes."""
    table = joined(groups)
    assert len(table) == sum(map(len, groups.values()))
    for group, state in groups.items():
        found = group_of(table, group)
        assert set(found) == set(state)
        assert all(found[name] is array for name, array in state.items())
    assert group_of(table, "absent") == {}


def test_a_saved_file_is_what_the_bytes_would_be_and_only_its_owners(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    state = {"b": np.asfortranarray(array), "a": array[:, ::2], "c": np.float64([1])}
    path = tmp_path / "x.safetensors"
    for _ in range(2):  # the second takes the place of the first
        save_safetensors(path, state)
        assert path.read_bytes() == to_safetensors(state)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_saving_makes_no_bytes_of_the_file_in_memory(tmp_path: Path) -> None:
    state = {"a": np.zeros(1_000_000, np.float32)}
    tracemalloc.start()
    save_safetensors(tmp_path / "x.safetensors", state, metadata={"round": "3"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """Let this process write no larger file, as a disk that is full does not."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_does_not_take_it_is_the_systems_own_error_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_safetensors(path, {"a": np.float32([1])})
    before = path.read_bytes()
    with no_file_above(100_000), pytest.raises(OSError, match="File too large") as caught:
        save_safetensors(path, {"a": np.zeros(1_000_000, np.float32)})
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_fault_of_the_disk_keeps_the_librarys_words(tmp_path: Path) -> None:
    with pytest.raises(safetensors.SafetensorError):
        save_safetensors(tmp_path / "x.safetensors", {"a": np.array(["text"])})
