"""Formats of `fedpeft export`: one file is one format. What each writes is computed with again before it is left.

A format module has `build`, a frozen dataclass without options that is a `Format`, and imports without torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from client.opening import Place


@dataclass(frozen=True)
class Order:
    """What is to be exported. private: the folder of a site's own tensors. data: labelled rows to measure with."""

    place: Place
    private: Path | None = None
    data: Path | None = None
    threads: int = 1


class Format(Protocol):
    """What a format file's `build` makes."""

    def write(self, order: Order, folder: Path) -> Iterator[str]:
        """Write to the empty `folder`, and yield lines for the user.

        Raises:
            UserError: the format is not for this adapter, or what was written computes something else.
        """
