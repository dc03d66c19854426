import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from common.images import read_image
from simulations.builtin_rows.quick_images import CLINICS, LABELS, rows, write


def test_rows_are_three_unequal_clinics_with_patients_of_two_rows() -> None:
    table = rows()
    assert table == rows()
    assert Counter(row["site"] for row in table) == {clinic.name: clinic.rows for clinic in CLINICS}
    assert set(Counter(row["patient"] for row in table).values()) == {1, 2}
    assert {row["pattern"] for row in table} == set(LABELS)
    assert len({row["image"] for row in table}) == len(table)


def test_files_are_the_same_bytes_and_each_clinic_has_its_own_kind(tmp_path: Path) -> None:
    for place in ("a", "b"):
        with write(tmp_path / place).open(newline="") as file:
            assert list(csv.DictReader(file)) == rows()
    digests = [
        {row["image"]: hashlib.sha256((tmp_path / place / row["image"]).read_bytes()).digest() for row in rows()}
        for place in ("a", "b")
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) == len(rows())
    for clinic in CLINICS:
        with Image.open(tmp_path / "a" / f"quick-images/{clinic.name}-01.png") as image:
            assert (image.mode, image.size[::-1]) == (clinic.mode, clinic.size)


def test_stripes_run_down_so_that_the_means_of_columns_tell_the_label(tmp_path: Path) -> None:
    """Blotches are 0.5 in the mean of a column, stripes are not: the rows can be learned, but for 5 % of labels."""
    write(tmp_path)
    found = [np.asarray(read_image(tmp_path / row["image"]).convert("L")).mean(axis=0).std() for row in rows()]
    striped = np.array([row["pattern"] == "striped" for row in rows()])
    right = np.mean((np.array(found) > np.median(found)) == striped)
    assert 0.8 < right < 1
