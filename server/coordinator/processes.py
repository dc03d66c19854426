"""Starting and stopping a coordinator, and how it fares."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from time import monotonic

from common import supervision
from common.errors import UserError
from common.leftovers import find_leftovers
from common.loopback import are_free
from common.ownership import check_owner
from common.supervision import Program, ProgramState
from common.watch import Check
from server.coordinator.flower_command import write_connection
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import check_door, choose_ports, read_ports
from server.coordinator.programs import checks, write_programs
from server.coordinator.registration import link_is_up, synchronise
from server.coordinator.settings import ServerSettings, read_settings
from server.coordinator.tracking import tracking_of

HEALTHY_S = 90.0
"""Until all programs answer; a SuperLink imports for 6 s."""
ELSEWHERE = "-"
"""The state of a program that our supervisor does not run."""
_POLL_S = 0.3
_MOST_PIDS = 3
"""A program that had so many pids while it was waited for does not stay up."""


@dataclass(frozen=True)
class Service:
    """One program: the supervisor's word for its state, and whether it answers (None: it is not asked)."""

    name: str
    state: str
    pid: int | None
    since: datetime | None
    healthy: bool | None


def start(coordinator: Path) -> None:
    """Start all programs, wait until they answer, and tell the SuperLink what changed on the roster.

    Raises:
        UserError: they run already, or one does not come up; then none is left running. Or `[tracking]` is wrong.
    """
    folder = CoordinatorFolder(coordinator.resolve())
    settings = read_settings(folder.settings)
    tracking_of(folder.path)
    if supervision.is_running(folder.run):
        raise UserError(f"the coordinator of {coordinator} runs already; fedpeft server status {coordinator}")
    check_owner(folder.path)
    if link_is_up(folder) and not find_leftovers(str(folder.run.resolve())):
        raise UserError(
            f"a SuperLink of the coordinator of {coordinator} answers already, by systemd or by hand: systemctl status "
            "fedpeft-superlink; use either that or fedpeft server start, never both"
        )
    supervision.prepare_and_start(folder.run, lambda: _prepare(folder, settings), logs=folder.logs)
    try:
        await_healthy(folder, checks(folder, settings, read_ports(folder)))
        synchronise(coordinator)
    except BaseException:
        supervision.stop(folder.run)
        raise


def _prepare(folder: CoordinatorFolder, settings: ServerSettings) -> list[Program]:
    check_door(settings.listen, settings.port)
    if settings.metrics.port is not None and not are_free(settings.metrics.port):
        raise UserError(f"port {settings.metrics.port} of [metrics] in server.toml is taken on this machine; change it")
    ports = choose_ports(folder)
    write_connection(folder, ports)
    return write_programs(folder, settings, ports)


def stop(coordinator: Path) -> None:
    """Stop all programs; runs that are under way can be resumed from their last complete round."""
    folder = CoordinatorFolder(coordinator.resolve())
    read_settings(folder.settings)
    supervision.stop(folder.run)


def status(coordinator: Path) -> list[Service]:
    """Return how each program fares; empty if none was started. Of what systemd runs it is known whether it answers."""
    folder = CoordinatorFolder(coordinator.resolve())
    settings = read_settings(folder.settings)
    states = supervision.states(folder.run)
    if not states and not link_is_up(folder):
        return []
    asked = {check.program: check for check in checks(folder, settings, read_ports(folder))}
    if not states:
        return [Service(name, ELSEWHERE, None, None, check.passes()) for name, check in asked.items()]
    return [_service(state, asked.get(name)) for name, state in states.items()]


def _service(state: ProgramState, check: Check | None) -> Service:
    healthy = None if check is None else state.running and check.passes()
    return Service(state.name, state.state, state.pid, state.since, healthy)


def await_healthy(folder: CoordinatorFolder, waiting: Sequence[Check]) -> None:
    """Wait until the programs of all checks answer. Raises UserError: one does not, or ends again and again."""
    pids: dict[str, set[int | None]] = {check.program: set() for check in waiting}
    deadline = monotonic() + HEALTHY_S
    while waiting := [check for check in waiting if not check.passes()]:
        states = supervision.states(folder.run)
        for check in waiting:
            name = check.program
            pids[name].add(states[name].pid if name in states else None)
            if ends_again_and_again(pids[name]) or monotonic() > deadline:
                raise UserError(f"program {name!r} does not come up; its log says why: {folder.logs.name}/{name}.log")
        Event().wait(_POLL_S)


def ends_again_and_again(pids: Set[int | None]) -> bool:
    """Whether a program that had these pids while it was waited for does not stay up; None: none at that moment.

    >>> ends_again_and_again({100, None, 101}), ends_again_and_again({100, 101, 102})
    (False, True)
    """
    return len(pids - {None}) >= _MOST_PIDS
