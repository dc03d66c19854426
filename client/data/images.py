"""Data source `images`: a table of one site, each row of which names an image file in the table's folder.

The file is what the study's template renders, the column `image` unless it says otherwise: a name relative to the
table's folder, with / between folders. No row reaches what is outside, by .. or by a link. Every image is unpacked
once when rows are read, so that what is wrong with one is said with its row; a file's name, which may be a patient's,
is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from client.data import Inputs, Rows
from client.data.table import naming, read_table, read_table_inputs
from common.data_schema import DataSection
from common.errors import DataError
from common.images import read_image
from common.study import TaskSection


@dataclass(frozen=True)
class Images:
    """The source; it has no options."""

    def read(self, path: Path, *, section: DataSection, task: TaskSection) -> Rows:
        """Return the labelled rows of a file; inputs are the paths of their images.

        Raises:
            DataError: the file, a column, a value, a label or an image is not what the study says.
        """
        rows = read_table(path, section=section, task=task)
        return replace(rows, inputs=_files(path, rows.inputs))

    def read_inputs(self, path: Path, *, section: DataSection) -> Inputs:
        """Return the images of a file's rows, which need neither labels nor patient ids: for prediction."""
        inputs = read_table_inputs(path, section=section)
        return replace(inputs, inputs=_files(path, inputs.inputs))

    def wrong_inputs(self, path: Path, inputs: Sequence[str]) -> Sequence[str | None]:
        """Say of each row's image why it cannot be read; None where it can."""
        return [_wrong(path.parent, name) for name in inputs]

    def files_beside(self, path: Path, inputs: Sequence[str]) -> Mapping[str, Path]:
        """Return the images, by the name that the table has for them."""
        return {name: image_file(path.parent, name) for name in inputs}


def _files(table: Path, names: Sequence[str]) -> list[str]:
    """Return the path of every row's image, each unpacked once."""
    found = []
    with naming(table.name):
        for row, name in enumerate(names, start=1):
            wrong = _wrong(table.parent, name)
            if wrong is not None:
                raise DataError(f"row {row}: {wrong}")
            found.append(str(image_file(table.parent, name)))
    return found


def _wrong(folder: Path, name: str) -> str | None:
    try:
        read_image(image_file(folder, name))
    except DataError as error:
        return str(error)
    return None


def image_file(folder: Path, name: str) -> Path:
    """Return the file of this name in `folder`, links followed. Raises DataError where it is not below the folder."""
    pure = PurePosixPath(name)
    if not name or "\0" in name:
        raise DataError("it names no image file; give every row one")
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise DataError("its image is not given by a name within the table's folder, such as scans/1.png")
    try:
        found = (folder / pure).resolve()
    except (OSError, RuntimeError):  # a circle of links
        raise DataError("its image is a link that leads nowhere; give the file itself") from None
    if not found.is_relative_to(folder.resolve()):
        raise DataError("its image is a link to what is outside the table's folder; move the file there")
    return found


build = Images
