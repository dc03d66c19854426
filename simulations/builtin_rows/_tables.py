"""Drawing words of generated rows, and writing these."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.files import write_bytes


def one_of(words: Sequence[str], rng: np.random.Generator) -> str:
    """Return what `rng.choice(words)` returns, but stop at Ctrl-C, of which that loses one in three."""
    return words[int(rng.integers(len(words)))]


def in_any_order(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return what `rng.permutation(words)` returns, as text; it loses Ctrl-C too, but not where it permutes numbers."""
    return [words[place] for place in rng.permutation(len(words)).tolist()]


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write rows with equal keys as CSV, the same bytes everywhere, and return `path`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
    return path
