"""What every test run shares: no network, one thread, and no stopwatch on hypothesis, since machines are shared."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from client.data import Rows
from common.bundle import Bundle
from common.preparation import prepare
from common.quiet import silence
from common.study import Study
from common.workbench import Workbench, open_workbench
from simulations.catalogue import load
from simulations.virtual import read_sites

# Before any test imports flwr or torch, which read these then.
silence(os.environ)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In CI the same examples each time, so that a red run is about the change; elsewhere hypothesis goes on looking.
settings.register_profile(
    "fedpeft", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fedpeft")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated base model: 2 layers, 32 units, made in a fraction of a second."""
    from simulations.quick import write_model

    folder = tmp_path_factory.mktemp("base") / "tiny-bert"
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """`make_study("section.key=value", ...)`: the bundled `quick` with few resamples, and with these overrides."""

    def make(*overrides: str) -> Study:
        fast = ["evaluation.resamples=20", "training.precision=fp32", "federation.sites=['east','north','west']"]
        return load("quick", overrides=[*fast, *overrides])

    return make


@pytest.fixture(scope="session")
def site_rows(make_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Rows]:
    """The generated rows of each site of `quick`."""
    return read_sites(make_study(), tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def open_bench(make_study: Callable[..., Study], tiny_model: Path) -> Callable[..., Workbench]:
    """`open_bench("section.key=value", ..., seed=0)`: a workbench of the test's own, in its initial state."""

    def make(*overrides: str, seed: int = 0) -> Workbench:
        return open_workbench(make_study(*overrides), tiny_model, seed=seed)

    return make


@pytest.fixture(scope="session")
def make_bundle(
    make_study: Callable[..., Study], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Bundle]:
    """`make_bundle("section.key=value", ...)`: the prepared study, the same object for the same overrides."""

    @cache
    def make(*overrides: str) -> Bundle:
        return prepare(make_study(*overrides), tiny_model, tmp_path_factory.mktemp("bundle") / "it")

    return make
