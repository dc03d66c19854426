"""What a site and round cost beside training on Ray: real messages to workers whose sites answer at once."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from common.state import AdapterSchema
from server.events import Event, RoundFinished
from server.rounds import run_rounds
from server.state import fresh_state
from simulations.bench.messages import Echo, adapter, echo_job, evaluation_of
from simulations.bench.process_tree import Used, tree, used

if TYPE_CHECKING:
    from simulations.on_ray.letters import Answered, Arrays, Letter


class EchoPlayer:
    """A worker whose sites train and score nothing."""

    def __init__(self, size_bytes: int) -> None:
        self._adapter, self._evaluation = adapter(size_bytes=size_bytes), evaluation_of()

    def play(self, letters: Sequence[Letter], *beside: Arrays) -> Iterator[list[Answered]]:
        """Yield replies, as `simulations.on_ray.player` does."""
        from client.app import make_app
        from simulations.inprocess import InProcessGrid, task_identity
        from simulations.on_ray.player import played, together

        state, measured, names = self._adapter, self._evaluation, [letter.site for letter in letters]
        schema = AdapterSchema.of(state)
        client = make_app(lambda c: Echo(names[int(c.node_config["partition-id"])], schema, state, measured))
        with task_identity():
            yield from together(played(InProcessGrid(client, names), letters, beside))


@dataclass(frozen=True)
class RayCost:
    """Milliseconds per site and round, the median of rounds: as lived, and of the CPU over all processes.

    growth_mb: of all processes' own memory from the first half of the rounds to the second, largest of each.
    """

    ms_per_site_round: float
    cpu_ms_per_site_round: float
    server_mb: float
    worker_mb: float
    growth_mb: float


class _Rounds:
    """Looks at the processes after each round."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, dict[int, Used]]] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, RoundFinished):
            self.seen.append((time.perf_counter(), used(tree(os.getpid()))))

    def cost(self, sites: int) -> RayCost:
        times = [when for when, _ in self.seen]
        worked = [sum(each.cpu_s for each in found.values()) for _, found in self.seen]
        own = [sum(each.own_mb for each in found.values()) for _, found in self.seen]
        last = self.seen[-1][1]
        half = len(own) // 2
        return RayCost(
            1000 * _median_step(times) / sites,
            1000 * _median_step(worked) / sites,
            last[os.getpid()].own_mb,
            max(each.own_mb for each in last.values() if each.name.startswith("ray::EchoPlayer")),
            max(own[half:]) - max(own[:half]),
        )


def _median_step(values: Sequence[float]) -> float:
    return statistics.median(after - before for before, after in pairwise(values))


def measure_ray(sites: int, rounds: int, workers: int, size_bytes: int = 300_000) -> RayCost:
    """Run `rounds` rounds over so many echoing sites on Ray; spool, admission, folding and checkpoint included."""
    import ray

    from simulations.engine.plan import Shape
    from simulations.engine.room import MOST_CLIENTS
    from simulations.inprocess import task_identity
    from simulations.on_ray.cluster import started
    from simulations.on_ray.crew import Crew
    from simulations.on_ray.grid import RayGrid

    state, names, looks = adapter(size_bytes=size_bytes), tuple(f"site-{i:05d}" for i in range(sites)), _Rounds()
    player = ray.remote(num_cpus=1)(EchoPlayer)
    with tempfile.TemporaryDirectory() as out, started(cores=workers, gpus=0), task_identity():
        job = echo_job(Path(out), AdapterSchema.of(state), names, rounds)
        with closing(Crew(partial(player.remote, size_bytes), workers, print)) as crew:
            grid = RayGrid(crew, dict.fromkeys(names, 1), Shape(workers, MOST_CLIENTS))
            run_rounds(grid, job, fresh_state(state, study="bench", seed=0), progress=looks.on_event)
    return looks.cost(sites)


def ray_figures(cost: RayCost) -> Mapping[str, float]:
    """Return the figures by name."""
    return {f"ray_{name}": value for name, value in vars(cost).items()}
