"""Clients for the engine apart from any federation: the sites of a run with their rows, or rows of random tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from client.recipe import Recipe, recipe_of
from common.seeds import generator, integer_seed
from common.tasks import Example
from simulations.engine.members import Member

if TYPE_CHECKING:
    from common.workbench import Workbench
    from simulations.virtual import VirtualSites


def members_of(sites: VirtualSites, *, steps: int | None = None) -> list[Member]:
    """Return each site as a client that trains as in round 1, or takes so many steps of it."""
    study, state = sites.bundle.study, sites.bundle.initial
    recipe = replace(recipe_of(study, round_number=1), steps=steps)
    return [
        Member(
            name=name,
            examples=rows.train.examples,
            recipe=recipe,
            state=state,
            active=frozenset(sites.bench.parameters),
            rng=generator(study.seed, round_number=1, site=name, purpose="batches"),
            dropout_seed=integer_seed(study.seed, round_number=1, site=name, purpose="dropout"),
        )
        for name, rows in sorted(sites.rows.items())
    ]


def afresh(members: Sequence[Member]) -> list[Member]:
    """Return the clients with streams of batches of their own, each at a beginning: those of used clients are not."""
    return [replace(member, rng=np.random.default_rng(number)) for number, member in enumerate(members)]


def random_members(bench: Workbench, clients: int, recipe: Recipe, lengths: Sequence[int]) -> list[Member]:
    """Return clients of one batch each, whose rows of random tokens have these lengths."""
    state, names = bench.read(), frozenset(bench.parameters)
    found = []
    for client in range(clients):
        rng = np.random.default_rng(client)
        rows = [Example(tuple(rng.integers(1, 50, size).tolist()), int(rng.integers(2))) for size in lengths]
        found.append(Member(f"client-{client:04d}", rows, recipe, state, names, rng, client))
    return found
