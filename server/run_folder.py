"""The folder of one run over real sites, under the coordinator's `runs/`: as a simulation's, and what became of it.

bundle/, app/       what was submitted          state.json     submitted, running, finished, stopped, failed, cancelled
checkpoint/, events.jsonl, receipts.jsonl, results.json, report.html, adapter/, server.log
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from common.errors import CheckpointError, UserError
from common.files import write_json
from common.names import NAME

State = Literal["submitted", "running", "finished", "stopped", "failed", "cancelled"]
"""stopped: too few sites answered, resumable. failed: a defect or a process that died, resumable."""
RESUME = "go on with: fedpeft server resume"
ENDED: frozenset[State] = frozenset({"finished", "stopped", "failed", "cancelled"})


@dataclass(frozen=True)
class RunState:
    """Where a run is; `flower` is the id of its last submission, empty until it is known.

    `reason` says why it ended early.
    """

    state: State
    flower: str
    reason: str | None = None


@dataclass(frozen=True)
class RunFolder:
    """Paths under one run's folder."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def coordinator(self) -> Path:
        """The coordinator's folder that the run is in."""
        return self.path.parent.parent

    @property
    def bundle(self) -> Path:
        """The bundle as it was submitted, with its endorsement."""
        return self.path / "bundle"

    @property
    def app(self) -> Path:
        """The app bundle, which holds no code."""
        return self.path / "app"

    @property
    def checkpoint(self) -> Path:
        """What is needed to go on."""
        return self.path / "checkpoint"

    @property
    def events(self) -> Path:
        """What happened, line by line."""
        return self.path / "events.jsonl"

    @property
    def receipts(self) -> Path:
        """The server's side of the sites' journals."""
        return self.path / "receipts.jsonl"

    @property
    def results(self) -> Path:
        """Where it is, the run is complete."""
        return self.path / "results.json"

    @property
    def adapter(self) -> Path:
        """The exported adapter."""
        return self.path / "adapter"

    @property
    def log(self) -> Path:
        """The server process's own log."""
        return self.path / "server.log"

    @property
    def state_file(self) -> Path:
        """Where the run is; absent until it is submitted."""
        return self.path / "state.json"

    def note(self, state: RunState) -> None:
        """Write where the run is."""
        write_json(self.state_file, asdict(state))

    def state(self) -> RunState:
        """Return where the run is. Raises CheckpointError: there is no such run, or its state is damaged."""
        try:
            found = RunState(**json.loads(self.state_file.read_bytes()))
        except FileNotFoundError:
            raise CheckpointError(f"there is no run {self.name!r} here; `fedpeft server runs` lists them") from None
        except (ValueError, TypeError):
            raise CheckpointError(f"{self.state_file} is damaged") from None
        if found.state not in get_args(State):
            raise CheckpointError(f"{self.state_file} has the state {found.state!r}, which there is not")
        return found

    def change(self, step: Callable[[RunState], RunState]) -> RunState:
        """Write and return what `step` makes of the state; what another process changes meanwhile is not lost."""
        with (self.path / "state.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            state = step(self.state())
            self.note(state)
        return state

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the run: two server processes on one folder would ask every site twice. Raises CheckpointError."""
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CheckpointError(f"run {self.name!r} is being played by another process") from None
            yield


def find_run(runs: Path, name: str) -> RunFolder:
    """Return the folder of a run that is there. Raises UserError."""
    if not NAME.fullmatch(name) or not (runs / name).is_dir():
        there = sorted(path.name for path in runs.glob("[!.]*") if path.is_dir())
        raise UserError(f"there is no run {name!r}; there are: {', '.join(there) or 'none'}")
    return RunFolder(runs / name)


def all_runs(runs: Path) -> list[RunFolder]:
    """Return every run, the oldest first."""
    found = [path.parent for path in runs.glob("*/state.json")]
    return [RunFolder(path) for path in sorted(found, key=lambda path: path.stat().st_ctime)]
