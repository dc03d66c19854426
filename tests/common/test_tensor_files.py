import numpy as np
import safetensors.numpy

from common.tensor_files import to_safetensors


def test_an_array_in_fortran_order_comes_back_as_it_was() -> None:
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))

    found = safetensors.numpy.load(to_safetensors({"b": array, "a": array[:, ::2]}))

    np.testing.assert_array_equal(found["b"], array)
    np.testing.assert_array_equal(found["a"], array[:, ::2])


def test_the_order_of_the_mapping_does_not_change_the_bytes() -> None:
    one, two = np.zeros(2, np.float32), np.ones(3, np.float32)

    assert to_safetensors({"x": one, "y": two}) == to_safetensors({"y": two, "x": one})
