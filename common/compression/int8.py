"""Eight bits for each number, rounded at random so that the mean over the draws is the number itself.

Alistarh et al. 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding",
https://arxiv.org/abs/1610.02132, section 3.1, of updates in place of gradients as in FedPAQ (Reisizadeh et al. 2020,
https://arxiv.org/abs/1909.13014, algorithm 1). We differ from QSGD: s is a fraction of the largest magnitude and not of
the norm, 127 levels on each side, and their numbers are sent as they are, without a code of variable length.

    s = max |u| / 127 of a row, rounded up to float32;  q = floor(u / s) + [U < u / s - floor(u / s)], U ~ Uniform[0, 1)
    E[s q] = u;   Var[s q] = s^2 f (1 - f) <= s^2 / 4 with f the fraction of u / s;   |s q - u| < s

A row (`scale = "row"`) is a slice of a matrix along its longer axis: a row of `lora_A` (rank, in), a column of `lora_B`
(out, rank), so that each rank-one part has its own scale; a tensor of one axis is one row. `scale = "tensor"` has one
scale for each tensor. A tensor of more than two axes is the matrix of its first axis and all others together.

Bytes: sum over tensors of size + 4 rows, where 4 size is sent without it; rows is at most the root of the size. Flops:
about 5 for each number at the site, 1 at the server. Exact where u is a whole multiple of s, such as zeros. Unbiased
but for the last rounding of s q to float32 (relative 6e-8). It keeps no error, so that sites may come and go. It is no
privacy mechanism: the server knows the seed of the draws. It does not go with a secure sum, which needs one scale for
all sites.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import NotFiniteError, SchemaError
from common.state import AdapterSchema, AdapterState, Array, TensorSpec, is_finite

LEVELS: Final = 127
MAX_SCALE: Final = float(np.finfo(np.float32).max) / LEVELS
QUANTISED, SCALE = ":int8", ":scale"
"""How the names of the two tensors end that travel in place of one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Int8:
    """Stochastic rounding with a scale for each row, or for each tensor."""

    scale: Literal["row", "tensor"] = "row"
    keeps_error: ClassVar[bool] = False
    draws: ClassVar[bool] = True

    @property
    def in_words(self) -> str:
        """What is done to an update."""
        each = "row of a matrix" if self.scale == "row" else "tensor"
        return f"int8: each number is rounded at random to one of {2 * LEVELS + 1} steps, whose size each {each} has"

    def wire_schema(self, asked: AdapterSchema) -> AdapterSchema:
        """Return int8 numbers in the shape of each tensor, and float32 scales, one for each of its rows."""
        sent = (each for spec in asked.tensors for each in self._sent(spec))
        return AdapterSchema(tuple(sorted(sent, key=lambda spec: spec.name)))

    def _sent(self, spec: TensorSpec) -> Iterator[TensorSpec]:
        if spec.dtype != "float32":
            raise SchemaError(f"{spec.name!r} is {spec.dtype}, compression.method = 'int8' is of float32")
        yield replace(spec, name=spec.name + QUANTISED, dtype="int8")
        yield replace(spec, name=spec.name + SCALE, shape=(self._rows(spec.shape),))

    def _rows(self, shape: tuple[int, ...]) -> int:
        return min(shape[0], prod(shape[1:])) if self.scale == "row" and len(shape) > 1 else 1

    def compress(
        self, update: AdapterState, error: AdapterState, rng: np.random.Generator
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return numbers and scales; the draws are in the order of names."""
        payload: dict[str, Array] = {}
        for name in sorted(update):
            array = update[name]
            if not is_finite(array):
                raise NotFiniteError(f"{name!r} has values that are not finite")
            rows = by_row(array, self._rows(array.shape))
            scales = scales_of(rows)
            numbers = quantised(rows, scales, rng)
            payload[name + QUANTISED] = _shaped(numbers, array.shape)
            payload[name + SCALE] = scales
        return payload, dict(error)

    def decompress(self, payload: AdapterState, asked: AdapterSchema) -> dict[str, Array]:
        """Return number times scale."""
        return {spec.name: self._restored(payload, spec) for spec in asked.tensors}

    def _restored(self, payload: AdapterState, spec: TensorSpec) -> Array:
        numbers, scales = payload[spec.name + QUANTISED], payload[spec.name + SCALE].astype(np.float64)
        if not ((scales >= 0) & (scales <= MAX_SCALE)).all():
            raise SchemaError(f"{spec.name!r} has a scale that is not between 0 and {MAX_SCALE:.4g}")
        if numbers.size and numbers.min() < -LEVELS:
            raise SchemaError(f"{spec.name!r} has a number under {-LEVELS}")
        values = by_row(numbers, len(scales)) * scales[:, None]
        return _shaped(values.astype(np.float32), spec.shape)


def by_row(array: Array, rows: int) -> Floats:
    """Return an array as float64 (rows, size / rows): the matrix, or its transpose, or all of it in one row.

    >>> by_row(np.arange(6).reshape(3, 2), 2).tolist()
    [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    """
    values = array.astype(np.float64)
    if rows == 1:
        return values.reshape(1, -1)
    matrix = values.reshape(array.shape[0], -1)
    return matrix if len(matrix) == rows else matrix.T


def _shaped(rows: Array, shape: tuple[int, ...]) -> Array:
    """Undo `by_row`."""
    is_turned = len(rows) > 1 and len(rows) != shape[0]
    return np.ascontiguousarray(rows.T if is_turned else rows).reshape(shape)


def scales_of(rows: Floats) -> NDArray[np.float32]:
    """Return the scale of each row, rounded up, so that no number is beyond 127 of them; 0 for a row of zeros.

    >>> scales_of(np.array([[-127.0, 3.0], [0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    largest = np.abs(rows).max(axis=1, initial=0.0)
    nearest = (largest / LEVELS).astype(np.float32)
    is_low = nearest.astype(np.float64) * LEVELS < largest
    scales: NDArray[np.float32] = np.where(is_low, np.nextafter(nearest, np.float32(np.inf)), nearest)
    return scales


def quantised(rows: Floats, scales: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int8]:
    """Return each number in steps of its row's scale, rounded up with the probability of its fraction."""
    steps = rows / np.where(scales > 0, scales, 1).astype(np.float64)[:, None]
    below = np.floor(steps)
    # Not floor(steps + U): near 127 that sum can round to 128.
    return (below + (rng.random(steps.shape) < steps - below)).astype(np.int8)


build = Int8
