"""HetLoRA's self-pruning term: L + lambda sum ||B[:, g r:]||_F ||A[g r:, :]||_F over the pairs, of this site's rank r.

Cho et al. 2024, https://arxiv.org/abs/2401.06432, section 3.3: the last ranks shrink where the site's rows do not need
them, and the server may then give the site fewer. lambda is the plan's `tail_penalty`, g its `tail_share`; where the
tail begins is `common.rank_slices.tail_start`, for both sides, of the site's largest rank: a layer with fewer ranks has
a shorter tail or none. Norms of zeros have the gradient 0 here, so that ranks which are not the site's stay zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.plan_extras import TAIL_PENALTY, TAIL_SHARE
from common.lora_pairs import pairs_of
from common.rank_slices import tail_start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from client.regulariser import Regulariser


@dataclass(frozen=True)
class TailPenalty:
    """The term over tails, each as A (rank, in, ...), B (out, rank, ...), and the ranks from which to which it goes."""

    weight: float
    tails: tuple[tuple[nn.Parameter, nn.Parameter, slice], ...]

    def term(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:  # noqa: ARG002 # the seam's arguments
        """Return the penalty, which is of the parameters and no row."""
        import torch

        return self.weight * torch.stack([a[tail].norm() * b[:, tail].norm() for a, b, tail in self.tails]).sum()


def tail_penalties(
    extra: Mapping[str, float], parameters: Mapping[str, nn.Parameter], rank: int | None
) -> tuple[Regulariser, ...]:
    """Return the term that a plan's extra figures ask for, none where they do not.

    rank: the site's own; None is the largest of a layer. The server reckons with one rank per site too.
    """
    pairs = pairs_of(parameters)
    if not extra.get(TAIL_PENALTY) or not pairs:
        return ()
    found = [(parameters[pair.a], parameters[pair.b]) for pair in pairs]
    largest = max(len(a) for a, _ in found)
    own = largest if rank is None else min(rank, largest)
    start = tail_start(own, extra[TAIL_SHARE])
    return (TailPenalty(extra[TAIL_PENALTY], tuple((a, b, slice(start, min(own, len(a)))) for a, b in found)),)
