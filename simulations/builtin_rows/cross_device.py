"""Notes of ten thousand made-up practices with about ten patients each: a federation of many small sites.

The field calls it cross-device, where a round samples a few of very many clients, against the cross-silo setting of a
few large hospitals (Kairouz et al. 2021, https://arxiv.org/abs/1912.04977, table 1).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files import write_bytes
from common.seeds import generator
from simulations.builtin_rows.quick import FINDINGS, NOISE, SIGNS, STATES

SEED = 2
PRACTICES = 10_000
ROWS = (8, 12)
"""The fewest and the most of a practice. Below 8 some practice would have no training row, by the hash of patients."""
SKEW = 2.0
"""Both parameters of the Beta distribution that practices' shares of the outcome `yes` are drawn from."""

Texts = NDArray[np.str_]


def write(folder: Path, practices: int = PRACTICES) -> Path:
    """Write practice, patient, note and outcome as CSV, each row a patient; the same bytes everywhere."""
    rng = generator(SEED, purpose="cross-device rows")
    practice = np.repeat(np.arange(practices), rng.integers(ROWS[0], ROWS[1] + 1, size=practices))
    positive = rng.random(len(practice)) < rng.beta(SKEW, SKEW, size=practices)[practice]
    first, second = _signs(positive, rng)
    finding, state = (rng.choice(words, size=len(practice)) for words in (FINDINGS, STATES))
    columns = (practice.tolist(), positive.tolist(), *(words.tolist() for words in (first, second, finding, state)))
    lines = [
        f'practice-{number:05d},{row:06d},"{one} and {other}, {found} {how}",{"yes" if outcome else "no"}\n'
        for row, (number, outcome, one, other, found, how) in enumerate(zip(*columns, strict=True))
    ]
    path = folder / "cross-device.csv"
    write_bytes(path, "".join(["practice,patient,note,outcome\n", *lines]).encode())
    return path


def _signs(positive: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Texts, Texts]:
    """Return two different signs for each row, (n,) each, some drawn from the other outcome's words."""
    words = np.array([SIGNS["no"], SIGNS["yes"]])
    count = words.shape[1]
    one = rng.integers(count, size=len(positive))
    other = (one + rng.integers(1, count, size=len(positive))) % count
    flipped = rng.random((2, len(positive))) < NOISE
    outcomes = (positive ^ flipped).astype(np.int64)
    return words[outcomes[0], one], words[outcomes[1], other]
