"""The processes of a real site, under one supervisor: trainer, SuperNode, gateway, and the watch over them.

They stop in the other order: first the gateway, so that nothing new is asked, last the trainer, which may finish.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final  # a status is JSON

from client.gateway_app import SITE
from client.ports import Ports, choose_ports, read_ports
from client.reach import ANSWERS, TRYING, coordinator_state
from client.settings import read_settings
from client.site_folder import SiteFolder
from client.trainer_connection import TrainerFailure, connect
from client.trainer_process import GRACE_S
from client.trainer_socket import SERVICE, trainer_runs
from common import supervision
from common.errors import UserError
from common.health import grpc_health
from common.leftovers import find_leftovers
from common.loopback import LOOPBACK
from common.ownership import check_owner
from common.quiet import QUIET
from common.supervision import Program
from common.watch import Check, WatchConfig, watch_program

READY_S: Final = 120.0
"""Until the trainer has read its libraries and the SuperNode has begun."""
TRAINER, SUPERNODE, GATEWAY = "trainer", "supernode", "gateway"
_HEALTH: Final[Mapping[str, Callable[[Ports], int]]] = {SUPERNODE: lambda p: p.health, GATEWAY: lambda p: p.gateway}
"""The port at which each of the coordinator's side says how it is; the trainer has a socket."""
_FAILURES: Final = 6
_MOST_PIDS: Final = 2
"""A process that had more pids while it was waited for does not stay up."""
_STOP_S: Final = 10.0
_POLL_S: Final = 0.2


def start_site(folder: SiteFolder, *, ready_s: float = READY_S) -> None:
    """Start the processes of a site, and return when they answer.

    Raises:
        UserError: settings, keys or the coordinator's certificate are not there; the site runs already; or a process
            does not come up, and then none is left; the folder is another OS user's.
    """
    check_complete(folder)
    check_owner(folder.path)
    if supervision.is_running(folder.run):  # its ports stay as they are written down
        raise UserError(f"the site in {folder.path} runs already; fedpeft site status {folder.path} tells how it is")
    # What a killed supervisor left is ended by the start; what another runs has ports of its own, which must stay.
    if trainer_runs(folder) and not find_leftovers(str(folder.run.resolve())):
        raise UserError(
            f"a trainer of the site in {folder.path} runs already, by systemd or by hand: systemctl status "
            "fedpeft-trainer; use either that or fedpeft site start, never both"
        )
    supervision.prepare_and_start(folder.run, lambda: _prepare(folder), logs=folder.logs)
    try:
        await_ready(folder, ready_s)
    except BaseException:
        supervision.stop(folder.run)
        raise


def _prepare(folder: SiteFolder) -> list[Program]:
    programs = site_programs(folder, choose_ports(folder))
    return [*programs, watch_of(folder)]


def stop_site(folder: SiteFolder) -> None:
    """Stop the processes of a site; it is no error that they do not run."""
    supervision.stop(folder.run)


def site_status(folder: SiteFolder) -> dict[str, Any]:
    """Return how a site is: each process of our supervisor, what answers, and what the trainer says of itself.

    Where systemd runs the processes there is nothing in `processes`, and all the rest.
    """
    states = supervision.states(folder.run)
    processes = {
        name: {"state": s.state, "pid": s.pid, "since": s.since and s.since.isoformat(timespec="seconds")}
        for name, s in states.items()
    }
    running = bool(states) or trainer_runs(folder)
    trainer = _trainer_status(folder) if running else None
    answers = {TRAINER: trainer is not None, **{name: running and _answers(folder, name) for name in _HEALTH}}
    return {"running": running, "processes": processes, "answers": answers, "trainer": trainer}


def await_ready(folder: SiteFolder, ready_s: float) -> None:
    """Wait until trainer, SuperNode and gateway answer. Raises UserError where they do not."""
    end, pids = monotonic() + ready_s, defaultdict[str, set[int | None]](set)
    while True:
        found = site_status(folder)
        late = [name for name, answers in found["answers"].items() if not answers]
        if not late:
            return
        for name in late:
            pids[name].add(found["processes"].get(name, {}).get("pid"))
        failing = [name for name in late if len(pids[name] - {None}) > _MOST_PIDS]
        if failing or monotonic() > end:
            raise UserError(_not_up(folder, (failing or late)[0]))
        Event().wait(_POLL_S)


def _not_up(folder: SiteFolder, name: str) -> str:
    """Return why a process does not come up, as far as can be told from here."""
    log = f"{folder.logs.name}/{name}.log says why"
    if name != SUPERNODE:
        return f"the {name} does not come up; {log}"
    state = coordinator_state(folder)
    if state != ANSWERS and TRYING not in state:
        return f"the {name} does not come up: {state}; {log}"
    return f"the {name} does not come up; has the coordinator enrolled this site? {log}"


def check_complete(folder: SiteFolder) -> None:
    """Raise UserError unless the folder has what the processes need."""
    read_settings(folder)
    for path in (folder.transport_key, folder.runtime_secret, folder.coordinator_ca, folder.policy):
        if not path.is_file():
            raise UserError(
                f"{folder.path} lacks {path.relative_to(folder.path)}; fedpeft site init makes a whole site"
            )


def site_programs(folder: SiteFolder, ports: Ports) -> list[Program]:
    """Return the programs that make a site, the watch apart."""
    quiet = dict(QUIET)
    flower = {**quiet, "FLWR_HOME": str(_home(folder)), SITE: str(folder.path.resolve())}
    return [
        Program(TRAINER, trainer_command(folder), environment=quiet, priority=100, stop_wait_s=GRACE_S + 4),
        Program(SUPERNODE, supernode_command(folder, ports), environment=flower, priority=200, stop_wait_s=_STOP_S),
        Program(GATEWAY, gateway_command(folder), environment=flower, priority=300, stop_wait_s=_STOP_S),
    ]


def trainer_command(folder: SiteFolder) -> tuple[str, ...]:
    """Return the trainer's command line."""
    return _python("client.trainer_process", str(folder.path.resolve()))


def gateway_command(folder: SiteFolder) -> tuple[str, ...]:
    """Return the gateway's command line."""
    return _python("client.gateway", str(folder.path.resolve()))


def supernode_command(folder: SiteFolder, ports: Ports) -> tuple[str, ...]:
    """Return the SuperNode's command line: its Runtime API is on the loopback, and takes only who has the secret."""
    options: Mapping[str, str | Path] = {
        "--superlink": read_settings(folder).coordinator.address,
        "--root-certificates": folder.coordinator_ca.resolve(),
        "--auth-supernode-private-key": folder.transport_key.resolve(),
        "--host": LOOPBACK,
        "--port": str(ports.runtime),
        "--isolation": "process",
        "--superexec-auth-secret-file": folder.runtime_secret.resolve(),
        "--health-server-address": f"{LOOPBACK}:{ports.health}",
    }
    return _python("client.supernode", *(str(text) for pair in options.items() for text in pair))


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", module, *arguments)  # -P: no module is taken from the working folder


def _home(folder: SiteFolder) -> Path:
    return folder.run.resolve() / "flwr-home"


def watch_of(folder: SiteFolder) -> Program:
    """Write down what is watched, and return the program that watches."""
    socket = folder.socket.relative_to(folder.run)  # the supervisor works there, and a socket's path must be short
    checks = (
        Check(program=TRAINER, grpc=f"unix:{socket}", service=SERVICE),
        *(Check(program=name, grpc=_health_address(folder, name)) for name in _HEALTH),
    )
    config = WatchConfig(folder=folder.run.resolve(), checks=checks, failures=_FAILURES)
    return watch_program(config, folder.run / "watch.json", environment=dict(QUIET))


def _trainer_status(folder: SiteFolder) -> dict[str, Any] | None:
    if not folder.socket.exists():
        return None
    try:
        with connect(folder) as trainer:
            return trainer.status()
    except TrainerFailure:
        return None


def _answers(folder: SiteFolder, name: str) -> bool:
    try:
        return grpc_health(_health_address(folder, name), patience_s=1)
    except UserError:
        return False


def _health_address(folder: SiteFolder, name: str) -> str:
    return f"{LOOPBACK}:{_HEALTH[name](read_ports(folder))}"
