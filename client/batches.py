"""Mini-batches of similar length, drawn from a generator: no padding beyond the batch, little within it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
BUCKET_BATCHES = 8
IGNORED: Final = -100
"""A target that does not count, as torch's losses have it."""


def epoch_batches(lengths: Sequence[int], *, batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return index arrays that cover every row once, in random order.

    Rows are shuffled, cut into buckets of BUCKET_BATCHES batches, sorted by length within a bucket, cut into batches,
    and the batches shuffled: batches hold rows of like length, and differ from epoch to epoch.
    """
    order = rng.permutation(len(lengths))
    all_lengths = np.asarray(lengths, dtype=np.int64)
    bucket = batch_size * BUCKET_BATCHES
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), bucket):
        part = order[start : start + bucket]
        part = part[np.argsort(all_lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def training_batches(
    lengths: Sequence[int], *, batch_size: int, epochs: int, steps: int | None, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield the batches of `epochs` epochs, or exactly `steps` batches where given."""
    done = 0
    epoch = 0
    while (epoch < epochs) if steps is None else (done < steps):
        for batch in epoch_batches(lengths, batch_size=batch_size, rng=rng):
            if steps is not None and done == steps:
                return
            yield batch
            done += 1
        epoch += 1


def count_steps(rows: int, *, batch_size: int, epochs: int, steps: int | None) -> int:
    """Return how many batches `training_batches` yields.

    >>> count_steps(33, batch_size=16, epochs=2, steps=None), count_steps(33, batch_size=16, epochs=2, steps=4)
    (6, 4)
    """
    return steps if steps is not None else epochs * -(-rows // batch_size)


def scoring_batches(lengths: Sequence[int], *, batch_size: int) -> list[NDArray[np.int64]]:
    """Return index arrays that cover every row once, sorted by length."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def take(items: Sequence[T], index: NDArray[np.int64]) -> list[T]:
    """Return the items at these positions."""
    return [items[i] for i in index]


def parts_of(rows: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Cut the rows of one step into at most `parts` parts whose sizes differ by one at most; none is empty.

    >>> [part.tolist() for part in parts_of(np.arange(5), 2)], len(parts_of(np.arange(2), 3))
    ([[0, 1, 2], [3, 4]], 2)
    """
    return np.array_split(rows, min(parts, len(rows)))


def targets_in(batch: Mapping[str, Tensor], *, rows: int) -> int:
    """Return by how much a part of a step counts: its targets where they are classes, else its rows."""
    targets = batch.get("targets")
    if targets is None or targets.is_floating_point():
        return rows
    return int((targets != IGNORED).sum())


def shares_of(batches: Sequence[Mapping[str, Tensor]], parts: Sequence[NDArray[np.int64]]) -> list[float]:
    """Return by how much each part of one step counts: its share of the targets, of the parts where there are none."""
    counts = [targets_in(batch, rows=len(part)) for batch, part in zip(batches, parts, strict=True)]
    return [count / sum(counts) if sum(counts) else 1 / len(parts) for count in counts]
