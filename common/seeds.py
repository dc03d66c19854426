"""Every random number of a run comes from here: one stream per (seed, round, site, purpose)."""

import hashlib
from functools import cache

import numpy as np


def seed_sequence(seed: int, *, round_number: int = 0, site: str = "", purpose: str) -> np.random.SeedSequence:
    """Return the seed sequence of one purpose at one site in one round; streams of other keys are independent."""
    words = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in (site, purpose)]
    return np.random.SeedSequence([seed, round_number, *words])


def generator(seed: int, *, round_number: int = 0, site: str = "", purpose: str) -> np.random.Generator:
    """Return a fresh generator for one purpose.

    >>> a = generator(0, round_number=1, site="north", purpose="batches").random()
    >>> b = generator(0, round_number=1, site="north", purpose="batches").random()
    >>> a == b, a == generator(0, round_number=2, site="north", purpose="batches").random()
    (True, False)
    """
    return np.random.default_rng(seed_sequence(seed, round_number=round_number, site=site, purpose=purpose))


@cache
def undrawn() -> np.random.Generator:
    """Return the generator for what asks for one and draws nothing: a fresh one costs more than metrics of few rows."""
    return generator(0, purpose="nothing")


def integer_seed(seed: int, *, round_number: int = 0, site: str = "", purpose: str) -> int:
    """Return a 63-bit seed for a library that takes an integer (torch)."""
    state = seed_sequence(seed, round_number=round_number, site=site, purpose=purpose).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
