"""Exposure: how much likelier than unseen rows a canary has become.

Carlini et al. 2019, "The Secret Sharer", https://arxiv.org/abs/1802.08232, definition 3: log2 |R| - log2 rank, the rank
of a canary's loss among those of the space R. As there (section 4.2), R is sampled: the canary itself and the
references, which are drawn as canaries are. By chance the mean is about 1 / ln 2 = 1.44 bits; the most is log2 |R|.
"""

import numpy as np

from common.metrics.types import Floats


def exposures(canaries: Floats, references: Floats) -> Floats:
    """Return the exposure in bits (n,) of each canary's loss (n,) among the references' (m,); ties count half.

    >>> exposures(np.array([0.1, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [2.0, 0.0]
    """
    ordered = np.sort(references)
    below, up_to = (np.searchsorted(ordered, canaries, side=side) for side in ("left", "right"))
    return np.asarray(np.log2(len(references) + 1) - np.log2(1 + (below + up_to) / 2))


def by_chance(count: int, references: int, *, draws: int, rng: np.random.Generator) -> Floats:
    """Return mean exposures (draws,) of `count` canaries that nobody trained on: all orders are equally likely."""
    places = rng.random((draws, count + references)).argsort(axis=1)[:, :count]
    ranks = np.sort(places, axis=1) - np.arange(count) + 1
    return np.asarray((np.log2(references + 1) - np.log2(ranks)).mean(axis=1))
