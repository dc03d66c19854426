"""What a client and round cost beside training and scoring, over ever more clients of `cross-device`, in process.

Real messages, gates, stores, journals, spool, folding, checkpoints, and the engine's groups, whose training is one
addition. What their scoring costs is measured apart, on the same rows, and taken off.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from client.execution import limited_threads
from client.scoring import score
from client.training import Trained
from common.state import AdapterState
from common.study import Study
from server.events import Event, RoundFinished, RoundStarted
from simulations import stages
from simulations.bench.memory import peak_mb, reset_peak, resident_mb
from simulations.catalogue import load
from simulations.engine.engine import Engine
from simulations.engine.group import GroupTrained
from simulations.engine.members import Member
from simulations.engine.plan import Shape
from simulations.engine.replica import Replica
from simulations.engine.room import MOST_CLIENTS
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites

SIZES: Final = ((1, 1), (10, 10), (100, 100), (1000, 1000), (1000, 10_000))
"""Clients of a round, and of the study."""
ROUNDS: Final = 4


class Unmoving(Engine):
    """An engine whose training adds a little to one tensor, so that no norm is 0, and says that one step was made."""

    def train(self, replica: Replica, members: Sequence[Member]) -> dict[str, GroupTrained]:  # noqa: ARG002 # the engine's
        """Return at once."""
        return {member.name: GroupTrained(Trained(0.5, 1, 1.0), _moved(member)) for member in members}


def _moved(member: Member) -> AdapterState:
    name = min(member.active)
    return {**member.state, name: np.add(member.state[name], 1e-3, dtype=np.float32)}


@dataclass
class RoundCosts:
    """Of each round: ms per client beyond scoring, on the clock and of the processor; MB held."""

    sites: VirtualSites
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    _cohort: tuple[str, ...] = ()
    _start: tuple[float, float] = (0.0, 0.0)

    def on_event(self, event: Event) -> None:
        """Take the time of each training round."""
        if isinstance(event, RoundStarted) and event.kind == "evaluate":
            raise _EnoughError
        if isinstance(event, RoundStarted):
            self._cohort, self._start = event.cohort, _now()
        elif isinstance(event, RoundFinished):
            worked, scored = _since(self._start), self._scoring()
            self.wall.append(1000 * (worked[0] - scored[0]) / len(self._cohort))
            self.cpu.append(1000 * (worked[1] - scored[1]) / len(self._cohort))
            self.resident.append(resident_mb())

    def _scoring(self) -> tuple[float, float]:
        start, execution = _now(), self.sites.execution
        with limited_threads(execution.threads):
            for site in self._cohort:
                score(self.sites.bench, self.sites.rows[site].validation.examples, execution=execution)
        return _since(start)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = _now()
    return wall - start[0], cpu - start[1]


class _EnoughError(Exception):
    """The rounds are played; the closing evaluation of all clients is not."""


def measure_clients(cohort: int, of: int) -> Mapping[str, float]:
    """Return the least ms per client of ROUNDS rounds, the peak MB of the rounds, and by how many MB they grew."""
    with tempfile.TemporaryDirectory() as out:
        sites = stages.start(_study(cohort, of), RunFolder(Path(out) / "run"), threads=1, device="cpu")
        costs = RoundCosts(sites)
        reset_peak()
        with suppress(_EnoughError):
            stages.play(replace(sites, engine=_unmoving(sites)), runtime="inprocess", progress=costs.on_event)
        peak = peak_mb()
    growth = costs.resident[-1] - costs.resident[0]
    return {"ms": min(costs.wall), "cpu_ms": min(costs.cpu), "peak_mb": peak, "growth_mb": growth}


def _study(cohort: int, of: int) -> Study:
    names = ",".join(f'"practice-{number:05d}"' for number in range(of))
    federation = (f"rounds={ROUNDS}", f"fraction={cohort / of}", f"sites=[{names}]")
    return load("cross-device", overrides=[f"federation.{each}" for each in federation])


def _unmoving(sites: VirtualSites) -> Unmoving:
    """One worker, so that its scoring takes as long as when it is measured apart."""
    clients = MOST_CLIENTS if sites.engine is None else sites.engine.shape.clients
    return Unmoving(sites.bench, sites.execution, Shape(1, clients), packs=False)


def clients_figures(apart: Callable[..., Mapping[str, float]]) -> Iterator[Mapping[str, float]]:
    """Yield the figures of each size."""
    for cohort, of in SIZES:
        found = apart(measure_clients, cohort, of)
        yield {f"clients_{name}_{cohort}_of_{of}": value for name, value in found.items()}
