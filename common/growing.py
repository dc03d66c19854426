"""Files that grow by lines while others read them: whole lines only, and each once."""

from collections.abc import Iterator
from pathlib import Path


def lines_after(path: Path, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield each whole line from byte `position` on, after the byte behind it; a line without its end waits for it.

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n"):
                return
            position += len(line)
            yield position, line
