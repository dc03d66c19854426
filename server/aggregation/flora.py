"""FLoRA: the sites' products are stacked beside the adapter, and every round begins with a new pair.

Wang et al. 2024, "FLoRA: Federated Fine-Tuning Large Language Models with Heterogeneous Low-Rank Adaptations",
https://arxiv.org/abs/2409.05976. With B_k (m, r_k) and A_k (r_k, n),

    sum_k p_k B_k A_k = [p_1 B_1 ... p_K B_K] [A_1; ...; A_K],    then B <- 0 and A drawn anew.

The paper has sites add the product to the base weights. Here it is carried as low-rank factors beside the adapter
(`common.carried`): added to what is carried already, in the fewest ranks, of which there are at most min(m, n). The
weights are those of a round's participants and add up to 1. A is drawn as peft does, uniformly within 1/sqrt(fan-in),
from a stream of its own for each layer and for the A that sites received: of the first A, which the study's seed made,
all others follow. `redraw = false` keeps the first A.

Exact with `carried_rank` unset, but for the rounding to float32; with it, each layer carries the best approximation of
that rank, and sqrt(sum of the dropped sigma_i^2) is lost in each round. Since B begins at 0 in every round, the first
step moves B only, and few local steps are worth less than with other rules.

Up r_k (m + n) values per layer and site, down r_k (m + n) and what is carried after t rounds, min(m, n, t K r) (m + n).
The server: O((m + n) R^2), R = sum_k r_k and what is carried. One scale s holds at all sites, whatever their rank, and
cancels. Needs each site's update, so not with secure aggregation; not where A or B is private.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from common.carried import CARRIED, split_carried
from common.foreseen import first_plan
from common.lora_pairs import Pair
from common.plans.flora import build as declaration
from common.protocol import RoundPlan
from common.seeds import generator
from common.state import AdapterSchema, AdapterState, Array, digest_state
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.carrying import carried_after
from server.low_rank import compressed, stacked
from server.mean import moved
from server.trained_pairs import Combined, Layer, combined, own_pairs


@dataclass(frozen=True)
class FLoRA:
    """redraw: draw A anew after each round. carried_rank: the most ranks that a layer carries; None is all, exact."""

    redraw: bool = True
    carried_rank: Annotated[int, Field(ge=1)] | None = None

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n) + min(m, n, t*K*r)*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Exact, of equal sites too, where all ranks are carried."""
        whole: frozenset[Claim] = frozenset({"exact", "consensus", "additive", "ranks"})
        return whole if self.carried_rank is None else whole - {"exact", "consensus"}

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return first_plan(declaration(self.carried_rank).foresee(round_number, site), shared)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return B's way back to 0, and in `extra` the stack of products."""
        return combined(tuple(updates), state, _stack)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the stack to what is carried, and begin with a new pair."""
        own = moved(split_carried(state)[0], mean.update)
        drawn = new_first_factors(state, mean) if self.redraw else {}
        return {**own, **drawn, **carried_after(state, mean.extra, rank=self.carried_rank)}, memory


def _stack(layer: Layer) -> Combined:
    product = compressed(*stacked(layer.products, layer.shares))
    return Combined(np.zeros_like(layer.b), layer.a, product)


def new_first_factors(state: AdapterState, mean: Mean) -> Mapping[str, Array]:
    """Return A anew for each layer whose product went to what is carried."""
    return {pair.a: _drawn(pair, state[pair.a]) for pair in own_pairs(state) if CARRIED + pair.a in mean.extra}


def _drawn(pair: Pair, received: Array) -> Array:
    """Return peft's first A, Kaiming-uniform with a = sqrt(5): uniform within 1 / sqrt(fan-in).

    The server's half of a strategy has no seed, but what sites received has come from the study's.
    """
    bound = 1.0 / np.sqrt(prod(received.shape[1:]))
    seed = int(digest_state({pair.a: received}).removeprefix("sha256:"), 16)
    rng = generator(seed, purpose=f"flora {pair.layer}")
    return np.asarray(rng.uniform(-bound, bound, size=received.shape).astype(received.dtype))


build = FLoRA
