"""A live coordinator and a live site, to be attacked.

The site's SuperNode and gateway are real processes, as is everything of the coordinator; the trainer's socket is served
by this process, so that a test chooses what stands behind it.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from client.approval import approve, read_signed
from client.hospital import Hospital
from client.initialise import enrolment_path, initialise
from client.policy import read_policy
from client.ports import choose_ports, read_ports
from client.processes import site_programs
from client.service import serve
from client.site_folder import SiteFolder
from client.table_files import read_raw
from common import endorsement, supervision, wire
from common.health import grpc_health
from common.keys import read_signing_key
from common.preparation import prepare
from common.study import Study
from server.coordinator import initialise as coordinator_files
from server.coordinator import processes
from server.coordinator.flower_command import flower
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import read_ports as read_link_ports
from server.coordinator.registration import enroll
from server.coordinator.roster import enrolled_names, read_roster
from server.coordinator.settings import read_settings
from server.run_folder import ENDED, RunFolder
from server.submission import new_run, submit_new
from simulations.catalogue import rows_path
from simulations.export_sites import csv_of

HOST: Final = "127.0.0.1"
STUDY: Final = (
    "federation.sites=['east']",
    "federation.rounds=1",
    "federation.deadline_s=40",
    "training.local_epochs=1",
    "evaluation.resamples=20",
)


@dataclass
class Trainer:
    """What stands behind the site's socket: whatever a test puts there. `asked` are the kinds of the messages."""

    work: Callable[[str, wire.Content], wire.Content]
    asked: list[str] = field(default_factory=list)

    def respond(self, action: str, content: wire.Content) -> wire.Content:
        self.asked.append(action)
        return self.work(action, content)

    def status(self) -> dict[str, Any]:
        return {}


@dataclass
class Keeping:
    """An interceptor of Flower's client that keeps each request as it was sent."""

    kept: list[httpx.Request] = field(default_factory=list)

    def intercept(self, context: Any, call_next: Any) -> Any:
        self.kept.append(context.request)
        return call_next(context)


@dataclass
class Federation:
    """A live coordinator and a live site, `east`, that approved the study in `bundle`."""

    coordinator: Path
    site: SiteFolder
    rows: Path
    bundle: Path
    trainer: Trainer

    @property
    def door(self) -> str:
        """Where the door is: HOST:PORT."""
        return read_settings(CoordinatorFolder(self.coordinator).settings).address

    @property
    def node_id(self) -> int:
        """The site's node, by which SuperLink knows it."""
        return int(read_roster(CoordinatorFolder(self.coordinator)).sites[0].node_id or 0)

    def trust(self, *, link: bool = False) -> ssl.SSLContext:
        """The authority that a site has, or the coordinator's inner one."""
        inner = CoordinatorFolder(self.coordinator).certificates / "link-ca.crt"
        return ssl.create_default_context(cafile=str(inner if link else self.site.coordinator_ca))

    def client(self, *, link: bool = False) -> httpx.Client:
        """Whoever knows the door and its authority; with `link`, the coordinator behind its door."""
        inner = f"{HOST}:{read_link_ports(CoordinatorFolder(self.coordinator)).link}" if link else ""
        return httpx.Client(base_url=f"https://{inner or self.door}", verify=self.trust(link=link), timeout=30)

    @contextmanager
    def fleet(self, key: Path) -> Iterator[tuple[FleetHttpClient, list[httpx.Request]]]:
        """Flower's own client with this key, at the door, and the requests that it sends."""
        private: Any = serialization.load_ssh_private_key(key.read_bytes(), password=None)
        keeping, url = Keeping(), f"https://{self.door}"
        own: Any = NodeAuthHttpInterceptor(private, private.public_key())
        client = FleetHttpClient(url, interceptors=[own, keeping], verify=self.trust())
        with closing(client):
            yield client, keeping.kept

    def raw(self, text: str) -> bytes:
        """Send a request as it is, which no library does, and return how the answer begins."""
        port = int(self.door.split(":")[1])
        with (
            socket.create_connection((HOST, port), timeout=30) as plain,
            self.trust().wrap_socket(plain, server_hostname=HOST) as tls,
        ):
            tls.sendall(text.encode())
            return tls.recv(200)

    def play(self, name: str) -> RunFolder:
        """Begin a run of the study."""
        folder = CoordinatorFolder(self.coordinator)
        run = new_run(folder, self.bundle, enrolled=enrolled_names(self.coordinator), name=name)
        submit_new(run, partial(flower, self.coordinator))
        return run

    def await_end(self, run: RunFolder, *, deadline_s: float = 120) -> str:
        """Return how a run ended, and its events."""
        self.wait_until(lambda: run.state().state in ENDED, "end of the run", deadline_s)
        return f"{run.state().state} {run.state().reason} {run.events.read_text()}"

    def holding(self, text: str) -> list[str]:
        """Return the files of the coordinator that hold a text."""
        files = [path for path in self.coordinator.rglob("*") if path.is_file()]
        return [path.name for path in files if text.encode() in path.read_bytes()]

    @staticmethod
    def wait_until(reached: Callable[[], bool], what: str, deadline_s: float = 90) -> None:
        """Wait until something holds."""
        end = monotonic() + deadline_s
        while not reached():
            assert monotonic() < end, f"no {what} after {deadline_s} s"
            Event().wait(0.1)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def make_site(home: Path, coordinator: Path, study: Study, model: Path) -> SiteFolder:
    """Make `east` with the rows that it has in a simulation, and enrol it."""
    site, raw = SiteFolder(home / "east"), read_raw(rows_path(study, home / "scratch"))
    rows = home / "rows.csv"
    rows.write_bytes(csv_of(raw, [i for i, name in enumerate(raw["site"]) if name == "east"]))
    initialise(site, site="east", join=CoordinatorFolder(coordinator).join, data=rows, base_models=[model])
    enroll(coordinator, enrolment_path(site, "east"))
    return site


def sign_and_approve(coordinator: Path, site: SiteFolder, study: Study, model: Path, bundle: Path) -> None:
    key = read_signing_key(CoordinatorFolder(coordinator).signing_key)
    endorsement.endorse(bundle, prepare(study, model, bundle), key)
    approve(site, bundle, read_signed(bundle), read_policy(site.policy))


@pytest.fixture(scope="package")
def federation(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, make_study: Callable[..., Study]
) -> Iterator[Federation]:
    """Everything runs; it is stopped at the end."""
    home, study = tmp_path_factory.mktemp("h"), make_study(*STUDY)
    coordinator, bundle = home / "c", home / "bundle"
    coordinator_files.initialise(coordinator, hosts=[HOST], port=free_port(), listen=HOST)
    with ExitStack() as stack:
        stack.callback(processes.stop, coordinator)
        processes.start(coordinator)
        site = make_site(home, coordinator, study, tiny_model)
        sign_and_approve(coordinator, site, study, tiny_model, bundle)
        trainer = Trainer(Hospital(site).respond)
        stack.callback(serve(trainer, site).stop, 5)
        stack.callback(supervision.stop, site.run)
        supervision.start(site.run, site_programs(site, choose_ports(site))[1:], logs=site.logs)
        Federation.wait_until(lambda: grpc_health(f"{HOST}:{read_ports(site).health}", patience_s=1), "SuperNode")
        yield Federation(coordinator, site, home / "rows.csv", bundle, trainer)
