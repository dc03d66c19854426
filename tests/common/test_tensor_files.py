from typing import Any

import numpy as np
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from common.tensor_files import group_of, joined, to_safetensors


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
