"""Partition `quantity`: sites of unequal size, their shares drawn from a symmetric Dirichlet distribution.

One patient each is set aside, so that no site is empty; the others follow the shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulations.partitions._patients import Patients


@dataclass(frozen=True)
class Quantity:
    """alpha > 0: small makes a few large sites, large makes sites of one size."""

    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    def assign(
        self,
        labels: NDArray[np.int64],  # noqa: ARG002 # the seam's argument; labels play no part here
        patients: Sequence[str],
        *,
        sites: int,
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Return each row's site index, int64 (n,)."""
        people = Patients.of(patients, sites=sites)
        shares = rng.dirichlet(np.full(sites, self.alpha))
        sizes = 1 + rng.multinomial(people.count - sites, shares)
        return rng.permutation(np.repeat(np.arange(sites), sizes))[people.of_row]


build = Quantity
