"""One live deployment for all fault tests: a coordinator and three sites, all real processes on free ports.

`east` is a site as it should be. `north` reaches the front door through a wire that a test may cut. `west` has, behind
its real gateway and SuperNode, a double of the trainer: honest unless a test says otherwise.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from types import SimpleNamespace
from typing import Any

from client.approval import approve, read_signed
from client.hospital import Hospital
from client.initialise import enrolment_path
from client.policy import Policy, read_policy
from client.policy_text import policy_text
from client.ports import choose_ports
from client.processes import TRAINER, site_programs, site_status, start_site
from client.service import serve
from client.site_folder import SiteFolder
from common import supervision
from common.bundle import read_bundle
from common.endorsement import endorse
from common.keys import read_signing_key
from common.receipt_match import match
from server.coordinator import processes as coordinator_processes
from server.coordinator.flower_command import flower
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.registration import enroll, site_states
from server.coordinator.roster import enrolled_names
from server.run_folder import ENDED, RunFolder, RunState
from server.submission import new_run, refreshed_state, submit_new
from simulations.export_sites import export_sites
from simulations.run import run

SITES = ("east", "north", "west")
ROUNDS = 2
POLL_S = 0.1
STUDIES = {
    "strict": ("federation.quorum=1.0", "federation.deadline_s=60"),
    "brief": ("federation.quorum=1.0", "federation.deadline_s=12"),
    "patient": ("federation.quorum=0.6", "federation.deadline_s=150"),
    "lenient": ("federation.quorum=0.6", "federation.deadline_s=12"),
}
"""strict, brief: no round closes without all three. patient, lenient: two of three are enough."""
FAST = ("training.local_epochs=2", "evaluation.resamples=10", f"federation.rounds={ROUNDS}")


def beside(name: str) -> Any:
    """Return what a module in this folder defines: tests have no packages."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name(name))))


Wire, Double, Held = beside("relay.py").Wire, beside("double.py").Double, beside("double.py").Held


@dataclass(frozen=True)
class Federation:
    """The deployment. `expected`: the adapter's digest of an undisturbed run over the named number of sites."""

    coordinator: Path
    sites: dict[str, SiteFolder]
    bundles: dict[str, Path]
    expected: dict[int, str]
    west: Any
    wire: Any

    def submit(self, study: str, name: str) -> RunFolder:
        """Hand a run to the SuperLink."""
        folder = CoordinatorFolder(self.coordinator)
        made = new_run(folder, self.bundles[study], enrolled=enrolled_names(self.coordinator), name=name)
        submit_new(made, self.flower)
        return made

    def flower(self, *arguments: str) -> Any:
        """Run `flwr` against the SuperLink."""
        return flower(self.coordinator, *arguments)

    def wait(self, reached: Callable[[], object], *, what: str, deadline_s: float = 90) -> None:
        """Wait until something holds; else fail with the ends of all logs."""
        end = monotonic() + deadline_s
        while not reached():
            assert monotonic() < end, f"no {what} after {deadline_s} s\n{self.logs()}"
            Event().wait(POLL_S)

    def ended(self, run: RunFolder, *, deadline_s: float = 150) -> RunState:
        """Wait for the end of a run, and return how it ended."""
        asked = monotonic()

        def has_ended() -> bool:
            nonlocal asked
            if monotonic() - asked > 5:
                refreshed_state(run, self.flower)
                asked = monotonic()
            return run.state().state in ENDED

        self.wait(has_ended, what=f"end of run {run.name}", deadline_s=deadline_s)
        return run.state()

    def hold(self, round_number: int) -> Any:
        """Let west keep its answer to a round until it is released."""
        self.west.behaviour = held = Held(round_number)
        return held

    def wait_for_event(self, run: RunFolder, event: str, *, round_number: int, **more: object) -> None:
        """Wait for a line of the run's events."""
        wanted = {"event": event, "round": round_number, **more}
        self.wait(lambda: any(wanted.items() <= each.items() for each in self.events(run)), what=f"{wanted}")

    def finished(self, run: RunFolder, *, sites: int = 3, deadline_s: float = 150) -> dict[str, Any]:
        """Require that a run ends well, with the adapter of that many sites; return its results."""
        state = self.ended(run, deadline_s=deadline_s)
        assert state.state == "finished", f"{state}\n{self.logs()}"
        results: dict[str, Any] = json.loads(run.results.read_bytes())
        assert results["digests"]["adapter"] == self.expected[sites]
        self.counted_once(run)
        return results

    def resume(self, run: RunFolder) -> None:
        """Go on with a run, by the command that its state names, and wait for its end."""
        command = [Path(sys.executable).with_name("fedpeft"), "server", "resume", self.coordinator, run.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, f"{done.stderr}\n{self.logs()}"

    def counted_once(self, run: RunFolder) -> None:
        """Require one payload of each site for each round, accepted once by each process that played the run.

        And that both sides' receipts agree on it: at most something has left a site that never arrived.
        """
        accepted: dict[tuple[str, str, int], list[str]] = {}
        for each in self.receipts(run):
            if each["status"] == "accepted" and each["round"]:
                accepted.setdefault((each["site"], each["kind"], each["round"]), []).append(each["digest"])
        starts = sum(each["event"] == "run_started" for each in self.events(run))
        assert all(len(set(digests)) == 1 and len(digests) <= starts for digests in accepted.values()), accepted
        for site in ("east", "north"):
            found = match(self.journal(site, run), self.receipts(run)).differences
            assert {each.kind for each in found} <= {"not at the server"}, found

    def pid(self, program: str, site: str | None = None) -> int:
        """Return the pid of a supervised program of the coordinator, or of a site."""
        found = supervision.states(self.supervised(site))[program].pid
        assert found is not None
        return found

    def supervised(self, site: str | None) -> Path:
        """Return the supervisor's folder of the coordinator, or of a site."""
        return CoordinatorFolder(self.coordinator).run if site is None else self.sites[site].run

    def kill(self, program: str, site: str | None = None) -> None:
        """Kill a supervised program, and wait until another is in its place."""
        before = self.pid(program, site)
        os.kill(before, signal.SIGKILL)

        def is_back() -> bool:
            found = supervision.states(self.supervised(site))[program]
            return found.running and found.pid != before

        self.wait(is_back, what=f"new {program}", deadline_s=60)

    def is_busy(self, site: str) -> bool:
        """Whether a site's trainer answers a message."""
        return bool((site_status(self.sites[site])["trainer"] or {}).get("busy"))

    def all_online(self) -> bool:
        """Whether the SuperLink has all the sites."""
        states = {each.site.name: each.node for each in site_states(self.coordinator) if each.site.active}
        return all(states.get(site) == "online" for site in SITES)

    def events(self, run: RunFolder) -> list[dict[str, Any]]:
        """Return the run's events so far."""
        return whole_lines(run.events)

    def receipts(self, run: RunFolder) -> list[dict[str, Any]]:
        """Return what the server has noted of each reply."""
        return [each for each in whole_lines(run.receipts) if "site" in each]

    def bundle_digest(self, study: str) -> str:
        """Return the digest of a study's bundle."""
        return read_bundle(self.bundles[study]).digest

    def app_has_ended(self, run: RunFolder) -> bool:
        """Whether the SuperLink says that a run's process is gone."""
        (found,) = self.flower("list", "local", "--run-id", run.state().flower)["runs"]
        return str(found["status"]).startswith("finished")

    def journal(self, site: str, run: RunFolder) -> list[dict[str, Any]]:
        """Return what a site has noted of a run."""
        return [
            each for each in whole_lines(self.sites[site].journal) if "decision" in each and each["run"] == run.name
        ]

    def logs(self) -> str:
        """Return the ends of all logs."""
        folders = [self.coordinator / "logs", *(site.logs for site in self.sites.values())]
        files = [path for folder in folders for path in folder.glob("*.log")]
        files += (self.coordinator / "runs").glob("*/server.log")
        return "\n".join(f"--- {p.parent.parent.name}/{p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in files)


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of JSON; what a stopped writer left, or one that found the disk full, is none."""
    found = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            found += [json.loads(line)] if line.endswith(b"\n") else []
        except json.JSONDecodeError:
            continue
    return found


def live_federation(folder: Path, stack: ExitStack) -> Federation:
    """Start everything in a folder; all of it ends with the stack."""
    coordinator, simulated = folder / "c", folder / "s"
    expected = simulate(simulated, SITES)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    initialise(coordinator, hosts=["127.0.0.1"], port=port, listen="127.0.0.1")
    coordinator_processes.start(coordinator)
    stack.callback(coordinator_processes.stop, coordinator)
    join = CoordinatorFolder(coordinator).join
    sites = export_sites(simulated / "strict", folder, join=join, open_policy=True)
    relay = Wire(port)
    stack.callback(relay.close)
    _rewire(sites["north"], port, relay.port)
    bundles = {study: simulated / study / "bundle" for study in STUDIES}
    for site in SITES:
        _join(coordinator, sites[site], site, bundles.values())
    double = Double(Hospital(sites["west"]))
    federation = Federation(coordinator, sites, bundles, expected, double, relay)
    for site in SITES:
        stack.callback(supervision.stop, sites[site].run)
    start_site(sites["east"])
    start_site(sites["north"])
    start_with_double(sites["west"], double, stack)
    federation.wait(federation.all_online, what="three sites online")
    return federation


def simulate(out: Path, sites: tuple[str, ...]) -> dict[int, str]:
    """Make the bundles, and return the adapter's digest for all sites and for the first two."""
    found = {}
    for name, overrides, roster in [*((n, o, sites) for n, o in STUDIES.items()), ("two", (), sites[:2])]:
        chosen = [*FAST, *overrides, f"federation.sites={json.dumps(roster)}"]
        content = run("quick", out=out / name, overrides=chosen, comparison=False, group_size=1).content
        found[len(roster)] = str(content["digests"]["adapter"])
    return found


def _rewire(site: SiteFolder, old: int, new: int) -> None:
    text = site.settings.read_text()
    assert f":{old}" in text
    site.settings.write_text(text.replace(f":{old}", f":{new}"))


def _join(coordinator: Path, folder: SiteFolder, site: str, bundles: Iterable[Path]) -> None:
    enroll(coordinator, enrolment_path(folder, site))
    many = Policy(**{**read_policy(folder.policy).model_dump(), "runs": 100})
    folder.policy.write_text(policy_text(many))
    key = read_signing_key(CoordinatorFolder(coordinator).signing_key)
    for bundle in bundles:
        endorse(bundle, read_bundle(bundle), key)
        approve(folder, bundle, read_signed(bundle), many)


def start_with_double(folder: SiteFolder, double: Any, stack: ExitStack) -> None:
    """Start SuperNode and gateway of a site under their supervisor, and serve the double on the trainer's socket."""
    others = [each for each in site_programs(folder, choose_ports(folder)) if each.name != TRAINER]
    supervision.start(folder.run, others, logs=folder.logs)
    service = serve(double, folder)
    stack.callback(service.stop, 5)
