import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.aggregation import ClientUpdate
from server.aggregation.fedsvd import FedSVD, refactored

SIZES = st.integers(1, 7)


@given(m=SIZES, n=SIZES, r=SIZES, seed=st.integers(0, 2**32 - 1))
def test_the_product_stays_and_the_rows_of_a_are_orthonormal_in_the_row_space_that_it_had(m, n, r, seed) -> None:
    rng = np.random.default_rng(seed)
    b, a = rng.normal(size=(m, r)), rng.normal(size=(r, n))
    left, right = refactored(b, a)
    np.testing.assert_allclose(left @ right, b @ a, atol=1e-12)
    kept = min(r, n)
    np.testing.assert_allclose(right[:kept] @ right[:kept].T, np.eye(kept), atol=1e-12)
    # What B could train before, all X A, it can still train: the rows of A are combinations of the new ones.
    np.testing.assert_allclose(a @ right.T @ right, a, atol=1e-11)
    np.testing.assert_allclose(left.T @ left, np.diag(np.diag(left.T @ left)), atol=1e-11)
    assert (left.shape, right.shape) == (b.shape, a.shape)


def test_a_number_by_hand() -> None:
    # B = [3; 4] and A = [2 0]: the product has the one singular value 5 * 2, so B = [6; 8] and A = [1 0] but for signs.
    state = {"q.lora_A.weight": np.float32([[2, 0]]), "q.lora_B.weight": np.zeros((2, 1), np.float32)}
    update = ClientUpdate("a", {"q.lora_B.weight": np.float32([[3], [4]])}, 1, 1.0)
    made, _ = FedSVD().step(state, FedSVD().combine([update], state), {})
    assert np.abs(made["q.lora_B.weight"]).ravel() == pytest.approx([6, 8])
    assert np.abs(made["q.lora_A.weight"]).ravel() == pytest.approx([1, 0])
    assert {array.dtype.name for array in made.values()} == {"float32"}


def test_a_layer_whose_b_is_0_is_left_alone() -> None:
    state = {"q.lora_A.weight": np.float32([[2, 1]]), "q.lora_B.weight": np.zeros((2, 1), np.float32)}
    update = ClientUpdate("a", {"q.lora_B.weight": np.zeros((2, 1), np.float32)}, 1, 1.0)
    made, _ = FedSVD().step(state, FedSVD().combine([update], state), {})
    assert made["q.lora_A.weight"] is state["q.lora_A.weight"]
    assert not made["q.lora_B.weight"].any()
