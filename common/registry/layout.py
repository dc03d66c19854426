"""Where a registry keeps what: one folder for each model's name.

NAME/versions/0001/        version.json, adapter/, results.json, generated/; never changed once it is there
NAME/versions/0001/pruned.json   the version gave up its files; version.json stays, for those that descend from it
NAME/current.json          which version is promoted, and which were before it
NAME/history.jsonl         what happened, line by line
NAME/lock                  one writer at a time
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSION: Final = "version.json"
PRUNED: Final = "pruned.json"
OWN: Final = frozenset({VERSION, PRUNED})
"""Files of a version that are the registry's own, and of which `version.json` has no digest."""


@dataclass(frozen=True)
class ModelFolder:
    """Paths under one name of a registry."""

    path: Path

    @property
    def name(self) -> str:
        """The model's name."""
        return self.path.name

    @property
    def versions(self) -> Path:
        """All versions."""
        return self.path / "versions"

    @property
    def current(self) -> Path:
        """Which version is promoted."""
        return self.path / "current.json"

    @property
    def history(self) -> Path:
        """What happened."""
        return self.path / "history.jsonl"

    @property
    def lock(self) -> Path:
        """Held by who writes."""
        return self.path / "lock"

    def version(self, number: int) -> Path:
        """Return the folder of one version, which need not be there."""
        return self.versions / f"{number:04d}"

    def is_pruned(self, number: int) -> bool:
        """Whether a version has given up its files."""
        return (self.version(number) / PRUNED).exists()

    def numbers(self) -> list[int]:
        """Return the numbers of all versions, readable or not, in order; what a killed writer left is none."""
        if not self.versions.is_dir():
            return []
        return sorted(int(path.name) for path in self.versions.iterdir() if path.name.isdecimal() and path.is_dir())

    def leftovers(self) -> list[Path]:
        """Return what killed writers have left; only who holds the lock may ask."""
        patterns = ("versions/.*", f".{self.current.name}.*", f"versions/*/.{PRUNED}.*")
        return [path for pattern in patterns for path in self.path.glob(pattern)]
