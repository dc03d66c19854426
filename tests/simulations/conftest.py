"""A prepared run over the generated rows: virtual sites as a simulation opens them."""

from collections.abc import Callable
from functools import cache

import pytest

from common.study import Study
from simulations import stages
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites, resident_sites


@pytest.fixture(scope="session")
def open_run(make_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., VirtualSites]:
    """`open_run("section.key=value", ...)`: the resident sites of a run of two rounds, started once."""

    @cache
    def started(*overrides: str) -> str:
        study = make_study("federation.rounds=2", "training.local_epochs=1", *overrides)
        folder = RunFolder(tmp_path_factory.mktemp("run") / "out")
        stages.start(study, folder, threads=1, device="cpu")
        return str(folder.path)

    return lambda *overrides: resident_sites(started(*overrides))
