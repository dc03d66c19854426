"""How rows without a site column go to virtual sites: one file is one way.

A partition module has `build`, a frozen dataclass of the options that is a `Partition`.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Partition(Protocol):
    """What a partition file's `build` makes."""

    def assign(
        self, labels: NDArray[np.int64], patients: Sequence[str], *, sites: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return each row's site index, int64 (n,): all rows of a patient at one site, and a patient at every site.

        labels: class indices (n,). patients: ids (n,). Raises DataError where there are fewer patients than sites.
        """
