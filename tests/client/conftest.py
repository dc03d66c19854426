"""Sites over the tiny model: trainers on disks of their own, requests, and replies as a trainer makes them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.approval import Approved, approve, read_signed, revoke
from client.budget import FILE as SPENT
from client.budget import Budget
from client.data import Rows
from client.execution import Execution
from client.gate import Gate
from client.hospital import Hospital
from client.initialise import initialise
from client.journal import Journal
from client.policy import Policy, read_policy
from client.policy_text import policy_text
from client.site_folder import SiteFolder
from client.site_rows import prepare_rows
from client.store import SiteStore
from client.table_files import read_raw
from client.trainer import Trainer
from common import endorsement, wire
from common.bundle import Bundle
from common.compressing import compression_of
from common.files import digest_bytes
from common.metrics.classes import ClassMeasure
from common.plugins import register_folder
from common.preparation import prepare
from common.protocol import Answer, Request, RoundPlan, asked_schema
from common.signed_reply import without_signature
from common.study import Study
from common.workbench import Workbench, open_workbench
from simulations.catalogue import rows_path
from simulations.export_sites import csv_of

OPEN = Policy(release_histograms=True, minimum_patients=0, minimum_class_patients=0, patient_id="patient")
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


@pytest.fixture(autouse=True, scope="session")
def declared_plans() -> None:
    """Strategies whose plans are others than the plain one: see `tests/common/plans/samples`."""
    samples = Path(__file__).parents[1] / "common" / "plans" / "samples"
    for package in ("common.plans", "server.aggregation"):  # a study names a strategy that there is, with its options
        register_folder(package, samples)


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
            store=SiteStore(folder, measure=ClassMeasure(len(bundle.study.task.labels)), durable=False),
            gate=Gate(
                site,
                policy,
                bundle.schema,
                Journal(folder / "journal.jsonl", durable=False),
                compression=compression_of(bundle.study.compression),
            ),
        )

    return make


@pytest.fixture(scope="session")
def tiny_resnet(make_random_model: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random model with BatchNorm and convolutions."""
    folder = tmp_path_factory.mktemp("base") / "tiny-resnet"
    make_random_model("resnet").save_pretrained(folder)
    return folder


@pytest.fixture
def make_pixel_trainer(
    make_study: Callable[..., Study], tiny_resnet: Path, site_rows: Mapping[str, Rows], tmp_path: Path
) -> Callable[..., Trainer]:
    """`make_pixel_trainer("section.key=value", ..., site=, home=)`: as `make_trainer`, over that model and pictures."""
    register_folder("common.tasks", Path(__file__).parents[1] / "common" / "tasks" / "samples")

    def make(*overrides: str, site: str = "east", home: str = "") -> Trainer:
        study = make_study(ONE_EPOCH, "task.kind='sample-pixels'", *overrides)
        bundle = prepare(study, tiny_resnet, tmp_path / f"bundle-{digest_bytes(repr(overrides).encode())[-8:]}")
        bench, folder = open_workbench(study, tiny_resnet), tmp_path / (home or site)
        return Trainer(
            name=site,
            bundle=bundle,
            rows=prepare_rows(site_rows[site], bundle.study, bench),
            bench=bench,
            execution=Execution(),
            store=SiteStore(folder, measure=ClassMeasure(len(study.task.labels)), durable=False),
            gate=Gate(site, OPEN, bundle.schema, Journal(folder / "journal.jsonl", durable=False)),
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


@dataclass
class RealSite:
    """A site on its disk, and what a coordinator knows of the study that it signed."""

    folder: SiteFolder
    source: Path
    bundle: Bundle
    base_model: Path
    sign: Callable[..., Bundle]

    def set_policy(self, **changes: Any) -> Policy:
        """Let out much, for the rows here are few, and change these rules."""
        trusted = read_policy(self.folder.policy).coordinators
        policy = Policy(**{**OPEN.model_dump(), "coordinators": trusted, **changes})
        self.folder.policy.write_text(policy_text(policy))
        return policy

    def prepare_other(self, *overrides: str) -> Path:
        """Return the bundle of another study of the same coordinator."""
        place = self.source.with_name("other-bundle")
        self.sign(place, *overrides)
        return place

    def approve(self) -> Approved:
        """Approve the study, as a person would."""
        return approve(self.folder, self.source, read_signed(self.source), read_policy(self.folder.policy))

    def approve_other(self, *overrides: str) -> Bundle:
        """Approve another study, and return its bundle."""
        signed = read_signed(self.prepare_other(*overrides))
        approve(self.folder, self.source.with_name("other-bundle"), signed, read_policy(self.folder.policy))
        return signed.bundle

    def spent(self) -> int:
        """The bytes that the study has been sent."""
        return Budget(self.folder.study_state(self.bundle.digest) / SPENT).spent()

    def revoke(self) -> None:
        """Take the approval back."""
        revoke(self.folder, self.bundle.study.name)

    def journal(self) -> list[tuple[str, str | None]]:
        """Return decision and reason of each line."""
        lines = [json.loads(line) for line in self.folder.journal.read_text().splitlines()]
        return [(line["decision"], line["reason"]) for line in lines if "decision" in line]

    def hospital(self) -> Hospital:
        """The trainer process's object, as after a start."""
        return Hospital(self.folder)

    def sent(self, hospital: Hospital, request: Request) -> Answer:
        """Ask over the wire, in Flower's form."""
        content = wire.encode_request(request, wire.pack_adapter(request.shared, self.bundle.schema))
        return self.read(hospital.respond(request.kind, content), request)

    def read(self, content: wire.Content, request: Request) -> Answer:
        """Read an answer as the server does."""
        asked = asked_schema(self.bundle.schema, request.kind, request.plan)
        sent = compression_of(self.bundle.study.compression).wire_schema(asked)
        return wire.decode_answer(
            without_signature(content), sent, measure=ClassMeasure(len(self.bundle.study.task.labels))
        )


@pytest.fixture
def make_site(
    make_study: Callable[..., Study],
    tiny_model: Path,
    join_file: Path,
    coordinator_key: Ed25519PrivateKey,
    tmp_path: Path,
) -> Callable[..., RealSite]:
    """`make_site("section.key=value", ..., site=)`: a real site, enrolled with a coordinator that signed this study."""

    def sign(place: Path, *overrides: str) -> Bundle:
        bundle = prepare(make_study(ONE_EPOCH, *overrides), tiny_model, place)
        endorsement.endorse(place, bundle, coordinator_key)
        return bundle

    def make(*overrides: str, site: str = "east") -> RealSite:
        source = tmp_path / "bundle"
        bundle = sign(source, *overrides)
        raw = read_raw(rows_path(bundle.study, tmp_path / "scratch"))
        rows = tmp_path / "rows.csv"
        rows.write_bytes(csv_of(raw, [i for i, name in enumerate(raw["site"]) if name == site]))
        folder = SiteFolder(tmp_path / site)
        initialise(folder, site=site, join=join_file, data=rows, base_models=[tiny_model])
        made = RealSite(folder, source, bundle, tiny_model, sign)
        made.set_policy()
        return made

    return make
