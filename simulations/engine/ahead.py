"""A round's clients computed ahead, in groups: when a message asks a site to train, what came of it is there.

What a grid is about to hand to its sites is looked at first: who is to train from what, who is to be scored. Groups
are trained by the engine's workers, so many at a time as there are workers and one more, and each site's trainer then
finds its own part (`client.site_work.SiteWork`). Whoever is not found computes here and now, as a hospital does; so do
the clients of a group that cannot be computed as one: what is wrong with one's rows is then its alone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from client.execution import Execution
from client.round_training import RoundWork, batches_rng, dropout_seed, trained_names
from client.scoring import score
from client.site_work import HERE_AND_NOW
from client.steps import Setting, Step
from client.training import Trained
from common.carried import split_carried
from common.errors import CheckpointError, RefusedError
from common.protocol import Request, Split
from common.state import AdapterState
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations.engine.engine import Engine
from simulations.engine.first_rounds import Learned, read_learned, write_learned
from simulations.engine.layout import CannotGroupError
from simulations.engine.members import Member
from simulations.engine.plan import plan_groups
from simulations.engine.replica import Replica

if TYPE_CHECKING:
    from client.trainer import Trainer

LOG = logging.getLogger("fedpeft")
_NOT_AS_ONE: Final = (CannotGroupError, RuntimeError, IndexError, ValueError)
"""What a batch raises that the model, or a grouped form, cannot take; torch's own errors are the three builtin ones."""


@dataclass(frozen=True)
class Asked:
    """A site that a message waits for, and what it asks."""

    trainer: Trainer
    request: Request

    @property
    def is_answered(self) -> bool:
        """Whether the site would only give an earlier answer again."""
        try:
            return self.trainer.store.find(self.request) is not None
        except (RefusedError, CheckpointError):  # which the site says itself, when it is asked
            return True


Scores = Mapping[Split, NDArray[np.float64]]


@dataclass(frozen=True)
class Begun:
    """What a worker computes for a group, by site: first scores, then, of those that train, what they learned."""

    scored: Future[Mapping[str, Scores]]
    learned: Future[Mapping[str, Learned]]


@dataclass
class Ahead:
    """The groups that the sites which are asked are in, begun in their order."""

    engine: Engine
    _waiting: deque[tuple[Asked, ...]] = field(default_factory=deque)
    _begun: dict[str, Begun] = field(default_factory=dict)

    def expect(self, asked: Iterable[Asked]) -> list[str]:
        """Plan for the sites that are asked; return the names of those in groups, in the order of the groups."""
        by_name = {each.trainer.name: each for each in asked if can_be_grouped(each)}
        work = {name: each.trainer.rows.train.tokens for name, each in by_name.items()}
        chunks = plan_groups(work, self.engine.shape)
        groups = [group for chunk in chunks for group in _alike([by_name[name] for name in chunk])]
        self._waiting = deque(tuple(by_name[name] for name in group) for group in groups)
        self._begun = {}
        return [name for group in groups for name in group]

    def scores(self, name: str) -> Scores:
        """Return the scores of a site since it was asked; none where nothing was computed."""
        begun = self._of(name)
        return {} if begun is None else begun.scored.result().get(name, {})

    def learned(self, name: str) -> Learned | None:
        """Return what a site learned since it was asked; None where nothing was computed."""
        begun = self._of(name)
        return None if begun is None else begun.learned.result().get(name)

    def done(self, name: str) -> None:
        """Forget a site: it has answered."""
        self._begun.pop(name, None)

    def _of(self, name: str) -> Begun | None:
        self._begin()
        while name not in self._begun and any(name == each.trainer.name for group in self._waiting for each in group):
            self._begin_next()
        return self._begun.get(name)

    def _begin(self) -> None:
        """Have the workers busy and one group more wait for them; what is done waits for its sites to be handled."""
        while self._waiting and len({id(begun) for begun in self._begun.values()}) <= self.engine.shape.workers:
            self._begin_next()

    def _begin_next(self) -> None:
        group = self._waiting.popleft()
        if not all(each.is_answered for each in group):
            scored: Future[Mapping[str, Scores]] = Future()
            learned = self.engine.submit(partial(_compute, self.engine, group, scored))
            begun = Begun(scored, learned)
            self._begun |= {each.trainer.name: begun for each in group}


@dataclass
class WorkAhead:
    """What computes for one site: it was computed ahead, or is now, and only then is the workbench used."""

    ahead: Ahead
    name: str
    _received: AdapterState = field(default_factory=dict)
    _learned: AdapterState | None = None
    _is_in_bench: bool = False

    def receive(self, state: AdapterState, bench: Workbench) -> None:  # noqa: ARG002 # the seam's
        """Keep it, should something be computed now."""
        self._received, self._learned, self._is_in_bench = state, None, False

    def learned(self, bench: Workbench) -> AdapterState:
        """Return the state that training has led to."""
        return bench.read() if self._learned is None else self._learned

    def _now_in(self, bench: Workbench) -> None:
        if not self._is_in_bench:
            bench.write(self._received)
        self._is_in_bench = True

    def train(
        self,
        work: RoundWork,
        bench: Workbench,
        examples: Sequence[AnyExample],
        *,
        execution: Execution,
        setting: Setting,
    ) -> Trained:
        """Train, or tell of each step of it. Raises RefusedError("TRAINING_DIVERGED")."""
        found = self.ahead.learned(self.name)
        if found is None:
            self._now_in(bench)
            return HERE_AND_NOW.train(work, bench, examples, execution=execution, setting=setting)
        self._learned = found.outcome.state
        if setting.after_step is not None:
            for step in found.steps:
                setting.after_step(step)
        if found.outcome.trained is None:
            raise RefusedError("TRAINING_DIVERGED")
        return found.outcome.trained

    def score(
        self, split: Split, bench: Workbench, examples: Sequence[AnyExample], *, execution: Execution
    ) -> NDArray[np.float64]:
        """Return scores (n, width) of one split's examples."""
        scores = self.ahead.scores(self.name)
        if split not in scores:
            self._now_in(bench)
            return HERE_AND_NOW.score(split, bench, examples, execution=execution)
        return scores[split]


def can_be_grouped(asked: Asked) -> bool:
    """Whether a request is of the kind that groups are made of: nothing is added to the loss, or to the base model."""
    if asked.request.kind == "evaluate":
        return True
    return not asked.request.plan.extra and not split_carried(asked.request.shared)[1]


def _alike(chunk: Sequence[Asked]) -> list[tuple[str, ...]]:
    """Return the names of sites apart by which tensors they train: those of a group train the same."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for each in chunk:
        trains = each.request.kind == "train"
        active = tuple(sorted(trained_names(each.trainer.bundle, each.request))) if trains else ()
        found[active] = (*found.get(active, ()), each.trainer.name)
    return [found[active] for active in sorted(found)]


def _compute(
    engine: Engine, group: Sequence[Asked], scored: Future[Mapping[str, Scores]], replica: Replica
) -> Mapping[str, Learned]:
    """Compute for a group in a worker's thread; nothing where that fails, so that each of its sites computes alone."""
    try:
        return _computed(engine, group, scored, replica)
    except _NOT_AS_ONE as error:
        LOG.warning("%d clients cannot be computed as one (%s) and go one by one", len(group), type(error).__name__)
        if not scored.done():
            scored.set_result({})
        return {}
    except BaseException as error:
        if not scored.done():
            scored.set_exception(error)
        raise


def _computed(
    engine: Engine, group: Sequence[Asked], scored: Future[Mapping[str, Scores]], replica: Replica
) -> Mapping[str, Learned]:
    """Score what each site of a group received on its own rows, then train those that train."""
    states = _states(group)
    group = [each for each in group if each.trainer.name in states]
    scored.set_result(_scores(engine, replica, group, states))
    place = None
    if engine.first_rounds is not None:
        place = engine.first_rounds.place(group, states, engine.execution, packs=engine.packs)
    found = None if place is None else read_learned(place)
    if found is None:
        found = _learn(engine, group, states, replica)
        if place is not None:
            write_learned(place, found)
    return found


def _learn(
    engine: Engine, group: Sequence[Asked], states: Mapping[str, AdapterState], replica: Replica
) -> dict[str, Learned]:
    steps: dict[str, list[Step]] = {each.trainer.name: [] for each in group}
    members = [_member(each, states, steps) for each in group if each.request.kind == "train"]
    outcomes = engine.train(replica, members) if members else {}
    return {name: Learned(outcome, steps[name]) for name, outcome in outcomes.items()}


def _states(group: Sequence[Asked]) -> Mapping[str, AdapterState]:
    """Return what each site begins with, but for one that cannot read its own, which fails alone when it is asked."""
    found = {}
    for each in group:
        with suppress(CheckpointError):
            found[each.trainer.name] = each.trainer.state_before(each.request)
    return found


def _scores(
    engine: Engine, replica: Replica, group: Sequence[Asked], states: Mapping[str, AdapterState]
) -> dict[str, Scores]:
    """Return each site's scores of the splits that are asked for: those that it has when it computes them alone."""
    found: dict[str, Scores] = {}
    written: AdapterState = {}
    for each in group:
        name, splits = each.trainer.name, each.request.splits
        if splits and not _are_same(states[name], written):
            replica.bench.write(states[name])
            written = states[name]
        parts = {split: each.trainer.rows.part(split) for split in splits}
        found[name] = {s: score(replica.bench, part.examples, execution=engine.execution) for s, part in parts.items()}
    return found


def _are_same(left: AdapterState, right: AdapterState) -> bool:
    """Whether two states hold the very same arrays: those of a round's message, where a site adds none of its own."""
    return left.keys() == right.keys() and all(array is right[name] for name, array in left.items())


def _member(asked: Asked, states: Mapping[str, AdapterState], steps: Mapping[str, list[Step]]) -> Member:
    """Return a site's part in a group, with the streams of random numbers that it has alone."""
    work = asked.trainer.round_work(asked.request)
    return Member(
        name=work.site,
        examples=asked.trainer.rows.train.examples,
        recipe=work.recipe,
        state=states[work.site],
        active=work.active,
        rng=batches_rng(work),
        dropout_seed=dropout_seed(work),
        private=work.private,
        after_step=lambda step, _: steps[work.site].append(step),
        update_norms=asked.trainer.step_log is not None,
    )
