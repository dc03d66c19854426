"""What a strategy may ask sites to train: declarations that sites know too, since they never see a strategy.

The study that a site approves names the strategy and its options; a file here, named as the strategy's in
`server/aggregation`, turns these into what a plan of each round may be. The trainer refuses any other plan. A strategy
without a file here makes the plain plan only: all shared tensors, no proximal term. A file has `build`, a frozen
dataclass whose fields are those of the strategy's options that its plans depend on, and which is a `Declaration`. A
researcher's own strategy (`--plugins`) has it in its one file, as `declaration`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from common.protocol import RoundPlan
from common.state import AdapterSchema
from common.unfreezing import matching

Patterns = tuple[str, ...]
"""fnmatch patterns of names of tensors."""
ALL: Final[Patterns] = ("*",)


@dataclass(frozen=True)
class Foreseen:
    """What a plan of one round may be, at one site.

    active: the sets of shared tensors that may be trained, each by its patterns: a plan names exactly one of them.
    frozen: patterns of what is taken out of each set. proximal_mu: the weight of FedProx' term. rank: the LoRA rank of
    this site, None is the study's; with `shrinks` also any lower one. extra: what else the plan says, names
    and figures. carries: whether there may be a low-rank change beside the adapter (`common.carried`), in each layer of
    at most `carried_rank` where that is given. within: what the study has
    unfrozen in this round; each of the sets is cut down to it.

    >>> Foreseen(active=(("*.lora_B.*", "head.*"),), proximal_mu=0.1).proximal_mu
    0.1
    """

    active: tuple[Patterns, ...] = (ALL,)
    frozen: Patterns = ()
    proximal_mu: float = 0.0
    rank: int | None = None
    shrinks: bool = False
    carries: bool = False
    carried_rank: int | None = None
    extra: frozenset[tuple[str, float]] = frozenset()
    within: Patterns = ALL

    def allows(self, plan: RoundPlan, shared: AdapterSchema) -> bool:
        """Whether this is one of the plans that were declared; `shared` has the tensors that travel."""
        asked = frozenset(shared.names if plan.active is None else plan.active)
        return (
            asked in map(frozenset, self.choices(shared))
            and plan.proximal_mu == self.proximal_mu
            and self._allows_rank(plan.rank)
            and frozenset(plan.extra.items()) == self.extra
        )

    def _allows_rank(self, rank: int | None) -> bool:
        if not self.shrinks or rank is None:
            return rank == self.rank
        return rank >= 1 and (self.rank is None or rank <= self.rank)

    def choices(self, shared: AdapterSchema) -> Iterator[tuple[str, ...]]:
        """Yield the names of each set that may be trained; a set of none is no choice."""
        for patterns in self.active:
            frozen = frozenset(matching(shared.names, self.frozen))
            names = matching([n for n in matching(shared.names, patterns) if n not in frozen], self.within)
            if names:
                yield names


class Declaration(Protocol):
    """What a file of this folder builds from a strategy's options."""

    def foresee(self, round_number: int, site: str) -> Foreseen:
        """Return what a plan of this round (counted from 1) may be at `site`."""
        ...
