"""The folder of one simulated run, and the few facts that must be the same when it is resumed."""

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from client.execution import Execution
from common.errors import CheckpointError
from common.files import write_json


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
    def scratch(self) -> Path:
        """Generated rows and models."""
        return self.path / "generated"

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
        return self.path / "run.json"

    def is_used(self) -> bool:
        """Whether a run was started here."""
        return self._facts.exists()

    def start(self, facts: "RunFacts") -> None:
        """Write what a resumption must not change."""
        write_json(self._facts, asdict(facts))

    def facts(self) -> "RunFacts":
        """Return what `start` wrote."""
        try:
            content = json.loads(self._facts.read_text())
            execution = Execution(**content.pop("execution"))
            return RunFacts(execution=execution, **content)
        except FileNotFoundError:
            raise CheckpointError(f"no run to resume in {self.path}; leave out --resume to start one") from None
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{self._facts} cannot be read ({type(error).__name__}); the run is lost") from None


@dataclass(frozen=True)
class RunFacts:
    """Identity of a run, its study (digest before locking) and bundle, and how it computes."""

    run: str
    study_file: str
    bundle: str
    seed: int
    execution: Execution


def new_run_name() -> str:
    """Return a fresh name; it names, and never seeds anything."""
    return f"run-{uuid.uuid4().hex[:12]}"
