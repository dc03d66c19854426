"""LoRA's two factors among the tensors of an adapter, found by name and never by shape.

A layer's update is s B A with A (rank, in) and B (out, rank), whatever the orientation of the base weight: peft keeps
this form for `nn.Linear` and for GPT-2's transposed `Conv1D` alike. A convolution's A is (rank, in, height, width) and
its B (out, rank, 1, 1); `as_matrices` reads either as matrices.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.state import AdapterState

A, B = ".lora_A.weight", ".lora_B.weight"
FROZEN_A: Final = ("*" + A,)
FROZEN_B: Final = ("*" + B,)
"""fnmatch patterns of all first and of all second factors."""
Matrix = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class Pair:
    """The factors of one layer, by name."""

    layer: str

    @property
    def a(self) -> str:
        """Name of A."""
        return self.layer + A

    @property
    def b(self) -> str:
        """Name of B."""
        return self.layer + B


def pairs_of(names: Iterable[str]) -> tuple[Pair, ...]:
    """Return the pairs, by layer; a factor without the other is none.

    >>> pairs_of(["q.lora_A.weight", "q.lora_B.weight", "v.lora_A.weight", "head.bias"])
    (Pair(layer='q'),)
    """
    found = set(names)
    layers = sorted(name.removesuffix(A) for name in found if name.endswith(A))
    return tuple(pair for pair in map(Pair, layers) if pair.b in found)


def as_matrices(state: AdapterState, pair: Pair) -> tuple[Matrix, Matrix]:
    """Return A (rank, in) and B (out, rank) of one layer as float64 matrices; new arrays."""
    a, b = state[pair.a].astype(np.float64), state[pair.b].astype(np.float64)
    return a.reshape(a.shape[0], -1), b.reshape(b.shape[0], a.shape[0])
