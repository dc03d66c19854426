"""Partition `dirichlet`: sites of equal size whose label distributions differ.

Hsu, Qi, Brown 2019, https://arxiv.org/abs/1909.06335, section 3: site j draws q_j ~ Dir(alpha p), where p is the label
distribution of all, and its examples by q_j without replacement. We deal patients (label: the majority of their rows)
and, since the paper gives no order, let the sites draw in turn; a label that has run out is left out of q_j.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulations.partitions._patients import Patients


@dataclass(frozen=True)
class Dirichlet:
    """alpha > 0: near 0 each site has one label, large makes all sites alike."""

    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5

    def assign(
        self, labels: NDArray[np.int64], patients: Sequence[str], *, sites: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return each row's site index, int64 (n,)."""
        people = Patients.of(patients, sites=sites)
        _, label, counts = np.unique(people.majority(labels), return_inverse=True, return_counts=True)
        preferences = rng.dirichlet(self.alpha * counts / people.count, size=sites)
        drawn = draw_in_turn(preferences, counts, rng=rng)
        site = np.empty(people.count, dtype=np.int64)
        for klass in range(len(counts)):
            # Of one label any patient is as good as another: who goes where is a random order.
            site[rng.permutation(np.flatnonzero(label == klass))] = np.flatnonzero(drawn == klass) % sites
        return site[people.of_row]


def draw_in_turn(
    preferences: NDArray[np.float64], counts: NDArray[np.int64], *, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the label of each draw, (sum(counts),); draw k is made by site k mod sites.

    preferences: (sites, labels), each row a distribution. counts: (labels,), how often each label is there.
    """
    left = counts.copy()
    drawn = np.empty(int(counts.sum()), dtype=np.int64)
    for k in range(len(drawn)):
        weights = preferences[k % len(preferences)] * (left > 0)
        if weights.sum() == 0:  # nothing that this site wants is left
            weights = left.astype(np.float64)
        cumulative = np.cumsum(weights)
        drawn[k] = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
        left[drawn[k]] -= 1
    return drawn


build = Dirichlet
