"""What a user wants of a further phase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # a section of a study, as TOML has it


@dataclass(frozen=True)
class Wish:
    """What a user wants of a further phase; None and empty leave things as they are.

    rows: the file with the new rows. replay: train on the old rows again, too. regulariser: what keeps the adapter
    near where it began, as `training.regulariser`. overrides: `key=value`.
    """

    rows: Path | None = None
    replay: bool = False
    regulariser: Mapping[str, Any] | None = None
    overrides: Sequence[str] = ()
