"""A run that leaks on purpose, and its audit, made once: many local epochs, a high rank, canaries repeated 20 times."""

from pathlib import Path

import pytest

from simulations.audit.auditing import Options, audit
from simulations.audit.findings import Audit
from simulations.run import run

LEAKY = (
    "training.local_epochs=15",
    "training.batch_size=16",
    "peft.rank=16",
    "evaluation.resamples=0",
    "simulation.canaries={site='east', count=8, repeats=20, references=200}",
)


@pytest.fixture(scope="session")
def leaky_overrides() -> tuple[str, ...]:
    """What makes the study `quick` leak."""
    return LEAKY


@pytest.fixture(scope="session")
def leaky_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    folder = tmp_path_factory.mktemp("leaky") / "run"
    run("quick", out=folder, rounds=2, overrides=list(LEAKY), comparison=False)
    return folder


@pytest.fixture(scope="session")
def leaky_audit(leaky_run: Path) -> Audit:
    """Its audit, with two shadow adapters; both files are in the run's folder."""
    return audit(leaky_run, Options(shadows=2, resamples=200))
