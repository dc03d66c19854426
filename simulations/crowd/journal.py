"""The journals of a crowd in one file for each process that has played it: a line says whose it is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from client.journal import Entry
from simulations.crowd.appending import Appending
from simulations.crowd.shelf import Shelf

NAME: Final = "journal.jsonl"


@dataclass
class CrowdJournal:
    """Takes the entries of all sites; a line is with the system when `append` returns."""

    shelf: Shelf
    _file: Appending | None = field(default=None, repr=False)

    def append(self, entry: Entry) -> None:
        """Write one line with the time in UTC."""
        if self._file is None:
            self._file = Appending(self.shelf.own / NAME)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._file.append(json.dumps({"time": now, **vars(entry)}, allow_nan=False).encode() + b"\n")


def lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each whole line of a crowd's journals, with the site that it is of: those of one site in their order."""
    for path in sorted(folder.glob(f"*/{NAME}")):
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # else its writer was killed
                    yield json.loads(line)["site"], line
