"""Image classification from end to end: files, a federation, an exported adapter, predictions of new files."""

import csv
import json
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from client.prediction import predict
from client.row_check import check_rows
from client.rows import read_rows
from common.errors import DataError
from common.study import Study
from simulations.catalogue import load
from simulations.export_sites import write_site_rows
from simulations.folder import RunFolder
from simulations.run import run


@pytest.fixture(scope="module")
def study() -> Study:
    return load("quick-images", overrides=["evaluation.resamples=20"])


def test_a_federation_learns_and_its_adapter_predicts_new_files(study: Study, tmp_path: Path) -> None:
    run(study, out=tmp_path / "run", comparison=False)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    pooled = results["rounds"][-1]["validation"]["pooled"]["auroc"]["value"]
    assert pooled > 0.65
    scratch = RunFolder(tmp_path / "run").scratch
    table = next(scratch.rglob("quick-images.csv"))
    found = predict(tmp_path / "run" / "adapter", table, base_folder=next(scratch.rglob("tiny-vit")))
    with table.open(newline="") as file:
        striped = [row["pattern"] == "striped" for row in csv.DictReader(file)]
    assert roc_auc_score(striped, found.column("probability_striped")) > 0.7


def test_sites_of_their_own_have_their_images_beside_their_rows(study: Study, tmp_path: Path) -> None:
    tables = write_site_rows(study, tmp_path / "sites")
    assert {path.name for path in tables} == {"east.csv", "north.csv", "west.csv"}
    rows = {path.stem: read_rows(path, study) for path in tables}
    assert {site: len(found) for site, found in rows.items()} == {"east": 60, "north": 45, "west": 30}
    assert all(Path(file).is_relative_to(tmp_path / "sites") for found in rows.values() for file in found.inputs)


def test_a_check_counts_images_that_cannot_be_read_and_a_run_names_the_first_row(study: Study, tmp_path: Path) -> None:
    east = write_site_rows(study, tmp_path)[0]
    with east.open(newline="") as file:
        images = [row["image"] for row in csv.DictReader(file)]
    assert check_rows(east, study).is_usable
    (tmp_path / images[4]).write_bytes(b"no image")
    (tmp_path / images[7]).unlink()
    report = check_rows(east, study)
    (column,) = (column for column in report.columns if column.name == "image")
    assert (column.wrong, column.row) == (2, 5)
    assert not report.is_usable
    with pytest.raises(DataError, match=r"data file 'east\.csv', row 5: its image is not PNG, JPEG or TIFF"):
        read_rows(east, study)
