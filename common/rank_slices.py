"""A site's own LoRA rank: it receives, trains and returns the first rows of A and columns of B, and no others.

One scale s holds for all sites, that of the study's rank: so that a part of a pair means the same at every site
(nested ranks, as in HetLoRA, Cho et al. 2024, https://arxiv.org/abs/2401.06432, section 3). A site with more ranks in
its model than its own fills them with zeros, and zeros stay: without the other factor neither has a gradient. What is
carried beside the adapter (`common.carried`) is part of the frozen model, and whole at every site.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import floor

import numpy as np

from common.carried import CARRIED
from common.lora_pairs import pairs_of
from common.state import AdapterSchema, AdapterState, Array


def sliced_schema(schema: AdapterSchema, rank: int | None) -> AdapterSchema:
    """Return the schema at a site of this rank; a layer of less than it, and every other tensor, is as it was."""
    if rank is None:
        return schema
    axes = _axes(schema.names)
    return AdapterSchema(
        tuple(
            replace(spec, shape=_cut(spec.shape, axes[spec.name], rank)) if spec.name in axes else spec
            for spec in schema.tensors
        )
    )


def sliced(state: AdapterState, rank: int | None) -> dict[str, Array]:
    """Return the state at a site of this rank, contiguous copies where something was cut.

    >>> state = {"q.lora_A.weight": np.ones((4, 3)), "q.lora_B.weight": np.ones((2, 4))}
    >>> [array.shape for array in sliced(state, 1).values()]
    [(1, 3), (2, 1)]
    """
    axes = {} if rank is None else _axes(state)
    return {name: _first(array, axes[name], rank or 0) if name in axes else array for name, array in state.items()}


def as_at_rank(state: AdapterState, schema: AdapterSchema, rank: int | None) -> AdapterState:
    """Return the state in the shapes of `schema` as a site of this rank has it: zeros where its rank ends."""
    return state if rank is None else padded(sliced(state, rank), schema)


def tail_start(rank: int, share: float) -> int:
    """Return where the tail of a pair begins, of which HetLoRA asks whether it is needed: after its first `share`.

    At least one rank is before it.

    >>> [tail_start(8, share) for share in (0.0, 0.5, 0.99, 1.0)], tail_start(100, 0.29)
    ([1, 4, 7, 8], 29)
    """
    return max(1, floor(round(share * rank, 9)))


def padded(state: AdapterState, schema: AdapterSchema) -> dict[str, Array]:
    """Return the state in the shapes of `schema`, with zeros where a site's rank ends."""
    return {name: _filled(array, schema.shapes.get(name, array.shape)) for name, array in state.items()}


def _axes(names: Mapping[str, object] | tuple[str, ...]) -> dict[str, int]:
    """Return the axis along which each factor has its ranks."""
    pairs = pairs_of(name for name in names if not name.startswith(CARRIED))
    return {**{pair.a: 0 for pair in pairs}, **{pair.b: 1 for pair in pairs}}


def _cut(shape: tuple[int, ...], axis: int, rank: int) -> tuple[int, ...]:
    return (*shape[:axis], min(shape[axis], rank), *shape[axis + 1 :])


def _first(array: Array, axis: int, rank: int) -> Array:
    part = array[:rank] if axis == 0 else array[:, :rank]
    return np.ascontiguousarray(part) if part.shape != array.shape else array


def _filled(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape == shape:
        return array
    return np.pad(array, [(0, wanted - found) for found, wanted in zip(array.shape, shape, strict=True)])
