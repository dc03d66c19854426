"""The k largest numbers of an update; what is left out is remembered at the site and sent once it has grown.

Stich et al. 2018, "Sparsified SGD with Memory", https://arxiv.org/abs/1809.07599, algorithm 1, of updates in place of
gradients; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes",
https://arxiv.org/abs/1901.09847, algorithm 2. We differ: one k for all tensors of a round together, and what the
rounding to float32 takes away is remembered too.

    v = u + e;   q = the k numbers of v with the largest |v|, in float32;   e' = v - q
    telescoping:  sum over rounds of q, plus the last e  =  sum over rounds of u     (float64 rounding)
    contraction:  ||v - q||^2 <= (1 - k / N) ||v||^2

N is how many numbers the active tensors of a round have, k = density N to the nearest whole number, at least 1: shapes
are known beforehand. Numbers are counted over the tensors in the order of their names, each in C order; of equal ones
the first is taken. Tensors that are not active keep their error untouched, as all do in a round without the site.

Bytes: 8 k, a float32 value and a uint32 index each, where 4 N is sent without it: fewer below a density of 1/2. Flops:
about 3 N at the site, k at the server. Exact at density 1, where nothing is left out. Biased in each round. The error
grows stale at sites that are rarely drawn (`federation.fraction`), and what a server turns down or gets too late is
lost, error and all, as an update without compression is. It does not go with a secure sum (each site has its own
indices), and poorly with a median or a trimmed mean by coordinate, for which most sites then say 0. The memory is in
the coordinates of the factors: under strategies that write a LoRA pair anew in each round (`flora`, `fedsvd`,
`flexlora`, the robust rules over products) the sums telescope in coordinates only, and no longer in what B A becomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from common.errors import NotFiniteError, SchemaError
from common.state import AdapterSchema, AdapterState, Array, TensorSpec

INDICES, VALUES = "top-k.indices", "top-k.values"
LARGEST: Final = float(np.finfo(np.float32).max)
MAX_NUMBERS: Final = 1 << 32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TopK:
    """The share `density` of an update's numbers, with memory."""

    density: Annotated[float, Field(gt=0, le=1)] = 0.1
    keeps_error: ClassVar[bool] = True
    draws: ClassVar[bool] = False

    @property
    def in_words(self) -> str:
        """What is done to an update."""
        return (
            f"top-k: the largest {self.density:.3g} of all numbers leave, with their places; what is left out is kept "
            "here, added to the next update, and leaves once it is large"
        )

    def wire_schema(self, asked: AdapterSchema) -> AdapterSchema:
        """Return k indices and k values, of all tensors together; nothing where nothing is asked for."""
        for spec in asked.tensors:
            if spec.dtype != "float32":
                raise SchemaError(f"{spec.name!r} is {spec.dtype}, compression.method = 'top-k' is of float32")
        if asked.size > MAX_NUMBERS:
            raise SchemaError(f"an update of {asked.size} numbers, compression.method = 'top-k' counts to 2^32")
        kept = (self.kept(asked.size),)
        sent = (TensorSpec(INDICES, kept, "uint32"), TensorSpec(VALUES, kept, "float32"))
        return AdapterSchema(sent if asked.tensors else ())

    def kept(self, size: int) -> int:
        """Return k of so many numbers.

        >>> TopK(density=0.1).kept(30), TopK(density=0.001).kept(30), TopK(density=1.0).kept(30)
        (3, 1, 30)
        """
        return max(1, round(self.density * size))

    def compress(
        self,
        update: AdapterState,
        error: AdapterState,
        rng: np.random.Generator,  # noqa: ARG002 # nothing is drawn
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the largest of update plus error, and the error after it."""
        if not update:
            return {}, dict(error)
        names = sorted(update)
        corrected = np.concatenate([_corrected(update[name], error.get(name)) for name in names])
        if not (np.abs(corrected) <= LARGEST).all():  # NaN is not either
            raise NotFiniteError("the update, with what earlier ones have left out, is not finite in float32")
        indices = largest(corrected, self.kept(corrected.size))
        values = corrected[indices].astype(np.float32)
        corrected[indices] -= values
        left = _split(corrected, {name: update[name].shape for name in names})
        return {INDICES: indices.astype(np.uint32), VALUES: values}, {**error, **left}

    def decompress(self, payload: AdapterState, asked: AdapterSchema) -> dict[str, Array]:
        """Return the values in their places, and zeros elsewhere."""
        if not asked.tensors:
            return {}
        indices = payload[INDICES].astype(np.int64)
        if not (np.diff(indices) > 0).all() or indices[-1] >= asked.size:
            raise SchemaError(f"indices of an update are not in rising order, each once, below {asked.size}")
        flat = np.zeros(asked.size, np.float32)
        flat[indices] = payload[VALUES]
        return _split(flat, {spec.name: spec.shape for spec in sorted(asked.tensors, key=lambda spec: spec.name)})


def largest(values: Floats, count: int) -> NDArray[np.int64]:
    """Return the places, in rising order, of the `count` values of the largest magnitude; of equal ones the first.

    >>> largest(np.array([1.0, -3.0, 2.0, 3.0, -2.0]), 3).tolist()
    [1, 2, 3]
    """
    magnitudes = np.abs(values)
    least = np.partition(magnitudes, values.size - count)[values.size - count]
    above, equal = np.flatnonzero(magnitudes > least), np.flatnonzero(magnitudes == least)
    return np.sort(np.concatenate([above, equal[: count - above.size]]))


def _corrected(update: Array, error: Array | None) -> Floats:
    """Return update plus error, flat. Where a site's LoRA rank has become another, the ranks that both have count."""
    total = update.astype(np.float64)
    if error is not None:
        both = tuple(slice(min(sizes)) for sizes in zip(update.shape, error.shape, strict=True))
        total[both] += error[both]  # type: ignore[arg-type] # float64, as `compress` returns it
    return total.reshape(-1)


def _split(flat: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return the tensors that lie one after the other in `flat`, as arrays of their own."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
    parts = np.split(flat, ends)
    return {name: part.reshape(shape).copy() for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


build = TopK
