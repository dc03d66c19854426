"""A set of programs that stay up, by supervisord, for coordinator and site alike.

supervisord listens on a Unix socket that only its owner reaches. It lies in the folder, or, where that path would be
too long for a socket, in a private temporary folder that the folder remembers.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from threading import Event
from time import monotonic
from types import MappingProxyType
from typing import Any  # answers of XML-RPC

from common.errors import UserError
from common.files import write_bytes, write_json
from common.leftovers import MARK, command_of, end_leftovers, is_alive
from common.locking import exclusive
from common.supervisor_file import LOG_BACKUPS, LOG_BYTES, Place, control_sections, environment_text, section
from common.supervisor_link import SupervisionError, call

START_S = 60.0
"""Until all programs run."""
MAX_SOCKET = 90
"""Bytes: a Unix socket's path has at most 107 (103 on macOS), and supervisord adds its pid for a moment."""
_CONFIG = "supervisord.conf"
_RECORD = "supervision.json"
_RETRIES = 1_000_000
"""Never given up: the wait between two attempts grows by a second with each that fails."""
_POLL_S = 0.1
_ATTEMPTS = 3


@dataclass(frozen=True)
class Program:
    """One supervised program.

    environment: added to the supervisor's own; secrets go here or into files, never into `command`. priority: lower
    starts first and stops last. stop_wait_s: from SIGTERM to SIGKILL. as_group: signals reach its children as well.
    user: another OS user, if the supervisor is root's. steady_s: up for so long, it counts as started.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    priority: int = 100
    stop_wait_s: float = 10
    as_group: bool = True
    user: str | None = None
    steady_s: float = 1


@dataclass(frozen=True)
class ProgramState:
    """What the supervisor says of a program. state: its word, such as RUNNING or BACKOFF; since: of this state."""

    name: str
    running: bool
    pid: int | None
    state: str
    since: datetime | None


def start(folder: Path, programs: Sequence[Program], *, logs: Path) -> None:
    """Start the supervisor of `folder` in the background, and return when every program runs.

    What a killed supervisor has left behind is ended first.

    Raises:
        UserError: it runs already, or a program does not stay up (then nothing is left running).
    """
    prepare_and_start(folder, lambda: programs, logs=logs)


def prepare_and_start(folder: Path, prepare: Callable[[], Sequence[Program]], *, logs: Path) -> None:
    """Do what `start` does with the programs that `prepare` returns.

    It is called once nothing runs and no other start can begin, so the ports and files that it chooses and writes are
    those of the programs that run. It must not call this module.
    """
    for each in (folder, logs):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(folder / "lock"):
        if is_running(folder):
            raise UserError(f"the processes of {folder} run already; stop them first")
        _clear(folder)
        programs = prepare()
        place = Place(folder.resolve(), _socket_for(folder.resolve()), logs.resolve())
        stop_s = sum(each.stop_wait_s for each in programs)
        write_json(folder / _RECORD, {"socket": str(place.socket), "stop_s": stop_s, "logs": str(place.logs)})
        write_bytes(folder / _CONFIG, _render(place, programs).encode(), mode=0o600)
        try:
            _launch(place)
            _await_running(folder, programs, place.logs)
        except BaseException:
            _end(folder)
            raise


def stop(folder: Path) -> None:
    """Stop all programs, the highest priority first, and the supervisor; nothing that they started is left."""
    if folder.is_dir():
        with exclusive(folder / "lock"):
            _end(folder)


def states(folder: Path) -> dict[str, ProgramState]:
    """Return the state of each program by its name; empty if the supervisor does not run."""
    if not is_running(folder):
        return {}
    found = [_state(each) for each in call(_socket(folder), "getAllProcessInfo")]
    return {each.name: each for each in found}


def restart(folder: Path, name: str) -> None:
    """Stop one program, by force after its patience, and start it again."""
    with suppress(SupervisionError):  # it is not running
        call(_socket(folder), "stopProcess", name)
    call(_socket(folder), "startProcess", name, False)


def is_running(folder: Path) -> bool:
    """Whether the supervisor of `folder` lives; a pid file that a killed one left behind is not believed."""
    return _pid(folder) is not None


def _pid(folder: Path) -> int | None:
    try:
        pid = int((folder / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if is_alive(pid) and str(folder.resolve() / _CONFIG) in command_of(pid) else None


def _socket_for(folder: Path) -> Path:
    path = folder / "supervisor.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET:
        return path
    return Path(tempfile.mkdtemp(prefix="fedpeft-")) / path.name


def _render(place: Place, programs: Sequence[Program]) -> str:
    return "\n".join([control_sections(place), *(_section(place, each) for each in programs)])


def _section(place: Place, program: Program) -> str:
    group = str(program.as_group).lower()
    values = {
        "command": " ".join(map(shlex.quote, program.command)),
        "priority": str(program.priority),
        "autorestart": "true",
        "startsecs": str(ceil(program.steady_s)),
        "startretries": str(_RETRIES),
        "stopwaitsecs": str(ceil(program.stop_wait_s)),
        "stopasgroup": group,
        "killasgroup": group,
        "redirect_stderr": "true",
        "stdout_logfile": place.relative(place.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": LOG_BACKUPS,
    }
    if program.environment:
        values["environment"] = environment_text(program.environment)
    if program.user is not None:
        values["user"] = program.user
    return section(f"program:{program.name}", values)


def _launch(place: Place) -> None:
    # -P: no module is taken from the working folder. -W: supervisord's own deprecations are not for our users.
    command = [sys.executable, "-P", "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(place.folder / _CONFIG)]
    environ = {**os.environ, MARK: str(place.folder)}
    done = subprocess.run(
        command, cwd=place.folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"supervisord did not start: {(done.stderr or done.stdout).strip()[-400:]}")


def _await_running(folder: Path, programs: Sequence[Program], logs: Path) -> None:
    """Wait until every program runs; one that has ended some times is not waited for any longer."""
    ends: dict[str, set[datetime | None]] = {each.name: set() for each in programs}
    deadline = monotonic() + START_S
    while True:
        found = _states_once_up(folder)
        if found and all(found[each.name].running for each in programs):
            return
        for each in found.values():
            if each.state in {"BACKOFF", "FATAL", "EXITED"}:
                ends[each.name].add(each.since)
        failing = [name for name, times in ends.items() if len(times) >= _ATTEMPTS]
        if failing or monotonic() > deadline:
            name = failing[0] if failing else next((n for n in ends if n not in found or not found[n].running), "?")
            raise UserError(f"program {name!r} does not stay up; its log says why: {logs.name}/{name}.log")
        Event().wait(_POLL_S)


def _states_once_up(folder: Path) -> dict[str, ProgramState]:
    with suppress(SupervisionError):
        return states(folder)
    return {}


def _end(folder: Path) -> None:
    pid = _pid(folder)
    if pid is not None:
        with suppress(SupervisionError):
            call(_socket(folder), "shutdown")
        end = monotonic() + float(_record(folder).get("stop_s", 0)) + 10
        while is_alive(pid) and monotonic() < end:
            Event().wait(_POLL_S)
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    _clear(folder)


def _clear(folder: Path) -> None:
    """End what a supervisor left running, and remove its files."""
    end_leftovers(str(folder.resolve()))
    recorded = _socket(folder)
    if recorded.parent.name.startswith("fedpeft-") and recorded.parent.resolve() != folder.resolve():
        shutil.rmtree(recorded.parent, ignore_errors=True)
    recorded.unlink(missing_ok=True)
    (folder / "supervisord.pid").unlink(missing_ok=True)


def _record(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / _RECORD).read_bytes()))
    except (OSError, ValueError):
        return {}


def _socket(folder: Path) -> Path:
    return Path(_record(folder).get("socket", folder / "supervisor.sock"))


def _state(info: dict[str, Any]) -> ProgramState:
    running = info["statename"] == "RUNNING"
    moment = info["start"] if info["pid"] else info["stop"]
    since = datetime.fromtimestamp(moment, UTC) if moment else None
    return ProgramState(info["name"], running, info["pid"] or None, info["statename"], since)
