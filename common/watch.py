"""`python -m common.watch CONFIG.json`: restarts a supervised program that lives but no longer answers.

A SuperNode whose loop has ended keeps its process, and a supervisor that knows only pids is content with it. So each
program's health is asked again and again; after some failures in a row the supervisor restarts it. A program that has
just started is given time, however it was started.
"""

import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from common.errors import UserError
from common.files import write_bytes
from common.health import PATIENCE_S, grpc_health, http_health
from common.supervision import Program, ProgramState, restart, states
from common.supervisor_link import SupervisionError


class Check(BaseModel):
    """How to ask one program (`common.health`): `grpc`, an address, and `service` of it; or `url` with `ca`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    program: str
    grpc: str | None = None
    service: str = ""
    url: str | None = None
    ca: Path | None = None
    name: str | None = None
    any_status: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.grpc is None) == (self.url is None) or (self.url is None) != (self.ca is None):
            raise ValueError("expected either grpc, or url and ca")
        return self

    def passes(self, *, patience_s: float = PATIENCE_S) -> bool:
        """Ask, and wait for `patience_s` seconds at most."""
        if self.grpc is not None:
            return grpc_health(self.grpc, service=self.service, patience_s=patience_s)
        if self.url is None or self.ca is None:
            return False
        return http_health(self.url, self.ca, name=self.name, any_status=self.any_status, patience_s=patience_s)


class WatchConfig(BaseModel):
    """What is watched, in seconds. folder: the supervisor's. grace_s: after a start, in which nothing is asked.

    To restart a program that is merely busy does more harm than to leave one hung for a minute.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    folder: Path
    checks: tuple[Check, ...]
    interval_s: float = 10.0
    patience_s: float = 10.0
    failures: int = 3
    grace_s: float = 45.0


Counts = Mapping[str, int]
"""Failures in a row of each program."""


def watch_program(config: WatchConfig, path: Path, *, environment: Mapping[str, str], priority: int = 900) -> Program:
    """Write the configuration to `path`, and return the program that watches: the last to start, the first to stop."""
    absolute = config.model_copy(update={"folder": config.folder.resolve()})  # the supervisor works in another folder
    write_bytes(path, absolute.model_dump_json(indent=2).encode(), mode=0o600)
    # -P: no module is taken from the working folder.
    command = (sys.executable, "-P", "-m", "common.watch", str(path.resolve()))
    return Program("watch", command, environment=environment, priority=priority)


def count(counts: Counts, passed: Mapping[str, bool]) -> Counts:
    """Return the failures in a row after one more look; a program that was not looked at starts from nothing.

    >>> count({"link": 2, "door": 1}, {"link": False, "door": True})
    {'link': 3, 'door': 0}
    """
    return {name: 0 if good else counts.get(name, 0) + 1 for name, good in passed.items()}


def is_due(state: ProgramState | None, now: datetime, grace_s: float) -> bool:
    """Whether a program has run for long enough that it should answer."""
    return state is not None and state.running and state.since is not None and age_s(state.since, now) >= grace_s


def age_s(since: datetime, now: datetime) -> float:
    """Return the seconds from `since` to `now`."""
    return (now - since).total_seconds()


def look(config: WatchConfig, counts: Counts) -> Counts:
    """Ask every program that should answer, restart those that have failed too often, and return the new counts."""
    known, now = states(config.folder), datetime.now(UTC)
    due = [check for check in config.checks if is_due(known.get(check.program), now, config.grace_s)]
    after = dict(count(counts, {check.program: check.passes(patience_s=config.patience_s) for check in due}))
    for name in [name for name, failed in after.items() if failed >= config.failures]:
        _say(f"{name} has not answered {after.pop(name)} times; it is restarted")
        restart(config.folder, name)
    return after


def watch(config: WatchConfig, stopped: Event) -> None:
    """Look until `stopped`; a supervisor that does not answer is asked again later."""
    counts: Counts = {}
    while not stopped.wait(config.interval_s):
        try:
            counts = look(config, counts)
        except SupervisionError as error:
            _say(str(error))


def read_config(path: Path) -> WatchConfig:
    """Return the configuration that `watch_program` wrote."""
    try:
        return WatchConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path.name} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def main(path: Path) -> None:
    """Watch until SIGTERM."""
    stopped = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    watch(read_config(path), stopped)


def _say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
