"""Memory of a ServerApp by the number of sites whose replies are there at once: what each of them adds, and the rest.

Rounds, registered grid, signatures, receipts, spool, folding and checkpoint are the real ones, and so is Flower's grid
over HTTP; only its requests are answered from files (see `simulations.bench.stored_replies`).
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.metrics.classes import ClassMeasure
from common.state import AdapterSchema
from server.aggregation.fedavg import build
from server.bounded_replies import bounded_replies, reply_bytes
from server.coordinator.flower_command import GIVE_BACK
from server.events import Event, RoundFinished, RoundStarted, SiteAnswered
from server.job import ServerJob
from server.receipts import Receipts
from server.registered_grid import RegisteredGrid
from server.rounds import run_rounds
from server.state import fresh_state
from simulations.bench.memory import peak_mb, reset_peak, resident_mb
from simulations.bench.messages import adapter
from simulations.bench.stored_replies import RUN, STUDY, StoredGrid, StoredReplies, store_replies
from simulations.inprocess import task_identity

ROUNDS = 2
FEW, MANY = 2, 6
"""Sites."""
TENSORS = 50
PAYLOAD_BYTES = 20 * 2**20

Apart = Callable[..., Any]
"""Calls a function with its arguments in a process of its own, and returns what it returns."""


@dataclass(frozen=True)
class Growth:
    """Payloads above the memory at the begin of round 1: most while replies come in, and most while they are folded."""

    sites: int
    arrivals: float
    folding: float

    @property
    def peak_per_site(self) -> float:
        """The most at any time, per site in flight."""
        return max(self.arrivals, self.folding) / self.sites


def server_memory_figures(apart: Apart) -> Iterator[dict[str, float]]:
    """Measure with few sites and with more."""
    with _as_a_coordinator_starts_it():
        yield figures_of(_measured(apart, FEW), _measured(apart, MANY))


def figures_of(few: Growth, many: Growth) -> dict[str, float]:
    """Return the peak per site in flight, what each further site adds, what no site adds, and what folding takes."""
    added = (many.arrivals - few.arrivals) / (many.sites - few.sites)
    return {
        **{f"server_app_payloads_per_site_{each.sites}_sites": each.peak_per_site for each in (few, many)},
        "server_app_payloads_per_further_site": added,
        "server_app_payloads_beside_sites": few.arrivals - added * few.sites,
        **{f"server_app_payloads_while_folding_{each.sites}_sites": each.folding for each in (few, many)},
    }


@contextmanager
def _as_a_coordinator_starts_it() -> Iterator[None]:
    """Give processes that start in the block what a coordinator gives its own for the allocator."""
    before = {name: os.environ.pop(name, None) for name in GIVE_BACK}
    os.environ.update(GIVE_BACK)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _measured(apart: Apart, sites: int) -> Growth:
    with tempfile.TemporaryDirectory() as out:
        public = apart(prepare, out, sites)
        growth: Growth = apart(measure_growth, out, public)
    return growth


def prepare(folder: str, sites: int) -> dict[str, str]:
    """Store the replies of so many sites; return their public keys."""
    state = adapter(TENSORS, size_bytes=PAYLOAD_BYTES)
    return store_replies(Path(folder, "replies"), state, sites=sites, rounds=ROUNDS)


def measure_growth(folder: str, public: Mapping[str, str]) -> Growth:
    """Play the rounds over stored replies, as `server.flower_app` does."""
    job = _job(Path(folder, "run"), public)
    stages = _Stages(len(public), job.schema.size_bytes / 2**20)
    grid = RegisteredGrid(
        StoredGrid(StoredReplies(Path(folder, "replies"), len(public))),
        lambda: {each.encode(): each for each in public},
    )
    state = replace(fresh_state(adapter(TENSORS, size_bytes=PAYLOAD_BYTES), study=STUDY, seed=0), run=RUN)
    try:
        with task_identity(), bounded_replies(reply_bytes(job.schema)):
            run_rounds(grid, job, state, progress=stages.on_event)
    finally:
        grid.close()
    return stages.growth()


def _job(folder: Path, public: Mapping[str, str]) -> ServerJob:
    return ServerJob(
        study=STUDY,
        schema=AdapterSchema.of(adapter(TENSORS, size_bytes=PAYLOAD_BYTES)),
        measure=ClassMeasure(2),
        strategy=build(),
        sites=tuple(public),
        rounds=ROUNDS,
        seed=0,
        folder=folder,
        deadline_s=120.0,
        only_registered=True,
        keep="best",
        receipts=Receipts(folder / "receipts.jsonl", Ed25519PrivateKey.generate()),
        signers=lambda: public,
    )


class _Stages:
    """Peaks from one event to the next: until the last reply is judged, and from there to the end of the round."""

    def __init__(self, sites: int, payload_mb: float) -> None:
        self._sites, self._payload_mb = sites, payload_mb
        self._begin_mb: float | None = None
        self._left = 0
        self._arrivals: list[float] = []
        self._folding: list[float] = []

    def on_event(self, event: Event) -> None:
        """Take note. Raises ValueError where a reply does not count: then there is nothing to measure."""
        if isinstance(event, RoundStarted):
            self._begin_mb = resident_mb() if self._begin_mb is None else self._begin_mb
            self._left = self._sites
            reset_peak()
        elif isinstance(event, SiteAnswered):
            self._judged(event)
        elif isinstance(event, RoundFinished):
            self._folding.append(peak_mb())

    def _judged(self, event: SiteAnswered) -> None:
        if event.status != "accepted":
            raise ValueError(f"{event.site} was {event.status}: {event.reason}; its reply should have been accepted")
        self._left -= 1
        if not self._left:
            self._arrivals.append(peak_mb())
            reset_peak()

    def growth(self) -> Growth:
        """Return what was seen."""
        begin = self._begin_mb or 0.0
        most = [(max(peaks) - begin) / self._payload_mb for peaks in (self._arrivals, self._folding)]
        return Growth(self._sites, arrivals=most[0], folding=most[1])
