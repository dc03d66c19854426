"""A finished simulated run, opened for its audit: its sites and rows, and the adapter before and after."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from client.private_tensors import FILE
from client.row_losses import row_losses
from client.site_rows import SplitRows
from common.adapter_folder import read_adapter
from common.bundle import read_bundle
from common.errors import UserError
from common.metrics.types import Floats
from common.state import AdapterState
from common.study import Study
from common.tasks import AnyExample
from simulations.audit.canaries import is_canary
from simulations.folder import RunFolder
from simulations.resuming import check_same_files
from simulations.virtual import VirtualSites, resident_sites

StateOf = Callable[[str], AdapterState]


@dataclass(frozen=True)
class OpenedRun:
    """`shared`: the exported adapter."""

    sites: VirtualSites
    shared: AdapterState

    @property
    def study(self) -> Study:
        """The study as it ran."""
        return self.sites.bundle.study

    def initial(self, site: str) -> AdapterState:  # noqa: ARG002 # all sites begin alike
        """Return the adapter before round 1: the base model says with it what it says of rows nobody trained on."""
        return self.sites.bundle.initial

    def final(self, site: str) -> AdapterState:
        """Return the exported adapter, with the site's own private tensors where the study has such."""
        if not self.sites.bundle.schema.private.names:
            return self.shared
        return {**self.shared, **load_file(self.sites.folder.sites / site / FILE)}

    def losses(self, state: AdapterState, examples: Sequence[AnyExample]) -> Floats:
        """Return each row's loss under an adapter."""
        self.sites.bench.write(state)
        return row_losses(self.sites.bench, examples, execution=self.sites.execution)


def open_run(path: Path) -> OpenedRun:
    """Open the run in a folder. Raises UserError unless it is finished, whole, and of rows that are as they were."""
    folder = RunFolder(path.resolve())
    if not folder.is_used() and any(path.glob("seed-*/run.json")):
        raise UserError(f"{path} holds runs over several seeds; audit one of them, such as {path / 'seed-0'}")
    if not folder.is_used():
        raise UserError(f"{path} holds no simulated run; give the --out folder of a `fedpeft simulate`")
    if not folder.results.exists():
        raise UserError(f"the run in {path} is not finished; go on with --resume first")
    check_same_files(read_bundle(folder.bundle).study, folder)
    return OpenedRun(resident_sites(str(folder.path)), read_adapter(folder.adapter).shared)


@dataclass(frozen=True)
class Pool:
    """Rows whose membership is to be told: of each its site, patient, and whether the model trained on it.

    Patients of different sites are different ones.
    """

    examples: Sequence[AnyExample]
    sites: NDArray[np.str_]
    patients: NDArray[np.str_]
    members: NDArray[np.bool_]

    def losses(self, run: OpenedRun, state: StateOf) -> Floats:
        """Return each row's loss under the adapter that `state` gives for its site."""
        found = np.empty(len(self.examples))
        for site in np.unique(self.sites):
            chosen = self.sites == site
            found[chosen] = run.losses(state(str(site)), self.of(chosen).examples)
        return found

    def of(self, rows: NDArray[np.bool_]) -> "Pool":
        """Return some of the rows."""
        chosen = [example for example, keep in zip(self.examples, rows, strict=True) if keep]
        return Pool(chosen, self.sites[rows], self.patients[rows], self.members[rows])


def training_and_test(run: OpenedRun) -> Pool:
    """Return the training rows of all sites, the members, and their test rows; canaries are neither."""
    return _pool(
        (site, part, member) for site, rows in _parts(run) for part, member in ((rows[0], True), (rows[2], False))
    )


def validation_and_test(run: OpenedRun) -> Pool:
    """Return validation rows as if they were members, and test rows: the model trained on neither."""
    return _pool(
        (site, part, member) for site, rows in _parts(run) for part, member in ((rows[1], True), (rows[2], False))
    )


def _parts(run: OpenedRun) -> Iterable[tuple[str, tuple[SplitRows, SplitRows, SplitRows]]]:
    for site in sorted(run.sites.rows):
        rows = run.sites.rows[site]
        yield site, (rows.train, rows.validation, rows.test)


def _pool(parts: Iterable[tuple[str, SplitRows, bool]]) -> Pool:
    found = [
        (example, site, f"{site}|{patient}", member)
        for site, part, member in parts
        for example, patient in zip(part.examples, part.patients, strict=True)
        if not is_canary(patient)
    ]
    examples, sites, patients, members = zip(*found, strict=True) if found else ((), (), (), ())
    return Pool(examples, np.array(sites, dtype=str), np.array(patients, dtype=str), np.array(members, dtype=bool))
