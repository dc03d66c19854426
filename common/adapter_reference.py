"""What a user names as an adapter: its folder, its run's, or a version in a registry; and where its base model is."""

from pathlib import Path

from common.adapter_folder import TENSORS, read_adapter
from common.base_files import locate
from common.errors import ModelError, UserError
from common.registry.reference import resolve, version_at


def adapter_folder(named: Path) -> Path:
    """Return the exported adapter's folder that `named` means.

    named: an adapter's folder; a run's, whose adapter lies in `adapter/`; or a name in a registry, REGISTRY/NAME for
        its promoted version and REGISTRY/NAME@3 for the third, of which every file is checked.

    Raises:
        UserError: there is no adapter, or the version's files are not as they were.
    """
    for folder in (named, named / "adapter"):
        if (folder / TENSORS).is_file():
            return folder
    version = version_at(named)
    if version is not None:
        registry, reference = version
        return registry.adapter(reference.name, resolve(registry, reference))
    found = "a folder without one" if named.is_dir() else "a file" if named.exists() else "nothing"
    raise UserError(
        f"{named}: expected an adapter's folder (with {TENSORS}) or that of a finished run, found {found}; "
        "name what `fedpeft simulate --out` or a coordinator's run left, or REGISTRY/NAME"
    )


def base_folder(adapter: Path, given: Path | None) -> Path:
    """Return the folder of the base model of the adapter in `adapter`: `given`, else what its study says.

    Raises:
        UserError: it is not there.
    """
    if given is None:
        return _base_of(adapter, read_adapter(adapter).study.base_model.source)
    if not given.is_dir():
        raise ModelError(f"--base-model {given}: there is no such folder")
    return given


def _base_of(adapter: Path, source: str) -> Path:
    """Return the folder that `base_model.source` means here; a generated model lies beside its run's adapter."""
    if source.startswith("generated:"):
        folder = adapter.resolve().parent / "generated" / source.removeprefix("generated:")
        if folder.is_dir():
            return folder
        raise ModelError(
            f"the base model of this adapter, {source!r}, was generated for a simulation, and is not beside it; "
            f"name its folder with --base-model: {folder.name} under generated/ of the run"
        )
    if source.startswith("dir:"):
        beside = adapter.resolve().parent
        if (beside / "config.json").is_file():  # a student's: its adapter lies in its own folder
            return beside
        raise ModelError("this adapter's base model lay in a folder, which it does not name; give it with --base-model")
    return locate(source)
