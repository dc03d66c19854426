"""The tensors that a study keeps at a site (`peft.private`): in a folder, as training left them, or of a version."""

from pathlib import Path

import safetensors
import safetensors.numpy

from client.sealing import Seal, read_storage_key
from client.site_folder import SiteFolder
from client.store import SiteStore
from common.adapter_folder import Exported
from common.errors import BundleError, CheckpointError, SchemaError, UserError
from common.files import write_bytes
from common.state import AdapterState
from common.study_task import task_of
from common.tensor_files import to_safetensors

FILE = "private.safetensors"
"""What a simulation leaves for each of its sites, and what `--private` and `--site` name the folder of."""


def of_folder(folder: Path | None, exported: Exported) -> AdapterState:
    """Return the private tensors in a folder. Raises BundleError: none are given, not needed, or of another study."""
    schema = exported.schema.private
    if not schema.tensors and folder is not None:
        raise BundleError("--private: no tensor of this study is a site's own (peft.private); leave it out")
    if not schema.tensors:
        return {}
    if folder is None:
        raise BundleError(
            f"this study keeps {len(schema.tensors)} tensors at each site (peft.private); "
            f"name the folder with a site's own with --private, the one that holds {FILE}"
        )
    try:
        state = safetensors.numpy.load_file(folder / FILE)
        schema.check(state)
    except FileNotFoundError:
        raise BundleError(f"--private {folder}: there is no {FILE} in it") from None
    except (safetensors.SafetensorError, SchemaError) as error:
        raise BundleError(f"--private {folder}: {FILE} does not fit the study: {error}") from None
    return dict(state)


def latest(folder: SiteFolder, exported: Exported) -> AdapterState:
    """Return what the last run of the adapter's study left at this site; nothing where the study keeps nothing.

    Raises:
        UserError: it keeps tensors at each site, and this site has trained none.
    """
    schema = exported.schema.private
    if not schema.tensors:
        return {}
    measure, seal = task_of(exported.study.task).measure, Seal(read_storage_key(folder.storage_key))
    store = SiteStore(folder.study_state(exported.digests["bundle"]), measure=measure, seal=seal)
    runs = store.trained_runs()
    if not runs:
        raise UserError(
            f"study {exported.study.name!r} keeps {len(schema.tensors)} tensors at each site, and this site has none: "
            "it did not train in the study's run, so the adapter cannot be used here"
        )
    return _checked(store.last_private(runs[-1]), exported)


def of_version(folder: SiteFolder, name: str, number: int, exported: Exported) -> AdapterState:
    """Return the private tensors that were kept with a version of the site's registry. Raises UserError."""
    if not exported.schema.private.tensors:
        return {}
    seal, path = Seal(read_storage_key(folder.storage_key)), _path(folder, name, number)
    try:
        content = seal.open(path.read_bytes(), name=_sealed_name(name, number))
        return _checked(dict(safetensors.numpy.load(content)), exported)
    except OSError as error:
        raise CheckpointError(f"the private tensors of {name}@{number} cannot be read ({error.strerror})") from None


def keep(folder: SiteFolder, name: str, number: int, state: AdapterState) -> None:
    """Keep private tensors with a version, sealed, so that going back to it goes back to them."""
    if state:
        seal = Seal(read_storage_key(folder.storage_key))
        content = seal.close(to_safetensors(state), name=_sealed_name(name, number))
        write_bytes(_path(folder, name, number), content, mode=0o600)


def _path(folder: SiteFolder, name: str, number: int) -> Path:
    return folder.adapters / name / "private" / f"{number:04d}.sealed"


def _sealed_name(name: str, number: int) -> str:
    return f"adapters/{name}/{number:04d}.sealed"


def _checked(state: AdapterState, exported: Exported) -> AdapterState:
    try:
        exported.schema.private.check(state)
    except SchemaError as error:
        raise CheckpointError(f"the site's private tensors do not fit the adapter: {error}") from None
    return state
