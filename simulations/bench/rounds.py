"""Seconds per round of a study against the bare loop, paired: after each federated round the same batches run bare."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client.execution import resolve
from server.events import Event, RoundFinished, ignore
from simulations import stages
from simulations.bench.bare_loop import BareLoop, Load, load_of, tokenised
from simulations.bench.memory import peak_mb
from simulations.catalogue import base_folder, load
from simulations.engine.plan import Wanted
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites, read_sites


@dataclass(frozen=True)
class RoundTimes:
    """Seconds of each federated round, and of the bare loop right after it."""

    federated: list[float]
    bare: list[float]

    @property
    def best_ratio(self) -> float:
        """Best federated over best bare: what the code costs, with most of the machine's noise taken out of both."""
        return min(self.federated) / min(self.bare)

    @property
    def median_ratio(self) -> float:
        """Median of the pairs."""
        return statistics.median(f / b for f, b in zip(self.federated, self.bare, strict=True))


@contextmanager
def opened(study_name: str, rounds: int) -> Iterator[VirtualSites]:
    """Prepare a run of `study_name` in a folder that goes away."""
    study = load(study_name, overrides=[f"federation.rounds={rounds}"])
    with tempfile.TemporaryDirectory() as out:
        yield stages.start(study, RunFolder(Path(out) / "run"), threads=1, device="cpu", groups=Wanted(clients=1))


def measure_rounds(study_name: str, rounds: int) -> RoundTimes:
    """Run `rounds` rounds in process; the first is warm-up and does not count."""
    with opened(study_name, rounds) as sites:
        loop, loads = _bare(sites, rounds)
        pairs = _Pairs(loop, loads)
        stages.play(sites, runtime="inprocess", progress=pairs.on_event)
    return RoundTimes(pairs.federated[1:], pairs.bare[1:])


def federated_peak_mb(study_name: str, rounds: int) -> float:
    """Return this process's peak memory after `rounds` federated rounds."""
    with opened(study_name, rounds) as sites:
        stages.play(sites, runtime="inprocess", progress=ignore)
    return peak_mb()


def bare_peak_mb(study_name: str, rounds: int) -> float:
    """Return this process's peak memory after as many rounds of the bare loop over the same rows."""
    study = load(study_name)
    with tempfile.TemporaryDirectory() as out:
        base = base_folder(study, Path(out))
        rows = tokenised(study, read_sites(study, Path(out)), base)
        loop = BareLoop(str(base), study, resolve())
        for number in range(1, rounds + 1):
            loop.round(load_of(study, rows, round_number=number))
    return peak_mb()


def _bare(sites: VirtualSites, rounds: int) -> tuple[BareLoop, list[Load]]:
    study = sites.bundle.study
    loop = BareLoop(str(base_folder(study, sites.folder.scratch)), study, sites.execution)
    return loop, [load_of(study, sites.rows, round_number=r) for r in range(1, rounds + 1)]


class _Pairs:
    """Times the bare loop in the pause after each federated round."""

    def __init__(self, loop: BareLoop, loads: list[Load]) -> None:
        self._loop, self._loads = loop, loads
        self.federated: list[float] = []
        self.bare: list[float] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, RoundFinished):
            self.federated.append(event.seconds)
            start = time.perf_counter()
            self._loop.round(self._loads[event.round - 1])
            self.bare.append(time.perf_counter() - start)
