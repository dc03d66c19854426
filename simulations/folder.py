"""The folder of one simulated run, and the few facts that must be the same when it is resumed."""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from client.execution import Execution
from common.errors import CheckpointError, StudyError
from common.files import write_json
from common.locking import at_work, is_at_work
from simulations.engine.plan import AS_SUITS, Wanted

_FACTS = "run.json"
_PREPARING = "preparing"
"""Marks a folder as ours until `run.json` is there, so that a killed preparation can begin again."""


@dataclass(frozen=True)
class RunFolder:
    """Paths under one run's output folder."""

    path: Path

    @property
    def bundle(self) -> Path:
        """The prepared study."""
        return self.path / "bundle"

    @property
    def checkpoint(self) -> Path:
        """What the server needs to go on."""
        return self.path / "checkpoint"

    @property
    def sites(self) -> Path:
        """The virtual sites' own disks, one folder each."""
        return self.path / "sites"

    @property
    def crowd(self) -> Path:
        """The one disk of virtual sites that are too many for a folder each."""
        return self.path / "crowd"

    @property
    def engine(self) -> Path:
        """How clients are trained together."""
        return self.path / "engine.json"

    @property
    def scratch(self) -> Path:
        """Generated rows and models."""
        return self.path / "generated"

    @property
    def earlier(self) -> Path:
        """Of a run that goes on from another's end: what it begins with."""
        return self.path / "earlier"

    @property
    def adapter(self) -> Path:
        """The exported adapter."""
        return self.path / "adapter"

    @property
    def results(self) -> Path:
        """`results.json`."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """`report.html`."""
        return self.path / "report.html"

    @property
    def _facts(self) -> Path:
        return self.path / _FACTS

    def is_used(self) -> bool:
        """Whether a run was started here."""
        return self._facts.exists()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Prepare a new run in the block; if it fails or is interrupted, everything is as it was before.

        Raises:
            CheckpointError: a run, or several, are here. StudyError: the folder has other content, or cannot be made.
        """
        self._clear()
        self._check_free()
        missing = [place for place in (self.path, *self.path.parents) if not place.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / _PREPARING).touch()
        except OSError as error:
            raise StudyError(f"--out {self.path} cannot be written ({error.strerror}); choose another folder") from None
        try:
            yield
        except BaseException:
            self._facts.unlink(missing_ok=True)
            self._clear()
            for place in missing:
                with suppress(OSError):  # somebody else's files came in
                    place.rmdir()
            raise
        (self.path / _PREPARING).unlink()

    def _check_free(self) -> None:
        if self.is_used():
            raise CheckpointError(f"{self.path} holds a run already; go on with --resume, or choose another --out")
        if self.path.exists() and not self.path.is_dir():
            raise StudyError(f"--out {self.path} is a file; name a folder that is empty or not there")
        if any(self.path.glob(f"seed-*/{_FACTS}")):
            raise CheckpointError(f"{self.path} holds runs over several seeds; give --seeds too, or another --out")
        if self.path.exists() and any(self.path.iterdir()):
            raise StudyError(f"--out {self.path} is not empty and holds no run of fedpeft; choose another folder")

    def _clear(self) -> None:
        """Remove what an unfinished preparation left, and nothing else."""
        if self.is_used() or not (self.path / _PREPARING).exists():
            return
        for folder in (self.bundle, self.scratch, self.earlier):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (*self.path.glob(f".{_FACTS}.*"), self.engine, self.path / _PREPARING):
            file.unlink(missing_ok=True)

    def start(self, facts: "RunFacts") -> None:
        """Write what a resumption must not change."""
        write_json(self._facts, asdict(facts))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Show that a process plays the run while the block runs. Raises CheckpointError: another one does."""
        if is_at_work(self._facts):
            raise CheckpointError(f"another process plays the run in {self.path}; wait until it is done, or end it")
        with at_work(self._facts):
            yield

    def facts(self) -> "RunFacts":
        """Return what `start` wrote."""
        try:
            content = json.loads(self._facts.read_text())
            execution = Execution(**content.pop("execution"))
            groups = Wanted(**content.pop("groups", {}))
            return RunFacts(execution=execution, groups=groups, **content)
        except FileNotFoundError:
            raise CheckpointError(f"no run to resume in {self.path}; leave out --resume to start one") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{self._facts} cannot be read ({type(error).__name__}); the run is lost") from None


@dataclass(frozen=True)
class RunFacts:
    """Identity of a run, its study (digest before locking), bundle and rows (digest of the file), how it computes.

    groups: what was asked for of the clients that train together. crowd: whether the sites share one disk.
    """

    run: str
    study_file: str
    bundle: str
    rows: str
    seed: int
    execution: Execution
    groups: Wanted = AS_SUITS
    crowd: bool = False


def check_seeds(folder: Path, *, resume: bool) -> None:
    """Raise UserError unless `folder` can hold runs over several seeds: it is new, or holds such runs and `resume`."""
    if RunFolder(folder).is_used():
        raise CheckpointError(f"{folder} holds a run of one seed; leave out --seeds, or choose another --out")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"--out {folder} is a file; name a folder that is empty or not there")
    if not resume and any(folder.glob(f"seed-*/{_FACTS}")):
        raise CheckpointError(f"{folder} holds runs already; go on with --resume, or choose another --out")
    patterns = ("seed-*", "adapter", "results.json", "report.html", "evidence.json", "diagnostics.csv")
    ours = {path.name for pattern in patterns for path in folder.glob(pattern)}
    if folder.exists() and {path.name for path in folder.iterdir()} - ours:
        raise StudyError(f"--out {folder} is not empty and holds no run of fedpeft; choose another folder")


def new_run_name() -> str:
    """Return a fresh name; it names, and never seeds anything."""
    return f"run-{uuid.uuid4().hex[:12]}"
