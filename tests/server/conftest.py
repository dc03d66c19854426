"""A small federation for the server's tests: sites whose answers are known, a grid on virtual time."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.app import make_app
from common.compression import Compression
from common.compression.none import UNCOMPRESSED
from common.metrics.classes import ClassMeasure
from common.metrics.types import Metric, Scores
from common.protocol import Answer, Reply, Request, SplitEvaluation
from common.state import AdapterSchema, AdapterState
from server.aggregation.fedavg import FedAvg
from server.closing import Outcome
from server.events import Event
from server.exchange import Clock
from server.job import ServerJob
from server.rounds import run_rounds
from server.session import Session
from server.state import ServerState, fresh_state
from simulations.inprocess import InProcessGrid, task_identity

INITIAL: AdapterState = {
    "a.weight": np.zeros((2, 3), np.float32),
    "b.bias": np.ones(4, np.float32),
    "head.weight": np.zeros(2, np.float32),
}
SCHEMA = AdapterSchema.of(INITIAL, private=["head.*"])
SHARED = {name: INITIAL[name] for name in SCHEMA.shared.names}
STUDY = "sha256:" + "0" * 64


@dataclass
class FakeSite:
    """Moves half of the way to its own target; its validation loss is its distance from it."""

    name: str
    target: float = 1.0
    examples: int = 10
    change: Callable[[Reply, Request], Answer] = lambda reply, request: reply
    asked: list[Request] = field(default_factory=list)
    schema: AdapterSchema = SCHEMA
    compression: Compression = UNCOMPRESSED

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        wanted = () if request.kind == "evaluate" else SCHEMA.shared.only(request.plan.active).names
        update = {n: np.asarray((np.float32(self.target) - request.shared[n]) / np.float32(2)) for n in wanted}
        train = {"loss": self.distance(request), "seconds_train": 0.5} if wanted else {}
        evaluations = {split: SplitEvaluation(self.scores(request)) for split in request.splits}
        return self.change(Reply(update, self.examples, train, evaluations), request)

    def distance(self, request: Request) -> float:
        return float(sum(np.abs(np.float32(self.target) - a).sum() for a in request.shared.values()))

    def scores(self, request: Request) -> Scores:
        values = {"log_loss": self.distance(request), "accuracy": 0.5, "brier": 0.25}
        return Scores(n=4, patients=4, metrics={name: Metric(value, n=4) for name, value in values.items()})


@dataclass
class VirtualTime:
    """A clock whose seconds pass only when someone waits."""

    seconds: float = 0.0

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(
            now=lambda: self.seconds,
            wait=self.wait,
            date=lambda: datetime(2026, 11, 25, 10, tzinfo=UTC) + timedelta(seconds=self.seconds),
        )


@dataclass
class DelayedGrid:
    """Answers of a site arrive `delays[site](round)` seconds after the question; without entry at once.

    away: from when until when a site is not connected.
    """

    inner: InProcessGrid
    sites: tuple[str, ...]
    time: VirtualTime
    delays: Mapping[str, Callable[[int], float]] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    reverse: bool = False
    away: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def get_nodes(self) -> Iterable[Any]:
        nodes = zip(self.sites, self.inner.get_nodes(), strict=True)
        return [node for site, node in nodes if not self.is_away(site)]

    def is_away(self, site: str) -> bool:
        start, end = self.away.get(site, (0.0, 0.0))
        return start <= self.time.seconds < end

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        queue = [m for m in messages if not self.is_away(self.sites[m.metadata.dst_node_id - 2])]
        ids = list(self.inner.push_messages(queue))
        for message_id, message in zip(ids, queue, strict=True):
            site = self.sites[message.metadata.dst_node_id - 2]
            delay = self.delays.get(site, lambda number: 0.0)(int(message.metadata.group_id))
            self.due[message_id] = self.time.seconds + delay
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        ready = [i for i in sorted(message_ids, reverse=self.reverse) if self.due[i] <= self.time.seconds]
        return [reply for i in ready for reply in self.inner.pull_messages([i])]


@dataclass
class Lab:
    """Runs a job over fake sites and keeps what happened."""

    folder: Path
    sites: dict[str, FakeSite]
    events: list[Event] = field(default_factory=list)
    time: VirtualTime = field(default_factory=VirtualTime)
    delays: Mapping[str, Callable[[int], float]] = field(default_factory=dict)
    app: ClientApp | None = None
    named: bool = True
    reverse: bool = False
    away: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def job(self, **changes: Any) -> ServerJob:
        job = ServerJob(
            study=STUDY,
            schema=SCHEMA,
            measure=ClassMeasure(2),
            strategy=FedAvg(),
            sites=tuple(self.sites),
            rounds=3,
            seed=7,
            folder=self.folder,
            deadline_s=None,
            connect_s=None,
        )
        return replace(job, **changes)

    def start(self) -> ServerState:
        return fresh_state(SHARED, study=STUDY, seed=7)

    def run(
        self,
        state: ServerState | None = None,
        progress: Callable[[Event], None] | None = None,
        preflight: Callable[[Session], None] | None = None,
        **changes: Any,
    ) -> Outcome:
        names = tuple(self.sites)
        app = self.app or make_app(self.site_of)
        with task_identity():
            inner = InProcessGrid(app, names, named=self.named)
            grid = DelayedGrid(inner, names, self.time, self.delays, reverse=self.reverse, away=self.away)
            return run_rounds(
                grid,
                self.job(**changes),
                state or self.start(),
                progress=progress or self.events.append,
                clock=self.time.clock,
                preflight=preflight,
            )

    def site_of(self, context: Context) -> FakeSite:
        return list(self.sites.values())[int(context.node_config["partition-id"])]


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    """Make a Lab of named sites with their own targets and example counts; `changes` maps a site to its misdeed."""

    def make(count: int = 4, folder: str = "run", **changes: Callable[[Reply, Request], Answer]) -> Lab:
        names = [f"site-{chr(97 + i)}" if count <= 26 else f"site-{i:04d}" for i in range(count)]
        sites = {name: FakeSite(name, target=float(i + 1), examples=10 * (i + 1)) for i, name in enumerate(names)}
        for name, change in changes.items():
            sites[name.replace("_", "-")].change = change
        return Lab(tmp_path / folder, sites)

    return make


@pytest.fixture(scope="session")
def tracked_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real, short simulation of three sites and two rounds; to be copied by who writes into it."""
    from simulations.run import run

    out = tmp_path_factory.mktemp("tracked") / "run"
    run("quick", out=out, rounds=2, overrides=["training.local_epochs=1", "evaluation.resamples=10"], comparison=False)
    return out


@pytest.fixture
def own_run(tracked_run: Path, tmp_path: Path) -> Path:
    """A copy of it for one test: what tracking reads."""
    wanted = ("events.jsonl", "results.json", "report.html", "bundle", "adapter")
    copied = tmp_path / "run"
    copied.mkdir()
    for name in wanted:
        source = tracked_run / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copied / name)
    return copied
