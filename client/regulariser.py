"""The seam of regularisers: what local training adds to the loss of the rows, beside FedProx' term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Regulariser(Protocol):
    """One term, made afresh for each round."""

    def term(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return the scalar to add to the mean loss of these training rows, whose logits are given."""
        ...
