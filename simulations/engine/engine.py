"""The engine of a simulation: groups of clients, trained side by side by threads that share one base model's tensors.

torch computes outside of Python's lock, and on a CPU a backward pass runs in the thread that asks for it: so threads
scale as processes do, and load nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from client.execution import Execution
from common.workbench import Workbench
from simulations.engine.first_rounds import FirstRounds
from simulations.engine.group import GroupTrained, train_group
from simulations.engine.members import Member
from simulations.engine.plan import Shape
from simulations.engine.replica import Replica, replica_of

T = TypeVar("T")


class StoppedError(Exception):
    """The run was ended while a group trained."""


@dataclass
class Engine:
    """Trains groups over `bench`, whose frozen tensors all workers share. packs: whether rows go without padding.

    first_rounds: where groups' first rounds are kept for other runs, and taken from.
    """

    bench: Workbench
    execution: Execution
    shape: Shape
    packs: bool
    first_rounds: FirstRounds | None = None
    _replicas: SimpleQueue[Replica] = field(default_factory=SimpleQueue, init=False)
    _stopping: Event = field(default_factory=Event, init=False)
    _pool: ThreadPoolExecutor | None = field(default=None, init=False)

    def train(self, replica: Replica, members: Sequence[Member]) -> dict[str, GroupTrained]:
        """Train one group, in the thread of a worker."""
        return train_group(replica, members, self.execution, packs=self.packs, check_stop=self._check)

    def submit(self, work: Callable[[Replica], T]) -> Future[T]:
        """Have a worker do something with a model of its own."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.shape.workers, "fedpeft-engine")
            for _ in range(self.shape.workers):
                self._replicas.put(replica_of(self.bench))
        return self._pool.submit(self._with_replica, work)

    def _with_replica(self, work: Callable[[Replica], T]) -> T:
        import torch

        self._check()
        torch.set_num_threads(self.execution.threads)  # of this thread: torch keeps the number by thread
        replica = self._replicas.get()
        try:
            return work(replica)
        finally:
            self._replicas.put(replica)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise StoppedError

    @cached_property
    def one_worker(self) -> Engine:
        """The same for a process that is itself one of the workers."""
        return Engine(self.bench, self.execution, replace(self.shape, workers=1), self.packs)

    def close(self) -> None:
        """End the workers at the step that they are at."""
        self._stopping.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._replicas, self._stopping = None, SimpleQueue(), Event()
