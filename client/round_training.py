"""The training of one round at a site, from everything that fixes it: the same in each of a site's processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from client.execution import Execution
from client.recipe import Recipe
from client.regulariser import regularisers_of
from client.steps import Setting
from client.tail_penalty import tail_penalties
from client.training import Trained, train
from common.bundle import Bundle
from common.protocol import Request, asked_schema
from common.seeds import generator, integer_seed
from common.state import AdapterState
from common.study_regulariser import RegulariserSection
from common.tasks import AnyExample
from common.unfreezing import matching, patterns_in
from common.workbench import Workbench


@dataclass(frozen=True)
class RoundWork:
    """What a site trains in one round.

    site, seed: of the streams of random numbers. active: names of the tensors that are trained, `private` those that
    stay. initial: the study's initial adapter at the site's rank, where a regulariser is anchored. rank: the site's
    own, None is the study's. extra: what else the plan says (`client.plan_extras`).
    """

    site: str
    seed: int
    recipe: Recipe
    active: frozenset[str]
    private: tuple[str, ...]
    regulariser: RegulariserSection | None
    initial: AdapterState
    rank: int | None = None
    extra: Mapping[str, float] = field(default_factory=dict)


def trained_names(bundle: Bundle, request: Request) -> frozenset[str]:
    """Return the names of the tensors that a request to train has a site train: of those it keeps, the unfrozen."""
    asked = asked_schema(bundle.schema, request.kind, request.plan).names
    unfrozen = patterns_in(bundle.study.training.unfreeze, request.round)
    return frozenset({*asked, *matching(bundle.schema.private.names, unfrozen)})


def train_round(
    work: RoundWork, bench: Workbench, examples: Sequence[AnyExample], *, execution: Execution, setting: Setting
) -> Trained:
    """Train what is in the workbench, in place; batches are the same in every process, dropout is each one's own."""
    rank = setting.place.rank
    regularisers = regularisers_of(
        work.regulariser,
        bench,
        examples,
        initial=work.initial,
        active=work.active,
        execution=execution,
        rng=generator(work.seed, site=work.site, purpose="regulariser"),
    )
    tails = tail_penalties(work.extra, bench.parameters, work.rank)
    return train(
        bench,
        examples,
        work.recipe,
        active=work.active,
        private=work.private,
        execution=execution,
        rng=batches_rng(work),
        dropout_seed=dropout_seed(work, rank),
        setting=replace(setting, regularisers=(*regularisers, *tails)),
    )


def dropout_seed(work: RoundWork, rank: int = 0) -> int:
    """Return what dropout is drawn from in this round, in the site's process of this number."""
    purpose = f"dropout {rank}" if rank else "dropout"
    return integer_seed(work.seed, round_number=work.recipe.round_number, site=work.site, purpose=purpose)


def batches_rng(work: RoundWork) -> np.random.Generator:
    """Return what the round's batches are drawn from, the same in each of a site's processes."""
    return generator(work.seed, round_number=work.recipe.round_number, site=work.site, purpose="batches")
