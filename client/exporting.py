"""An export: the format by its name, a folder that is there whole or not at all, and what is said of it."""

from collections.abc import Iterator
from pathlib import Path

from client.export import Format, Order
from client.export._folder import new_folder, size_text
from client.opening import Place
from common import plugins
from common.errors import StudyError, UserError

PACKAGE = "client.export"


def export_to(
    name: str, place: Place, out: Path, *, private: Path | None = None, data: Path | None = None, threads: int = 1
) -> Iterator[str]:
    """Write `out` in the format of this name, and yield lines for the user. Raises UserError; then nothing is left."""
    chosen = _format(name)
    if data is not None and name != "int8":
        raise UserError(f"--data is for --format int8, which is measured on it; leave it out with --format {name}")
    with new_folder(out, is_private=private is not None) as folder:
        lines = list(chosen.write(Order(place, private, data, threads), folder))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    yield f"wrote {out}: format {name}, {size_text(size)}"
    yield from lines


def _format(name: str) -> Format:
    try:
        found: Format = plugins.build(PACKAGE, name, {}, key="--format")
    except StudyError as error:
        raise UserError(str(error)) from None
    return found
