"""Partition `iid`: patients in random order, dealt in turn, so that sites differ in size by one patient at most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.partitions._patients import Patients


@dataclass(frozen=True)
class Iid:
    """No options."""

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
        return (rng.permutation(people.count) % sites)[people.of_row]


build = Iid
