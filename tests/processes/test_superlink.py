"""A real coordinator and two real sites on the loopback: the adapter of a simulation, bit by bit.

SuperLink, front door, and per site a SuperNode, the resident gateway and a trainer, all under their supervisors.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from client.approval import approve, read_signed
from client.initialise import enrolment_path
from client.policy import read_policy
from client.processes import site_status, start_site, stop_site
from client.site_folder import SiteFolder
from common import supervision
from common.adapter_folder import read_adapter
from simulations.export_sites import export_sites
from simulations.run import run

pytestmark = pytest.mark.processes

SITES = ("east", "north")
ROUNDS = 2


@pytest.fixture
def coordinator(
    tmp_path: Path, processes: Any, free_port: Callable[[], int]
) -> Iterator[tuple[Path, Callable[..., str]]]:
    """A started coordinator's folder, and its command: `server(VERB, *ARGUMENTS)`."""
    folder = tmp_path / "coordinator"

    def server(verb: str, *arguments: str, deadline_s: float = 120) -> str:
        return str(processes.call("fedpeft", "server", verb, str(folder), *arguments, deadline_s=deadline_s))

    server("init", "--host", "127.0.0.1", "--port", str(free_port()), "--listen", "127.0.0.1")
    server("start")
    yield folder, server
    server("stop")


def join_federation(folder: SiteFolder, site: str, bundle: Path, server: Callable[..., str]) -> None:
    """Enrol a site, have it approve the study, and start it."""
    server("enroll", str(enrolment_path(folder, site)))
    approve(folder, bundle, read_signed(bundle), read_policy(folder.policy))
    start_site(folder)


def journal(folder: SiteFolder) -> list[tuple[str, str, int]]:
    """Return what left a site, or was refused: decision, kind of message, round."""
    entries = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    return [(entry["decision"], entry["kind"], entry["round"]) for entry in entries if "decision" in entry]


def kill_at_work(folder: SiteFolder, events: Path, processes: Any) -> None:
    """Kill a trainer while it answers the first round's message: the supervisor starts another."""

    def has_begun() -> bool:
        return events.exists() and '"round_started"' in events.read_text()

    processes.wait_until(has_begun, what="first round", deadline_s=120)
    processes.wait_until(lambda: (site_status(folder)["trainer"] or {}).get("busy"), what="training", deadline_s=60)
    os.kill(site_status(folder)["processes"]["trainer"]["pid"], signal.SIGKILL)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_killed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_real_sites_make_the_adapter_of_the_simulation(
    is_killed: bool, tmp_path: Path, processes: Any, coordinator: tuple[Path, Callable[..., str]]
) -> None:
    simulated, bundle = tmp_path / "simulated", tmp_path / "simulated" / "bundle"
    roster = f"federation.sites={json.dumps(SITES)}"
    overrides = [roster, "federation.quorum=1.0"]  # a round that a killed trainer has missed is asked again
    expected = run("quick", out=simulated, rounds=ROUNDS, overrides=overrides, comparison=False, group_size=1).content
    folder, server = coordinator
    sites = export_sites(simulated, tmp_path / "sites", join=folder / "join.toml", open_policy=True)
    server("sign", str(bundle))
    with ExitStack() as stack:
        for site in SITES:
            stack.callback(stop_site, sites[site])
            join_federation(sites[site], site, bundle, server)
        supervision.restart(sites["north"].run, "supernode")  # its gateway finds it again
        server("run", str(bundle), "--name", "first", "--detach")
        if is_killed:
            kill_at_work(sites["north"], folder / "runs" / "first" / "events.jsonl", processes)
        server("follow", "first", deadline_s=300)
        loads = [site_status(sites[site])["trainer"]["base_model_loads"] for site in SITES]

    out = folder / "runs" / "first"
    found = json.loads((out / "results.json").read_text())
    assert found["digests"]["adapter"] == expected["digests"]["adapter"]
    assert read_adapter(out / "adapter").digests["adapter"] == expected["digests"]["adapter"]
    statuses = {site: p["status"] for r in found["rounds"] for site, p in r["participation"].items()}
    assert statuses == dict.fromkeys(SITES, "accepted")
    answers = [("preflight", 0), ("train", 1), ("train", 2), ("evaluate", 3)]
    asked = [("released", kind, number) for kind, number in answers]
    assert [journal(sites[site]) for site in SITES] == [asked, asked]
    assert loads == [1, 1]
