"""The journal: one JSON line for everything that the gate let through or refused. Append only; never any content."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from common.files import append_json_line
from common.protocol import Kind


@dataclass(frozen=True)
class Entry:
    """What left or was refused: which study, run and round, how many tensors and bytes, and their digest."""

    decision: Literal["released", "refused"]
    site: str
    study: str
    run: str
    round: int
    kind: Kind
    reason: str | None
    tensors: int
    size_bytes: int
    digest: str | None
    metrics: Sequence[str]


@dataclass(frozen=True)
class Journal:
    """An append-only JSONL file; a line is on disk when `append` returns if `durable`."""

    path: Path
    durable: bool = True

    def append(self, entry: Entry) -> None:
        """Write one line with the time in UTC."""
        append_json_line(self.path, asdict(entry), durable=self.durable)
