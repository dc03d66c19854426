"""How many bytes left in answer to one study, on the site's disk. What is counted once is never taken back."""

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import CheckpointError, RefusedError
from common.files import canonical_json, write_bytes

FILE = "spent.json"


@dataclass(frozen=True)
class Budget:
    """The counter of one study. `durable` waits for the disk."""

    path: Path
    durable: bool = True

    def spent(self) -> int:
        """Return the bytes counted so far. Raises CheckpointError where the file is damaged: then nothing leaves."""
        try:
            spent = json.loads(self.path.read_bytes())["bytes"]
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError):
            spent = None
        if isinstance(spent, bool) or not isinstance(spent, int) or spent < 0:
            raise CheckpointError(
                f'the site\'s file {self.path.name} does not say how many bytes left; expected {{"bytes": N}}, '
                "at least what the journal has for this study"
            )
        return spent

    def check(self, size_bytes: int, *, limit: int) -> None:
        """Raise RefusedError where there is no room for so many bytes more."""
        if self.spent() + size_bytes > limit:
            raise RefusedError("STUDY_BUDGET_SPENT")

    def spend(self, size_bytes: int, *, limit: int) -> None:
        """Count these bytes, on the disk when it returns, or raise RefusedError and count nothing."""
        self.check(size_bytes, limit=limit)
        total = canonical_json({"bytes": self.spent() + size_bytes})
        write_bytes(self.path, total, durable=self.durable, mode=0o600)
