"""One version on disk: read, and looked through for what was cut off or changed. Each fault is one line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import BundleError, SchemaError
from common.files import digest_file
from common.registry.history import read_current, read_events
from common.registry.layout import OWN, VERSION, ModelFolder
from common.registry.versions import Version


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file; `version` is None for a file of the whole name."""

    name: str
    version: int | None
    file: str
    what: str

    def __str__(self) -> str:
        where = self.name if self.version is None else f"{self.name}@{self.version}"
        return f"{where}: {self.file} {self.what}"


class DamagedError(BundleError):
    """A version that cannot be used; the text is that of its problem."""


def read_version(model: ModelFolder, number: int) -> Version:
    """Read `version.json` of one version. Raises DamagedError, with one line that names version and file."""
    try:
        text = (model.version(number) / VERSION).read_bytes().decode()
        found = Version.from_json(text)
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read ({getattr(error, 'strerror', None) or 'not a text'})"
    except SchemaError as error:
        what = f"is cut off or was changed: {error}"
    else:
        if found.number == number:
            return found
        what = f"is that of version {found.number}"
    raise DamagedError(str(Problem(model.name, number, VERSION, what)))


def file_problems(model: ModelFolder, version: Version) -> Iterator[Problem]:
    """Yield the files of a version that are missing, cut off or changed, or that it does not know."""
    home = model.version(version.number)
    for file, digest in version.files.items():
        what = _fault(home / file, digest)
        if what is not None:
            yield Problem(model.name, version.number, file, what)
    for file in sorted(set(files_in(home)) - set(version.files)):
        yield Problem(model.name, version.number, file, "is not one of this version's files")


def _fault(path: Path, digest: str) -> str | None:
    try:
        return None if digest_file(path) == digest else "is cut off or was changed: it does not have its digest"
    except OSError as error:
        return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"


def files_in(home: Path) -> list[str]:
    """Return the paths of a version's files below its folder; hidden files are others' marks, not ours."""
    found = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.as_posix() not in OWN and not path.name.startswith("."))


def problems(model: ModelFolder, *, files: bool) -> Iterator[Problem]:
    """Yield what is wrong with a name: its versions in order, with their `files` if asked, then current and history."""
    for number in model.numbers():
        try:
            version = read_version(model, number)
        except DamagedError as error:
            yield _as_problem(model, number, error)
            continue
        if files and not model.is_pruned(number):
            yield from file_problems(model, version)
    yield from _common_problems(model)


def _as_problem(model: ModelFolder, number: int, error: DamagedError) -> Problem:
    return Problem(model.name, number, VERSION, str(error).partition(f"{VERSION} ")[2])


def _common_problems(model: ModelFolder) -> Iterator[Problem]:
    try:
        current = read_current(model.current)
        if current is not None and current.version is not None and current.version not in model.numbers():
            yield Problem(model.name, None, model.current.name, f"names version {current.version}, which there is not")
    except SchemaError as error:
        yield Problem(model.name, None, model.current.name, f"is cut off or was changed: {error}; history is used")
    except OSError as error:
        yield Problem(model.name, None, model.current.name, f"cannot be read ({error.strerror})")
    try:
        _, damaged = read_events(model.history)
    except OSError as error:
        yield Problem(model.name, None, model.history.name, f"cannot be read ({error.strerror})")
        return
    if damaged:
        lines = ", ".join(map(str, damaged[:5]))
        yield Problem(model.name, None, model.history.name, f"is cut off or was changed in line {lines}")
