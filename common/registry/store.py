"""A registry: a folder with numbered versions of adapters, each as it was when it was added.

A version that is damaged is named by whoever needs it; the others stay usable, and nothing but `prune` removes a file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.errors import SchemaError, UserError
from common.files import write_json
from common.locking import exclusive
from common.names import NAME
from common.registry import history, run_folder
from common.registry.facts import Found, continued_from, entry
from common.registry.layout import PRUNED, ModelFolder
from common.registry.reading import DamagedError, Problem, file_problems, problems, read_version
from common.registry.retention import to_prune
from common.registry.versions import Version
from common.registry.writing import clear, drop_files, put

FORMAT = 1


@dataclass(frozen=True)
class Registry:
    """The registry in the folder `path`, which need not be there yet."""

    path: Path

    def names(self) -> list[str]:
        """Return the names that have versions or a history. Raises UserError: the registry is a file."""
        if not self.path.is_dir():
            if self.path.exists():
                raise UserError(f"--registry {self.path} is a file, expected a registry's folder")
            return []
        models = (ModelFolder(path) for path in sorted(self.path.iterdir()) if NAME.fullmatch(path.name))
        return [model.name for model in models if model.versions.is_dir() or model.history.exists()]

    def model(self, name: str) -> ModelFolder:
        """Return the folder of a name that is there. Raises UserError."""
        if name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise UserError(f"there is no model {name!r} in the registry {self.path}; there are: {known}")
        return ModelFolder(self.path / name)

    def add(self, run: Path, *, name: str | None = None, parent: int | None = None) -> Version:
        """Add the adapter of a finished run, or of an adapter's folder, as a new version; the files are copied.

        name: the model's, by default the study's. parent: number of the version that it was continued from; not given,
            the one whose adapter a further phase says that it began with.

        Raises:
            UserError: the run is not finished or none; the adapter is a version already; there is no such parent.
        """
        source = run_folder.find(run)
        found = run_folder.read(source)
        name = found.exported.study.name if name is None else name
        with self._writing(name, make=True) as model:
            parent = self._parent_of(model, found) if parent is None else parent
            self._check_new(model, found.exported.digests["adapter"], parent)
            number = max(model.numbers(), default=0) + 1
            created = datetime.now(UTC).isoformat(timespec="seconds")
            version = put(
                model,
                number,
                source,
                lambda files: entry(found, number=number, name=model.name, parent=parent, created=created, files=files),
            )
            history.note(model.history, "added", number, version.run or "an adapter's folder")
        return version

    def _parent_of(self, model: ModelFolder, found: Found) -> int | None:
        numbers = {each.digests.adapter: each.number for each in self._readable(model)}
        return numbers.get(continued_from(found) or "")

    def _check_new(self, model: ModelFolder, adapter: str, parent: int | None) -> None:
        known = self._readable(model)
        same = [each for each in known if each.digests.adapter == adapter and self._is_whole(model, each)]
        if same:
            raise UserError(f"this adapter is {model.name}@{same[-1].number} already; nothing was added")
        if parent is not None and parent not in {each.number for each in known}:
            raise UserError(f"there is no {model.name}@{parent} that a version could be continued from")

    def _is_whole(self, model: ModelFolder, version: Version) -> bool:
        return not model.is_pruned(version.number) and next(file_problems(model, version), None) is None

    def versions(self, name: str) -> list[Version]:
        """Return every version whose entry can be read, in order; also of those that gave up their files."""
        return self._readable(self.model(name))

    def _readable(self, model: ModelFolder) -> list[Version]:
        found = []
        for number in model.numbers():
            try:
                found.append(read_version(model, number))
            except DamagedError:
                continue  # `problems` names it
        return found

    def version(self, name: str, number: int) -> Version:
        """Return one version. Raises UserError: there is none, or its entry is damaged."""
        model = self.model(name)
        if number not in model.numbers():
            known = ", ".join(map(str, model.numbers())) or "none"
            raise UserError(f"there is no {name}@{number} in the registry {self.path}; versions are: {known}")
        return read_version(model, number)

    def current(self, name: str) -> history.Current:
        """Return which version is promoted; where the file that says it is damaged or gone, the history does."""
        model = self.model(name)
        try:
            found = history.read_current(model.current)
        except (SchemaError, OSError):
            found = None
        return history.replay(history.read_events(model.history)[0]) if found is None else found

    def promoted(self, name: str) -> Version | None:
        """Return the promoted version, None where none is. Raises UserError: its entry is damaged."""
        number = self.current(name).version
        return None if number is None else self.version(name, number)

    def promote(self, name: str, number: int, *, reason: str = "") -> Version:
        """Let the name mean this version. Raises UserError: it does already, or the version cannot be used."""
        with self._writing(name) as model:
            current, version = self.current(name), self.usable(name, number)
            if current.version == number:
                raise UserError(f"{name}@{number} is the promoted version already")
            history.write_current(model.current, current.promoted(number))
            history.note(model.history, "promoted", number, reason)
        return version

    def rollback(self, name: str, *, reason: str = "") -> Version:
        """Let the name mean the version that was promoted before. Raises UserError: there is none."""
        with self._writing(name) as model:
            current = self.current(name)
            to = self._before(model, current)
            if to is None:
                raise UserError(f"no version of {name} was promoted before {_named(name, current)}; nothing changed")
            version = self.usable(name, to)
            history.write_current(model.current, current.rolled_back(to))
            history.note(model.history, "rolled back", to, reason)
        return version

    def _before(self, model: ModelFolder, current: history.Current) -> int | None:
        """Return the version to which rollback would go: of those promoted before, the last that has its files."""
        left = [number for number in current.before if number != current.version and not model.is_pruned(number)]
        return left[-1] if left else None

    def prune(self, name: str, keep: int) -> list[int]:
        """Have all but the newest `keep` versions give up their files, and return their numbers.

        The promoted version and that to which rollback would go keep theirs. What is left of a version is its entry.
        """
        with self._writing(name) as model:
            current = self.current(name)
            protected = {number for number in (current.version, self._before(model, current)) if number is not None}
            whole = [number for number in model.numbers() if not model.is_pruned(number)]
            chosen = to_prune(whole, keep=keep, protected=protected)
            for number in chosen:
                write_json(model.version(number) / PRUNED, {"format": FORMAT})
                history.note(model.history, "pruned", number, f"kept are the newest {keep}")
            for number in filter(model.is_pruned, model.numbers()):  # also what a killed one has left
                drop_files(model.version(number))
        return chosen

    def usable(self, name: str, number: int) -> Version:
        """Return a version all of whose files are as they were. Raises UserError, one line that names the first."""
        version = self.version(name, number)
        model = self.model(name)
        if model.is_pruned(number):
            raise UserError(f"{name}@{number} gave up its files (`fedpeft registry prune`); choose another version")
        problem = next(file_problems(model, version), None)
        if problem is not None:
            raise DamagedError(f"{problem}; choose another version, or put the file back")
        return version

    def adapter(self, name: str, number: int) -> Path:
        """Return the folder of a version's adapter, every file of the version checked. Raises UserError."""
        self.usable(name, number)
        return self.model(name).version(number) / run_folder.ADAPTER

    def is_pruned(self, name: str, number: int) -> bool:
        """Whether a version has given up its files."""
        return self.model(name).is_pruned(number)

    def pruned(self, name: str) -> list[int]:
        """Return the numbers of the versions that have given up their files."""
        model = self.model(name)
        return [number for number in model.numbers() if model.is_pruned(number)]

    def problems(self, name: str, *, files: bool = True) -> list[Problem]:
        """Return everything that is wrong with a name; without `files` only its entries are read, not the adapters."""
        return list(problems(self.model(name), files=files))

    def events(self, name: str) -> list[history.Event]:
        """Return what happened to a name, the oldest first; lines that cannot be read are left out."""
        return history.read_events(self.model(name).history)[0]

    def note(self, name: str, event: history.Kind, version: int | None, reason: str) -> None:
        """Write a line into the history of a name, which may be new."""
        with self._writing(name, make=True) as model:
            history.note(model.history, event, version, reason)

    @contextmanager
    def _writing(self, name: str, *, make: bool = False) -> Iterator[ModelFolder]:
        """Hold the name's lock, and clear what killed writers have left."""
        if not NAME.fullmatch(name):
            raise UserError(f"{name!r:.70}: expected a model's name, 1 to 63 letters, digits, '.', '_' and '-'")
        model = ModelFolder(self.path / name) if make else self.model(name)
        if make:
            model.versions.mkdir(parents=True, exist_ok=True)
        with exclusive(model.lock):
            clear(model.leftovers())
            yield model


def _named(name: str, current: history.Current) -> str:
    return f"{name}@{current.version}, the promoted one" if current.version is not None else "any other"
