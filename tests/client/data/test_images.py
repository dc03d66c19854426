"""Rows that name image files: only files below the table's folder, and errors that name the row alone."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.data.images import Images, image_file
from common.data_schema import DataSection
from common.errors import DataError
from common.study import TaskSection

SECTION = DataSection(kind="images", patient_id="patient")
TASK = TaskSection(kind="image-classification", target="ill", labels=("no", "yes"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table's folder with `scans/1.png`, beside a secret one."""
    for name in ("rows/scans/1.png", "rows/2.png", "secret/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 9, dtype=np.uint8)).save(tmp_path / name)
    return tmp_path / "rows"


def table(folder: Path, *images: str) -> Path:
    lines = ["patient,image,ill", *(f"SECRET-{i},{image},{('no', 'yes')[i % 2]}" for i, image in enumerate(images))]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return folder / "rows.csv"


def read(path: Path) -> list[str]:
    return list(Images().read(path, section=SECTION, task=TASK).inputs)


def test_the_column_image_is_read_unless_the_study_says_otherwise(folder: Path) -> None:
    found = read(table(folder, "scans/1.png", "2.png"))
    assert found == [str(folder / "scans/1.png"), str(folder / "2.png")]
    assert list(Images().read_inputs(folder / "rows.csv", section=SECTION).inputs) == found


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to("scans/1.png")
    assert read(table(folder, "link.png", "2.png"))[0] == str(folder / "scans/1.png")


def out_of(folder: Path) -> dict[str, str]:
    (folder / "link.png").symlink_to(folder.parent / "secret/3.png")
    (folder / "linked").symlink_to(folder.parent / "secret")
    (folder / "circle.png").symlink_to("circle.png")
    os.mkfifo(folder / "pipe.png")
    return {
        "../secret/3.png": "within the table's folder",
        "scans/../../secret/3.png": "within the table's folder",
        "scans/../2.png": "within the table's folder",
        str(folder.parent / "secret/3.png"): "within the table's folder",
        "..\\secret\\3.png": "within the table's folder",
        "link.png": "outside the table's folder",
        "linked/3.png": "outside the table's folder",
        "circle.png": "no image|leads nowhere",
        "pipe.png": "is no file",
        "scans": "is no file",
        "absent.png": "no image file",
        "": "names no image file",
        "x" * 5000: "no image file|leads nowhere",
    }


def test_what_is_not_a_file_of_the_folder_is_refused_with_its_row_alone(folder: Path) -> None:
    for name, expected in out_of(folder).items():
        with pytest.raises(DataError, match=rf"^data file 'rows\.csv', row 2: .*({expected})") as caught:
            read(table(folder, "2.png", name))
        shown = str(caught.value)
        assert not [
            secret
            for secret in ("SECRET", str(folder), "3.png", "link.png", "linked", "pipe", "absent")
            if secret in shown
        ]


def test_every_wrong_image_is_found_by_a_check(folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    found = Images().wrong_inputs(folder / "rows.csv", ["2.png", "text.png", "", "scans/1.png"])
    assert [why is None for why in found] == [True, False, False, True]


def test_a_name_with_a_zero_byte_is_none(folder: Path) -> None:
    with pytest.raises(DataError, match="names no image file"):
        image_file(folder, "a\0b.png")
