"""Sites over the tiny model: trainers on disks of their own, requests, and replies as a trainer makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from client.data import Rows
from client.execution import Execution
from client.gate import Gate, Policy
from client.journal import Journal
from client.store import SiteStore
from client.trainer import Trainer, prepare_rows
from common.bundle import Bundle
from common.protocol import Request, RoundPlan
from common.workbench import Workbench

OPEN = Policy(release_histograms=True, minimum_patients=0)
"""The sites here are small: a real site would withhold their metrics."""
ONE_EPOCH = "training.local_epochs=1"


@dataclass
class Counting:
    """A task that counts how often a loss was asked for, which only training does."""

    inner: Any
    losses: int = 0

    def loss(self, logits: Any, batch: Any) -> Any:
        self.losses += 1
        return self.inner.loss(logits, batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def make_trainer(
    make_bundle: Callable[..., Bundle],
    open_bench: Callable[..., Workbench],
    site_rows: Mapping[str, Rows],
    tmp_path: Path,
) -> Callable[..., Trainer]:
    """`make_trainer("section.key=value", ..., site=, policy=, home=)`: a site as it is after a start, on its disk."""

    def make(*overrides: str, site: str = "east", policy: Policy = OPEN, home: str = "") -> Trainer:
        bundle = make_bundle(ONE_EPOCH, *overrides)
        bench = open_bench(ONE_EPOCH, *overrides)
        folder = tmp_path / (home or site)
        return Trainer(
            name=site,
            bundle=bundle,
            rows=prepare_rows(site_rows[site], bundle.study, bench),
            bench=replace(bench, task=Counting(bench.task)),  # type: ignore[arg-type] # all that a task has, by delegation
            execution=Execution(),
            store=SiteStore(folder, classes=len(bundle.study.task.labels), durable=False),
            gate=Gate(site, policy, bundle.schema, Journal(folder / "journal.jsonl", durable=False)),
        )

    return make


@pytest.fixture(scope="session")
def ask() -> Callable[..., Request]:
    """`ask(bundle, round=2, ...)`: a request to train from the initial adapter, with these fields in place."""

    def make(bundle: Bundle, **changes: Any) -> Request:
        request = Request(
            kind="train",
            run="run-1",
            round=1,
            seed=0,
            study=bundle.study.digest,
            schema=bundle.schema.digest,
            plan=RoundPlan(),
            splits=("validation",),
            shared={name: bundle.initial[name] for name in bundle.schema.shared.names},
        )
        return replace(request, **changes)

    return make


@pytest.fixture(scope="session")
def ask_closing(ask: Callable[..., Request]) -> Callable[..., Request]:
    """`ask_closing(bundle, ...)`: the one request of a study with `keep = "last"` that scores test rows."""

    def make(bundle: Bundle, **changes: Any) -> Request:
        end = bundle.study.federation.rounds + 1
        return ask(bundle, **{"kind": "evaluate", "round": end, "splits": ("validation", "test"), **changes})

    return make
