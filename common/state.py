"""An adapter as named arrays, and the schema that says which arrays it has.

The schema fixes names, shapes, dtypes and order, and which tensors are `shared` (they travel) or `private` (they stay
on the site's disk). Tensors travel as one flat array per dtype in schema order: the cost of a message is per tensor,
not per byte.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import NotFiniteError, SchemaError
from common.files import digest_bytes, digest_json

Array = NDArray[np.generic]
AdapterState = Mapping[str, Array]
Group = Literal["shared", "private"]
HEAD = "head."
"""How the names of the task's head start; every other tensor is the PEFT method's."""
STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")
"""How the names of a BatchNorm's running statistics end."""
_PIECE = 1 << 16
"""Elements looked at together."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape, dtype (numpy's name, `float32`) and group of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    group: Group = "shared"

    @cached_property
    def numpy_dtype(self) -> "np.dtype[np.generic]":
        """The dtype as numpy has it."""
        return np.dtype(self.dtype)

    @cached_property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @cached_property
    def size_bytes(self) -> int:
        """Number of bytes of the elements, without any header."""
        return self.size * self.numpy_dtype.itemsize


@dataclass(frozen=True)
class AdapterSchema:
    """The tensors of an adapter, sorted by name."""

    tensors: tuple[TensorSpec, ...]

    @classmethod
    def of(cls, state: AdapterState, *, private: Sequence[str] = ()) -> "AdapterSchema":
        """Describe `state`; tensors whose name matches one of the fnmatch patterns `private` are private."""
        unmatched = [p for p in private if not any(fnmatchcase(name, p) for name in state)]
        if unmatched:
            raise SchemaError(
                f"peft.private: pattern {unmatched[0]!r} matches none of {len(state)} tensors, "
                f"such as {', '.join(sorted(state)[:3])}"
            )
        return cls(
            tuple(
                TensorSpec(name, state[name].shape, state[name].dtype.name, _group_of(name, private))
                for name in sorted(state)
            )
        )

    @classmethod
    def from_json(cls, value: Sequence[Mapping[str, object]]) -> "AdapterSchema":
        """Read what `to_json` wrote."""
        return cls(
            tuple(
                TensorSpec(str(t["name"]), tuple(t["shape"]), str(t["dtype"]), t["group"])  # type: ignore[arg-type] # JSON
                for t in value
            )
        )

    def to_json(self) -> list[dict[str, object]]:
        """Return a value for `schema.json`."""
        return [{"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "group": t.group} for t in self.tensors]

    @cached_property
    def digest(self) -> str:
        """Digest of names, shapes, dtypes and groups."""
        return digest_json(self.to_json())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in schema order."""
        return tuple(t.name for t in self.tensors)

    @cached_property
    def shared(self) -> "AdapterSchema":
        """The part that travels."""
        return AdapterSchema(tuple(t for t in self.tensors if t.group == "shared"))

    @cached_property
    def private(self) -> "AdapterSchema":
        """The part that stays at each site."""
        return AdapterSchema(tuple(t for t in self.tensors if t.group == "private"))

    @cached_property
    def trained_size(self) -> int:
        """Number of elements that a gradient moves: all but a BatchNorm's running statistics, which are counted."""
        return sum(t.size for t in self.tensors if not t.name.endswith(STATISTICS))

    def only(self, names: Iterable[str] | None) -> "AdapterSchema":
        """Return the part with these names (None: all); unknown names are an error."""
        if names is None:
            return self
        wanted = set(names)
        unknown = wanted - set(self.names)
        if unknown:
            raise SchemaError(f"no tensor {sorted(unknown)[0]!r} in the schema of {len(self.tensors)} tensors")
        return AdapterSchema(tuple(t for t in self.tensors if t.name in wanted))

    @cached_property
    def size(self) -> int:
        """Number of elements of all tensors."""
        return sum(t.size for t in self.tensors)

    @cached_property
    def size_bytes(self) -> int:
        """Number of bytes of all tensors."""
        return sum(t.size_bytes for t in self.tensors)

    def check(self, state: AdapterState) -> None:
        """Check that `state` has exactly these names, shapes and dtypes, all finite.

        Raises:
            SchemaError: it has not.
            NotFiniteError: it has, but for values that are not finite.
        """
        self._check_form(state)
        if self.size > _PIECE or not _are_finite(self.pack(state)):
            self._check_finite(state)

    def pack_checked(self, state: AdapterState) -> dict[str, Array]:
        """Return `pack` of a state after `check` of it, with its errors."""
        self._check_form(state)
        flat = self.pack(state)
        if not _are_finite(flat):
            self._check_finite(state)
        return flat

    def _check_form(self, state: AdapterState) -> None:
        if state.keys() != self._name_set:
            check_names(self.names, state)
        for name, shape, dtype in self._forms:
            array = state[name]
            if array.shape != shape or array.dtype != dtype:
                found, wanted = f"{array.dtype.name}{list(array.shape)}", f"{dtype.name}{list(shape)}"
                raise SchemaError(f"{name!r} is {found}, the schema says {wanted}")

    def _check_finite(self, state: AdapterState) -> None:
        for name in self.names:
            if not is_finite(state[name]):
                raise NotFiniteError(f"{name!r} has values that are not finite")

    @cached_property
    def _forms(self) -> tuple[tuple[str, tuple[int, ...], "np.dtype[np.generic]"], ...]:
        return tuple((spec.name, spec.shape, spec.numpy_dtype) for spec in self.tensors)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {spec.name: spec.shape for spec in self.tensors}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Number of elements of each dtype: the lengths of what `pack` makes."""
        return {dtype: sum(spec.size for spec in specs) for dtype, specs in self._by_dtype.items()}

    @cached_property
    def _name_set(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def places(self) -> Mapping[str, tuple[str, int, int]]:
        """Where each tensor lies in what `pack` makes: dtype, first element and the one after the last."""
        return {
            spec.name: (dtype, int(end) - spec.size, int(end))
            for dtype, specs in self._by_dtype.items()
            for spec, end in zip(specs, np.cumsum([t.size for t in specs]), strict=True)
        }

    def pack(self, state: AdapterState) -> dict[str, Array]:
        """Return one flat array per dtype, the tensors in schema order. `state` must match the schema."""
        return {
            dtype: np.concatenate([state[t.name].reshape(-1) for t in specs]) for dtype, specs in self._by_dtype.items()
        }

    def unpack(self, flat: Mapping[str, Array]) -> dict[str, Array]:
        """Undo `pack`: check dtypes and lengths, then split. The tensors are views of the flat arrays."""
        if set(flat) != set(self._by_dtype):
            raise SchemaError(f"packed dtypes are {sorted(flat)}, the schema has {sorted(self._by_dtype)}")
        for dtype, size in self.sizes.items():
            _check_flat(flat[dtype], dtype, size)
        return {name: flat[dtype][start:end].reshape(self.shapes[name]) for name, dtype, start, end in self._views}

    @cached_property
    def _views(self) -> tuple[tuple[str, str, int, int], ...]:
        return tuple((name, *self.places[name]) for name in self.names)

    @cached_property
    def _by_dtype(self) -> dict[str, list[TensorSpec]]:
        groups: dict[str, list[TensorSpec]] = {}
        for spec in self.tensors:
            groups.setdefault(spec.dtype, []).append(spec)
        return groups


def _group_of(name: str, private: Sequence[str]) -> Group:
    return "private" if any(fnmatchcase(name, pattern) for pattern in private) else "shared"


def _are_finite(flat: Mapping[str, Array]) -> bool:
    """Whether small tensors together are finite: looking at each costs more than the numbers do."""
    return all(map(is_finite, flat.values()))


def _check_flat(flat: Array, dtype: str, expected: int) -> None:
    if flat.dtype != np.dtype(dtype) or flat.shape != (expected,):
        raise SchemaError(f"packed array is {flat.dtype.name}{list(flat.shape)}, the schema says {dtype}[{expected}]")


def check_names(expected: Iterable[str], state: AdapterState) -> None:
    """Raise SchemaError unless `state` has exactly the expected names."""
    wanted, found = set(expected), set(state)
    if wanted - found:
        raise SchemaError(f"lacks {sorted(wanted - found)[0]!r} ({len(wanted - found)} missing of {len(wanted)})")
    if found - wanted:
        raise SchemaError(f"has {sorted(found - wanted)[0]!r}, which the schema does not name")


def digest_state(state: AdapterState) -> str:
    """Digest of names, dtypes, shapes and bytes; the order of the mapping does not matter."""
    parts = [_spec_digest(name, state[name].dtype, state[name].shape) for name in sorted(state)]
    parts += [digest_bytes(np.ascontiguousarray(state[name]).tobytes()) for name in sorted(state)]
    return digest_json(parts)


@lru_cache(maxsize=1 << 14)
def _spec_digest(name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> str:
    """The same tensors come again with every message."""
    return digest_json([name, dtype.name, list(shape)])


def is_finite(array: Array) -> bool:
    """Whether every value is finite; looked at in pieces, since a table of answers is a quarter of the array.

    >>> is_finite(np.float32([1, 2])), is_finite(np.float32([1, np.nan])), is_finite(np.float32([]))
    (True, False, True)
    """
    if array.size <= _PIECE:
        return bool(np.isfinite(array).all())
    flat = array.reshape(-1)
    return all(bool(np.isfinite(flat[i : i + _PIECE]).all()) for i in range(0, flat.size, _PIECE))


def subtract(left: AdapterState, right: AdapterState) -> dict[str, Array]:
    """Return left - right by name, in the dtype of `left`."""
    return {name: np.asarray(left[name] - right[name]) for name in left}  # type: ignore[operator] # float arrays


def norm(state: AdapterState) -> float:
    """Euclidean norm over all tensors together, in float64.

    >>> norm({"a": np.array([3.0]), "b": np.array([[4.0]])})
    5.0
    """
    return float(np.sqrt(sum(map(_squares, state.values()))))


def _squares(array: Array) -> float:
    values = array.astype(np.float64)
    return float(np.add.reduce(np.square(values, out=values), axis=None))  # what `np.sum` calls
