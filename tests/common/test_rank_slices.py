"""A site's part of an adapter: the first ranks of each pair, and of nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.rank_slices import as_at_rank, padded, sliced, sliced_schema
from common.state import AdapterSchema, Array, digest_state

RANKS = st.none() | st.integers(1, 6)


def random_state(seed: int) -> dict[str, Array]:
    """Linear of rank 4, a convolution of rank 2, a head, half a pair, and what is carried beside the first."""
    rng = np.random.default_rng(seed)
    shapes = {
        "carried.q.lora_A.weight": (5, 7), "carried.q.lora_B.weight": (6, 5), "c.lora_A.weight": (2, 3, 2, 2),
        "c.lora_B.weight": (4, 2, 1, 1), "head.bias": (4,), "q.lora_A.weight": (4, 7), "q.lora_B.weight": (6, 4),
        "v.lora_A.weight": (4, 3),
    }  # fmt: skip
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@given(rank=RANKS, seed=st.integers(0, 99))
def test_a_part_has_the_shapes_of_its_schema_and_what_is_carried_is_whole(rank: int | None, seed: int) -> None:
    state = random_state(seed)
    own = {name: array for name, array in state.items() if not name.startswith("carried.")}
    found = sliced(state, rank)
    sliced_schema(AdapterSchema.of(own), rank).check({name: found[name] for name in own})
    for name in ("carried.q.lora_A.weight", "carried.q.lora_B.weight", "head.bias", "v.lora_A.weight"):
        assert found[name] is state[name]
    assert all(array.flags.c_contiguous for array in found.values())
    assert digest_state(sliced(found, rank)) == digest_state(found)


@given(rank=RANKS, seed=st.integers(0, 99))
def test_a_part_in_the_whole_s_shapes_has_its_products(rank: int | None, seed: int) -> None:
    state = random_state(seed)
    schema = AdapterSchema.of(state)
    whole = as_at_rank(state, schema, rank)
    schema.check(whole)
    assert digest_state(sliced(whole, rank)) == digest_state(sliced(state, rank))
    part = sliced(state, rank)
    np.testing.assert_allclose(
        whole["q.lora_B.weight"] @ whole["q.lora_A.weight"],  # type: ignore[operator] # float arrays
        part["q.lora_B.weight"] @ part["q.lora_A.weight"],  # type: ignore[operator]
        rtol=1e-5,
        atol=1e-6,
    )
    assert digest_state(padded(whole, schema)) == digest_state(whole)
