"""A real deployment on the loopback: coordinator with front door, two sites with gateways and supervised trainers."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any  # JSON values

from client.approval import approve, read_signed
from client.initialise import enrolment_path
from client.initialise import initialise as initialise_site
from client.policy import read_policy
from client.processes import site_status, start_site, stop_site
from client.site_folder import SiteFolder
from common.endorsement import endorse
from common.errors import UserError
from common.keys import read_signing_key
from server.coordinator import processes
from server.coordinator.flower_command import flower
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.registration import enroll
from server.coordinator.roster import enrolled_names
from server.events import ignore
from server.following import EventReader, follow
from server.run_folder import RunFolder
from server.submission import new_run, refreshed_state, submit_new
from simulations.bench.adapters import SITES, Prepared, prepare_study
from simulations.bench.passages import Passage, passages, site_log
from simulations.bench.process_memory import watching


@dataclass(frozen=True)
class Federation:
    """What one run of a real deployment showed; memory in MB."""

    rounds: Sequence[Passage]
    payload_mb: float
    """Tensors of one site's message."""
    base_model_loads: int
    """The most of one trainer, whose life the run is."""
    server_app_mb: float
    server_app_growth_mb: float
    """From the first round's begin to the last one's end."""
    link_mb: float


def measure_federation(rank: int, rounds: int) -> Federation:
    """Set up a coordinator and its sites, play one run and stop everything."""
    with tempfile.TemporaryDirectory() as out, ExitStack() as stack:
        folder = Path(out)
        study = prepare_study(folder / "study", rank=rank, rounds=rounds)
        coordinator = stack.enter_context(_coordinator(folder / "coordinator"))
        sites = stack.enter_context(_sites(folder / "sites", coordinator, study))
        peaks = stack.enter_context(watching(coordinator.flower_home, ("flwr-serverapp", "flower-superlink")))
        run = _play(coordinator, study)
        events = _lines(run.events)
        logs = {
            name: site_log((site.logs / "gateway.log").read_text(), _lines(site.journal))
            for name, site in sites.items()
        }
        begin, end = _ends(events)
        grown = peaks.until("flwr-serverapp", end) - peaks.until("flwr-serverapp", begin)
        return Federation(
            rounds=passages(events, logs),
            payload_mb=study.bundle.schema.size_bytes / 2**20,
            base_model_loads=max(site_status(site)["trainer"]["base_model_loads"] for site in sites.values()),
            server_app_mb=peaks.until("flwr-serverapp", end),
            server_app_growth_mb=grown,
            link_mb=peaks.until("flower-superlink", end),
        )


@contextmanager
def _coordinator(path: Path) -> Iterator[CoordinatorFolder]:
    initialise(path, hosts=["127.0.0.1"], port=free_port(), listen="127.0.0.1")
    processes.start(path)
    try:
        yield CoordinatorFolder(path)
    finally:
        processes.stop(path)


@contextmanager
def _sites(path: Path, coordinator: CoordinatorFolder, study: Prepared) -> Iterator[dict[str, SiteFolder]]:
    """Make, enrol and start the sites, each with its own rows; they have approved the study."""
    endorse(study.folder, study.bundle, read_signing_key(coordinator.signing_key))
    sites = {name: SiteFolder(path / name) for name in SITES}
    for name, site in sites.items():
        rows = study.rows / f"{name}.csv"
        initialise_site(site, site=name, join=coordinator.join, data=rows, base_models=[study.base])
        enroll(coordinator.path, enrolment_path(site, name))
        approve(site, study.folder, read_signed(study.folder), read_policy(site.policy))
    try:
        with ThreadPoolExecutor(len(sites)) as pool:
            list(pool.map(start_site, sites.values()))
        yield sites
    finally:
        for site in sites.values():
            stop_site(site)


def _play(coordinator: CoordinatorFolder, study: Prepared) -> RunFolder:
    run = new_run(coordinator, study.folder, enrolled=enrolled_names(coordinator.path), name="bench")
    ask = partial(flower, coordinator.path)
    submit_new(run, ask)
    state = follow(EventReader(run), ignore, partial(refreshed_state, run, ask))
    if state.state != "finished":
        raise UserError(f"the run that was to be measured {state.state}: {state.reason}")
    return run


def _ends(events: Sequence[dict[str, Any]]) -> tuple[float, float]:
    from datetime import datetime

    moments = [
        datetime.fromisoformat(e["time"]).timestamp()
        for e in events
        if e["event"] in ("round_started", "round_finished")
    ]
    return min(moments), max(moments)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def free_port() -> int:
    """Return a port of the loopback that nobody uses."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
