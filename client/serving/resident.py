"""The one model of a service: base, adapter, and every site's own tensors, which take turns in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any  # a prediction's columns hold words and numbers

from client import private_tensors
from client.batches import scoring_batches, take
from client.forward import pad_id, to_device
from client.opening import Opened, open_model, open_without_private, place_of
from client.whole_model import is_whole_model
from common.adapter_folder import FACTS, Exported, read_adapter
from common.adapter_reference import adapter_folder
from common.errors import UserError
from common.files import digest_json
from common.state import AdapterState
from common.study import Study
from common.tasks import AnyExample

if TYPE_CHECKING:
    from torch import Tensor

Own = Mapping[str, AdapterState]
"""By site, its own tensors."""


@dataclass(frozen=True)
class Version:
    """An adapter's tensors, ready to be written: the shared ones, and each site's own; none of a whole model."""

    digest: str
    shared: AdapterState
    own: Own


@dataclass
class Resident:
    """The model in memory; one thread at a time may call `answer` or `write`."""

    opened: Opened
    version: Version
    sites: tuple[str, ...]
    _own: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _site: str | None = None

    def write(self, version: Version) -> None:
        """Put other tensors in place of those that are there."""
        import torch

        if version.shared:
            first = next(iter(version.own.values()), {})
            self.opened.bench.write({**version.shared, **first})
        device = self.opened.execution.device
        self._own = {
            site: {name: torch.tensor(array).to(device) for name, array in own.items()}
            for site, own in version.own.items()
        }
        self._site, self.version = next(iter(version.own), None), version

    def answer(
        self, examples: Sequence[AnyExample], site: str | None, *, batch_size: int
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """Return each row's prediction, in the rows' order, and the sizes of the batches."""
        import torch

        self._turn_to(site)
        bench, execution = self.opened.bench, self.opened.execution
        found: list[Any] = [None] * len(examples)
        sizes = []
        with torch.inference_mode(), execution.autocast():
            for index in scoring_batches([e.length for e in examples], batch_size=batch_size):
                batch = to_device(bench.task.collate(take(examples, index), pad_id=pad_id(bench)), execution)
                rows = bench.task.predict(bench.model, bench.head, batch, bench.reader)
                for place, row in zip(index.tolist(), rows, strict=True):
                    found[place] = row
                sizes.append(len(index))
        return found, sizes

    def _turn_to(self, site: str | None) -> None:
        if site is not None and site != self._site and site in self._own:
            self.opened.bench.write_some(self._own[site])
            self._site = site


def open_resident(
    named: Path, *, base_model: Path | None, sites: Mapping[str, Path], device: str, threads: int
) -> Resident:
    """Load the model and every site's own tensors. Raises UserError."""
    place = place_of(named, base_model)
    if is_whole_model(place.folder):
        if sites:
            raise UserError(f"--site: {place.folder} was exported whole, for one site or for all; leave it out")
        opened = open_model(place, device=device, threads=threads)
        resident = Resident(opened, Version(digest_json(dict(opened.digests)), {}, {}), ())
    else:
        exported = read_adapter(place.folder)
        version = version_of(exported, sites)
        opened = open_without_private(place, exported, device=device, threads=threads)
        resident = Resident(opened, version, tuple(sites))
        resident.write(version)
    opened.bench.model.eval()
    opened.bench.head.eval()
    return resident


def version_of(exported: Exported, sites: Mapping[str, Path]) -> Version:
    """Return an adapter's tensors with every site's own. Raises UserError: sites are needed, or are not."""
    if exported.schema.private.tensors and not sites:
        raise UserError(
            f"this study keeps {len(exported.schema.private.tensors)} tensors at each site (peft.private); give "
            "each site's folder with --site NAME=DIR"
        )
    if sites and not exported.schema.private.tensors:
        raise UserError("--site: no tensor of this study is a site's own (peft.private); leave it out")
    own = {site: _own_of(exported, site, folder) for site, folder in sites.items()}
    return Version(exported.digests["adapter"], dict(exported.shared), own)


def _own_of(exported: Exported, site: str, folder: Path) -> AdapterState:
    try:
        return private_tensors.of_folder(folder, exported)
    except UserError as error:
        raise UserError(f"--site {site}={str(error).removeprefix('--private ')}") from None


def next_version(resident: Resident, named: Path, sites: Mapping[str, Path]) -> Version:
    """Read what `named` means by now.

    Raises:
        UserError: it does not fit the model in memory, which goes on as it is.
    """
    if is_whole_model(named) or not resident.version.shared:
        raise UserError("a model that was exported whole is loaded at the start; start the service again")
    exported = read_adapter(adapter_folder(named))
    if _fixed(exported.study) != _fixed(resident.opened.study):
        raise UserError(
            "the adapter is of another base model, method, task or data section than the one that is served; "
            "start the service again with it"
        )
    return version_of(exported, sites)


def mark_of(named: Path) -> tuple[str, int] | None:
    """Return what changes when `named` means another adapter; None where there is none at the moment."""
    try:
        folder = named if is_whole_model(named) else adapter_folder(named)
        return str(folder.resolve()), (folder / FACTS).stat().st_mtime_ns
    except (UserError, OSError):
        return None


def _fixed(study: Study) -> tuple[object, ...]:
    return study.base_model.digest, study.peft, study.task, study.data, study.training.precision
