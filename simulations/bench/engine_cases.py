"""What training clients in groups gains over one after the other, by cores, adapter and number of clients.

Each case takes both in turns, in one process and with as many cores. A client takes few steps, so that all cases are
measured in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from client.execution import Execution, limited_threads, resolve
from client.recipe import Recipe
from client.training import train
from common.machine import usable_cores
from simulations.bench.contenders import opened
from simulations.bench.group_members import afresh, members_of, random_members
from simulations.bench.pairs import in_turns, paired
from simulations.engine.engine import Engine
from simulations.engine.plan import Shape, Wanted, plan_groups

if TYPE_CHECKING:
    from common.workbench import Workbench
    from simulations.engine.members import Member

TURNS = 5
STEPS = 2
SHAPES = ((1, 1), (1, 2), (2, 1))
"""Workers, and threads of each."""
ADAPTERS: Mapping[str, Sequence[str]] = {
    "lora_rank_1": ("peft.rank=1",),
    "lora_rank_8": (),
    "lora_rank_64": ("peft.rank=64",),
    "prefix_25": ("peft={method='prefix', virtual_tokens=25}",),
}
CLIENTS: Mapping[str, Sequence[int]] = {"tiny": (1, 4, 16, 64), "minilm": (1, 4, 16)}
TINY_LENGTHS = (6, 9, 12, 7)
MINILM_LENGTHS = tuple(range(18, 34))
"""Of 16 rows, as the heart rows': 25 tokens in the mean."""


@dataclass(frozen=True)
class Case:
    """What is trained, where, and with which threads; workers > 1 have one group each."""

    bench: Workbench
    members: Sequence[Member]
    workers: int = 1
    threads: int = 1
    packs: bool = True

    def grouped(self, engine: Engine) -> None:
        """Train all in as many groups as there are workers."""
        members = {member.name: member for member in afresh(self.members)}
        work = {name: sum(example.length for example in each.examples) for name, each in members.items()}
        groups = plan_groups(work, engine.shape)
        running = [engine.submit(partial(engine.train, members=[members[n] for n in group])) for group in groups]
        for each in running:
            each.result()

    def one_by_one(self) -> None:
        """Train one after the other, with all cores' threads, as a hospital trains."""
        execution = replace(self._execution, threads=self.workers * self.threads)
        with limited_threads(execution.threads):
            for member in afresh(self.members):
                self.bench.write(member.state)
                train(
                    self.bench,
                    member.examples,
                    member.recipe,
                    active=member.active,
                    execution=execution,
                    rng=member.rng,
                    dropout_seed=member.dropout_seed,
                )

    @property
    def _execution(self) -> Execution:
        return resolve(threads=self.threads)

    @contextmanager
    def engine(self, *, packs: bool | None = None) -> Iterator[Engine]:
        """Open an engine that has room for all in one group of each worker."""
        shape = Shape(self.workers, max(2, len(self.members)))
        found = Engine(self.bench, self._execution, shape, packs=self.packs if packs is None else packs)
        try:
            yield found
        finally:
            found.close()


def measure_engine(turns: int = TURNS) -> dict[str, float]:
    """Return the ratios of all cases."""
    return {**_heart(turns), **_clients(turns)}


def _heart(turns: int) -> dict[str, float]:
    """Four hospitals: each shape, each adapter, and packed rows over padded ones."""
    found: dict[str, float] = {}
    for name, overrides in ADAPTERS.items():
        with opened("auto", Wanted(clients=1), overrides) as sites:
            case = Case(sites.bench, members_of(sites, steps=STEPS))
            found |= over_one_by_one(case, f"engine_{name}_grouped_over_one_by_one", turns)
            if name == "lora_rank_8":
                found |= packed_over_padded(case, turns)
                for workers, threads in SHAPES:
                    if workers * threads <= usable_cores():
                        shaped = replace(case, workers=workers, threads=threads)
                        name = f"engine_{workers}x{threads}_grouped_over_one_by_one"
                        found |= over_one_by_one(shaped, name, turns)
    return found


def _clients(turns: int) -> dict[str, float]:
    """Clients of one batch each: of a tiny model, where Python's own time is all, and of MiniLM."""
    found: dict[str, float] = {}
    for model, study, lengths in (("tiny", "quick", TINY_LENGTHS), ("minilm", None, MINILM_LENGTHS)):
        with opened("auto", Wanted(clients=1), study=study) as sites:
            recipe = Recipe(learning_rate=1e-3, batch_size=len(lengths), clip_norm=1.0)
            for clients in CLIENTS[model]:
                case = Case(sites.bench, random_members(sites.bench, clients, recipe, lengths))
                found |= over_one_by_one(case, f"engine_{model}_{clients}_clients_grouped_over_one_by_one", turns)
    return found


def over_one_by_one(case: Case, name: str, turns: int) -> dict[str, float]:
    """Return seconds of a group over those of its clients one after the other."""
    with case.engine() as engine:
        seconds = in_turns({"grouped": partial(case.grouped, engine), "alone": case.one_by_one}, turns)
    return paired(seconds["grouped"], seconds["alone"]).figures(name)


def packed_over_padded(case: Case, turns: int) -> dict[str, float]:
    """Return seconds of rows without padding over those of rows padded to the longest of all."""
    with case.engine(packs=True) as packed, case.engine(packs=False) as padded:
        works: dict[str, Callable[[], None]] = {
            "packed": partial(case.grouped, packed),
            "padded": partial(case.grouped, padded),
        }
        seconds = in_turns(works, turns)
    return paired(seconds["packed"], seconds["padded"]).figures("engine_packed_over_padded")
