"""The runs that a dashboard shows, by name: a coordinator's, or simulated ones in a folder or below it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final, Literal  # JSON values

from common.errors import UserError
from common.locking import is_at_work
from server.coordinator.folder import CoordinatorFolder
from server.dashboard.reading import Last
from server.run_folder import RunFolder

Kind = Literal["coordinator", "simulated"]
_EVENTS = "events.jsonl"
_FACTS = "run.json"
_DEPTHS = ("*", "*/*")
KILLED: Final = "no process is at work on it: the command that began it, with --resume, goes on where it was"


@dataclass(frozen=True)
class Source:
    """Where the runs are; `path` is a coordinator's folder, the folder of one simulated run, or one above several."""

    path: Path
    kind: Kind

    def runs(self) -> dict[str, RunFolder]:
        """Return the runs that are there now, by name."""
        if self.kind == "coordinator":
            found = (path.parent for path in CoordinatorFolder(self.path).runs.glob("*/state.json"))
            return {path.name: RunFolder(path) for path in sorted(found)}
        if (self.path / _EVENTS).exists() or (self.path / _FACTS).exists():
            return {self.path.resolve().name: RunFolder(self.path)}
        below = (path.parent for depth in _DEPTHS for path in self.path.glob(f"{depth}/{_EVENTS}"))
        return {"~".join(path.relative_to(self.path).parts): RunFolder(path) for path in sorted(below)}


def source_of(path: Path) -> Source:
    """Return what is at `path`. Raises UserError: nothing is."""
    if not path.is_dir():
        raise UserError(f"{path} is no folder; name a coordinator's folder, a run's, or one with runs in it")
    return Source(path, "coordinator" if CoordinatorFolder(path).settings.exists() else "simulated")


@dataclass(frozen=True)
class Standing:
    """Where a run is, in one word, and why; `is_over`: nothing more will come unless it is resumed."""

    word: str
    reason: str | None = None
    is_over: bool = False


def standing(source: Source, run: RunFolder, last: Last) -> Standing:
    """Return where a run is: as the coordinator noted it, or as a simulation's files tell."""
    if source.kind == "coordinator":
        noted = _table(run.state_file)
        word = str(noted.get("state") or "unknown")
        reason = noted.get("reason")
        return Standing(word, None if reason is None else str(reason), word not in ("submitted", "running", "unknown"))
    if run.results.exists():
        return Standing("finished", is_over=True)
    if last.event == "run_stopped":
        return Standing("stopped", "too few sites answered", is_over=True)
    if last.event and is_at_work(run.path / _FACTS) is False:
        return Standing("stopped", KILLED, is_over=True)
    if last.event == "run_finished":
        return Standing("comparing", "the rounds are done; every site alone and all rows pooled are trained")
    return Standing("running" if last.event else "preparing")


def study_of(run: RunFolder) -> Mapping[str, Any]:
    """Return the study in the run's bundle as JSON; an empty one where it cannot be read."""
    return _table(run.bundle / "study.json")


def results_of(run: RunFolder) -> Mapping[str, Any]:
    """Return `results.json` without its rounds, which the events have; an empty table before the run is complete."""
    try:
        with run.results.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return _parsed(without_rounds(content)) or _parsed(content[:])
    except (OSError, ValueError):  # not there, or empty
        return {}


def without_rounds(content: "mmap | bytes") -> bytes:
    r"""Return indented JSON whose `rounds` are empty: they are most of it, and slow to read.

    >>> without_rounds(b'{\n  "rounds": [\n    {}\n  ],\n  "seed": 0\n}')
    b'{\n  "rounds": [],\n  "seed": 0\n}'
    """
    begin = content.find(b'\n  "rounds": [\n')
    end = -1 if begin < 0 else content.find(b"\n  ]", begin)
    return content[:] if end < 0 else content[:begin] + b'\n  "rounds": []' + content[end + len(b"\n  ]") :]


def _table(path: Path) -> Mapping[str, Any]:
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
