"""Putting a new version into its place: built beside, on disk to the last byte, then renamed. Whole or not there."""

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from common.adapter_folder import read_adapter
from common.errors import UserError
from common.files import digest_file, sync, write_json
from common.registry.layout import VERSION, ModelFolder
from common.registry.reading import files_in
from common.registry.run_folder import ADAPTER, GENERATED, RESULTS, Source
from common.registry.versions import Version


def put(model: ModelFolder, number: int, source: Source, describe: Callable[[Mapping[str, str]], Version]) -> Version:
    """Copy a run's files into the new version's folder; `describe` makes its entry from the digests of the copies.

    Raises:
        UserError: the copy is not what was read before, or a file is a link, which could bring in anybody's.
    """
    place = model.version(number)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
    try:
        for origin, target in _copies(source, beside):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
            sync(target)
        version = describe({name: digest_file(beside / name) for name in files_in(beside)})
        if read_adapter(beside / ADAPTER).digests["adapter"] != version.digests.adapter:
            raise UserError(f"{source.adapter} was changed while it was copied; give the command again")
        write_json(beside / VERSION, version.to_json())
        beside.rename(place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync(place)
    return version


def _copies(source: Source, home: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each file and where its copy goes."""
    yield from _tree(source.adapter, home / ADAPTER)
    if source.results is not None:
        yield source.results, home / RESULTS
    if source.generated is not None:
        yield from _tree(source.generated, home / GENERATED / source.generated.name)


def _tree(origin: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    for path in sorted(origin.rglob("*")):
        if path.is_symlink():
            raise UserError(f"{origin} has a link, {path.name!r:.70}; expected files: copy the folder with cp -rL")
        if path.is_file() and not path.name.startswith("."):
            yield path, target / path.relative_to(origin)


def drop_files(home: Path) -> None:
    """Remove everything of a version but what is the registry's own."""
    for path in (home / ADAPTER, home / GENERATED):
        shutil.rmtree(path, ignore_errors=True)
    (home / RESULTS).unlink(missing_ok=True)


def clear(paths: Iterable[Path]) -> None:
    """Remove what killed writers have left."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
