"""Made-up inputs on which an export is compared with the model it was made from: lengths that no batch has alike."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any  # tokenizers are untyped

import numpy as np

from client.forward import pad_id
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)


def probes(bench: Workbench, *, seed: int = 0) -> Sequence[AnyExample]:
    """Return examples of rows that nobody has: random words of the vocabulary, or random pictures."""
    rng = np.random.default_rng(seed)
    if bench.task.architecture == "image":
        return _pictures(bench, rng)
    texts = _texts(bench.reader, rng)
    # A decoder scores given completions; other tasks need no label to compute.
    labels = bench.task.stack(["yes indeed"] * len(texts)) if bench.task.architecture == "causal-lm" else None
    return bench.task.encode(bench.reader, texts, labels, max_length=bench.max_length)


def _texts(reader: Any, rng: np.random.Generator) -> list[str]:
    special = set(reader.all_special_ids)
    ids = [i for i in range(len(reader)) if i not in special]
    return [reader.decode(rng.choice(ids, size=count).tolist()) for count in WORDS]


def _pictures(bench: Workbench, rng: np.random.Generator) -> Sequence[AnyExample]:
    from PIL import Image

    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / f"{number}.png" for number in range(5)]
        for file in files:
            Image.fromarray(rng.integers(0, 256, size=(40, 50, 3), dtype=np.uint8)).save(file)
        return bench.task.encode(bench.reader, [str(file) for file in files], None, max_length=bench.max_length)


def outputs(bench: Workbench, examples: Sequence[AnyExample]) -> list[NDArray[np.float32]]:
    """Return the task's logits in float32 of batches of one, two, three, ... examples."""
    import torch

    bench.model.eval()
    bench.head.eval()
    found = []
    with torch.inference_mode():
        for part in growing(examples):
            batch = bench.task.collate(part, pad_id=pad_id(bench))
            found.append(bench.task.logits(bench.model, bench.head, batch).float().numpy())
    return found


def growing(examples: Sequence[AnyExample]) -> list[Sequence[AnyExample]]:
    """Cut into batches of 1, 2, 3, ... examples.

    >>> [len(part) for part in growing(["abcdefg"] * 5)]
    [1, 2, 2]
    """
    parts, start, size = [], 0, 1
    while start < len(examples):
        parts.append(examples[start : start + size])
        start, size = start + size, size + 1
    return parts


def largest_difference(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> float:
    """Return the largest |a - b| / max(1, |a|); NaN in either is infinity."""
    if [a.shape for a in first] != [b.shape for b in second]:
        return float("inf")
    found = [float(np.max(np.abs(a - b) / np.maximum(1, np.abs(a)))) for a, b in zip(first, second, strict=True)]
    return max(found) if np.isfinite(found).all() else float("inf")
