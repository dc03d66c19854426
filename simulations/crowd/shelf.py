"""Where a crowd's records are: `FOLDER/0001/RUN/train-000003.records`, a number for each process that has played it.

A process writes under a number that no other has, so that nobody meets in a file; it reads what all have written. Of
training rounds the last two are kept.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from client.store import KEPT_ROUNDS, safe_name
from common.state import AdapterState
from simulations.crowd.appending import Appending
from simulations.crowd.records import Place, Record, encoded, read, scanned

SCORES: Final = "scores"
TRAIN: Final = "train"
_SUFFIX: Final = ".records"


@dataclass(frozen=True)
class Chapter:
    """Which records are in one file: of a run, of a kind (`train`, `evaluate`, `scores`), of a round."""

    run: str
    kind: str
    round: int

    @property
    def name(self) -> str:
        """Of its file, in a process's own folder."""
        return f"{safe_name(self.run)}/{self.kind}-{self.round:06d}{_SUFFIX}"

    @staticmethod
    def of(path: Path) -> "Chapter":
        """Return what a file holds."""
        kind, number = path.name.removesuffix(_SUFFIX).rsplit("-", 1)
        return Chapter(path.parent.name, kind, int(number))


@dataclass
class Shelf:
    """The records under `folder`, by chapter and site; a later one of the same takes the place of the earlier."""

    folder: Path
    _places: dict[Chapter, dict[str, Place]] = field(default_factory=dict)
    _open: dict[Chapter, Appending] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)
    _own: Path | None = None
    _is_read: bool = False

    @property
    def own(self) -> Path:
        """This process's folder, which is made when something is first written."""
        if self._own is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own = _claimed(self.folder)
        return self._own

    def look(self) -> None:
        """Read what other processes have written since."""
        self._is_read = True
        for path in sorted(self.folder.glob(f"*/*/*{_SUFFIX}")):
            if path.parent.parent != self._own:
                self._look_into(path)

    def _look_into(self, path: Path) -> None:
        """Read what is new in a file; one that its writer has dropped meanwhile is of the past."""
        with suppress(FileNotFoundError):
            self._read_on(path)

    def _read_on(self, path: Path) -> None:
        chapter, start = Chapter.of(path), self._read.get(path, 0)
        places = self._places.setdefault(chapter, {})
        if path.stat().st_size > start:
            for place, about in scanned(path, start):
                places[about["site"]] = place
                self._read[path] = place.offset + place.size

    def write(self, chapter: Chapter, site: str, about: dict[str, Any], tensors: AdapterState) -> None:
        """Add a record; it is with the system when this returns."""
        if not self._is_read:
            self.look()
        file = self._open.get(chapter) or self._opened(chapter)
        content = encoded({"site": site, **about}, tensors)
        offset = file.append(content)
        self._places.setdefault(chapter, {})[site] = Place(file.path, offset, len(content))

    def _opened(self, chapter: Chapter) -> Appending:
        """Open the file of a chapter, and close and drop those that it puts into the past."""
        path = self.own / chapter.name
        path.parent.mkdir(exist_ok=True)
        for old in [each for each in self._open if each.kind == chapter.kind]:
            self._open.pop(old).close()
        if chapter.kind == TRAIN:
            self._drop(chapter.run, chapter.round - KEPT_ROUNDS)
        self._open[chapter] = Appending(path)
        return self._open[chapter]

    def _drop(self, run: str, last: int) -> None:
        for path in self.folder.glob(f"*/{run}/{TRAIN}-*{_SUFFIX}"):
            if Chapter.of(path).round <= last:
                path.unlink(missing_ok=True)
                self._read.pop(path, None)
        for old in [each for each in self._places if each.run == run and each.kind == TRAIN and each.round <= last]:
            del self._places[old]

    def chapters(self) -> Iterator[Chapter]:
        """Yield what there is."""
        if not self._is_read:
            self.look()
        yield from self._places

    def rounds(self, run: str, kind: str, site: str) -> list[int]:
        """Return the rounds of which a site's record is there, ascending."""
        found = (c.round for c in self.chapters() if c.run == run and c.kind == kind and site in self._places[c])
        return sorted(found)

    def newest(self, run: str, kind: str) -> int:
        """Return the last round of which any site's record is there; 0 where there is none."""
        return max((c.round for c in self.chapters() if c.run == run and c.kind == kind), default=0)

    def read(self, chapter: Chapter, site: str) -> Record | None:
        """Return a site's record, None where there is none. Raises CheckpointError: it cannot be read."""
        if not self._is_read or site not in self._places.get(chapter, {}):
            self.look()
        place = self._places.get(chapter, {}).get(site)
        return None if place is None else read(place)


def _claimed(folder: Path) -> Path:
    """Return a folder of a number that nobody has yet: making one is one step, whoever else makes some."""
    number = len(list(folder.iterdir()))
    while True:
        number += 1
        try:
            (folder / f"{number:04d}").mkdir()
        except FileExistsError:
            continue
        return folder / f"{number:04d}"
