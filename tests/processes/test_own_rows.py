"""A user's own table, from nothing to predictions: `study init`, a ten-line study, Parquet, partitions, `predict`."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from client.split import split_patients
from simulations.tiny_models.tiny_bert import write as write_model

pytestmark = pytest.mark.processes

FAST = ("--rounds=1", "--set=evaluation.resamples=10", "--set=task.max_length=32", "--no-comparison")
TEN_LINES = """\
name = "ten-lines"
base_model = { source = "dir:tiny-bert" }
task = { target = "died", labels = ["no", "yes"], max_length = 32 }
[data]
patient_id = "nhs number"
columns = { note = "text", pressure = "number", sex = { type = "category", mapping = { f = "woman", m = "man" } } }
[simulation]
data = "rows.csv"
site_column = "hospital"
"""
Row = Mapping[str, str]


def rows() -> Iterator[Row]:
    """Three hospitals of 40 rows; a comma in a text, an umlaut in a name's neighbour, and missing values."""
    for number in range(120):
        ill = number % 5 < 2
        yield {
            "hospital": ("St-Mary", "city", "south.2")[number % 3],
            "nhs number": f"{1000 + number // 2 * 2 + number % 2}",
            "note": f"{'fever, chills' if ill else 'rash für'} since day {number % 7} and no other complaint was told",
            "pressure": "" if number % 11 == 0 else f"{90 + number % 60}",
            "sex": "fm"[number % 4 > 1],
            "died": "yes" if ill else "no",
        }


def write_csv(path: Path, table: Sequence[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with rows and a base model."""
    folder = tmp_path_factory.mktemp("desk")
    write_csv(folder / "rows.csv", list(rows()))
    (folder / "ten-lines.toml").write_text(TEN_LINES)
    write_model(folder / "tiny-bert")
    return folder


def succeed(warm: Any, folder: Path, *arguments: object) -> str:
    done = warm(folder, *arguments)
    assert (done.code, done.err) == (0, "")
    return str(done.out)


def content_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def run(warm: Any, desk: Path) -> Path:
    """The ten-line study, played from another folder than its own."""
    (desk / "elsewhere").mkdir()
    study = "../ten-lines.toml"
    succeed(warm, desk / "elsewhere", "simulate", study, *FAST, "--out", "run", "--set=training.precision=fp32")
    return desk / "elsewhere" / "run"


def test_a_ten_line_study_runs_over_the_hospitals_of_its_column(run: Path) -> None:
    content = content_of(run)
    assert content["study"]["federation"]["sites"] == ["St-Mary", "city", "south.2"]
    assert {p["status"] for p in content["rounds"][0]["participation"].values()} == {"accepted"}


def test_a_study_that_init_wrote_runs_as_it_is(warm: Any, desk: Path) -> None:
    """But for the base model, which is not installed everywhere."""
    columns = ("--target=died", "--site-column=hospital", "--patient-id=nhs number")
    said = succeed(warm, desk, "study", "init", "rows.csv", *columns, "--out", "studies/my first.toml")
    assert said == "wrote studies/my first.toml; look at it, then: fedpeft simulate 'studies/my first.toml'\n"
    small = ("--set=base_model.source=dir:../tiny-bert", "--set=peft.rank=2")
    succeed(warm, desk, "study", "check", "studies/my first.toml", *small)
    succeed(warm, desk, "simulate", "studies/my first.toml", *FAST, *small, "--out", "first")
    study = content_of(desk / "first")["study"]
    assert study["name"] == "my-first"
    assert study["task"]["labels"] == ["no", "yes"]
    assert set(study["data"]["columns"]) == {"note", "pressure", "sex"}
    assert len(content_of(desk / "first")["rounds"][0]["participation"]) == 3


def test_parquet_with_typed_columns_gives_the_same_adapter(warm: Any, desk: Path, run: Path) -> None:
    table: dict[str, list[Any]] = {name: [row[name] for row in rows()] for name in next(rows())}
    table["pressure"] = [float(text) if text else None for text in table["pressure"]]
    table["nhs number"] = [int(text) for text in table["nhs number"]]
    pq.write_table(pa.table(table), desk / "rows.parquet")
    options = ("--set=training.precision=fp32", "--set=simulation.data=rows.parquet")
    succeed(warm, desk, "simulate", "ten-lines.toml", *FAST, *options, "--out", "parquet")
    assert content_of(desk / "parquet")["digests"]["adapter"] == content_of(run)["digests"]["adapter"]


@pytest.mark.parametrize("partition", ["iid", "dirichlet", "quantity"])
def test_rows_are_divided_by_a_partition(warm: Any, desk: Path, partition: str) -> None:
    simulation = f'--set=simulation={{data="rows.csv", partition={{name="{partition}", sites=4}}}}'
    succeed(warm, desk, "simulate", "ten-lines.toml", *FAST, simulation, "--out", partition)
    (record,) = content_of(desk / partition)["rounds"]
    assert list(record["participation"]) == ["site-1", "site-2", "site-3", "site-4"]
    counts = [site["examples"] for site in record["participation"].values()]
    assert min(counts) >= 1
    assert sum(counts) == len(train_and_test()[0])


def train_and_test(site: str | None = None) -> tuple[list[Row], list[Row]]:
    """A site's training and test rows, or those of all, by the study's defaults: the split is by patient alone."""
    own = [row for row in rows() if site in (None, row["hospital"])]
    patients = [row["nhs number"] for row in own]
    parts = split_patients(patients, split_seed=0, validation_fraction=0.15, test_fraction=0.25)
    return [own[i] for i in parts.train], [own[i] for i in parts.test]


def predictions(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def predict(warm: Any, desk: Path, run: Path, data: Path, *more: object) -> list[Row]:
    model = desk / "tiny-bert"
    arguments = ("--adapter", run / "adapter", "--base-model", model, "--data", data, "--out", "scores/p.csv", *more)
    assert succeed(warm, desk, "predict", *arguments) == f"wrote scores/p.csv: {len(predictions(data))} rows\n"
    return predictions(desk / "scores" / "p.csv")


def check_scores(found: Sequence[Row], run: Path, site: str) -> None:
    """The run's own scores of a site's test rows, which never left the site's folder, to the six digits of the file."""
    (path,) = (run / "sites" / site).rglob("test-scores.safetensors")
    expected = safetensors.numpy.load_file(path)["scores"]
    scores = np.array([[float(row["probability_no"]), float(row["probability_yes"])] for row in found])
    assert np.abs(scores - expected).max() <= 5.1e-7
    assert [row["prediction"] for row in found] == [("no", "yes")[k] for k in expected.argmax(axis=1)]
    assert [row["row"] for row in found] == [str(k + 1) for k in range(len(found))]


@pytest.mark.parametrize("site", ["St-Mary", "south.2"])
def test_predictions_are_the_scores_that_the_run_itself_gave(warm: Any, desk: Path, run: Path, site: str) -> None:
    """For rows without label, patient or hospital: a prediction needs inputs only."""
    test = train_and_test(site)[1]
    inputs = [{name: row[name] for name in ("sex", "pressure", "note")} for row in test]
    check_scores(predict(warm, desk, run, write_csv(desk / "new.csv", inputs)), run, site)


def test_a_row_s_prediction_does_not_depend_on_the_others(warm: Any, desk: Path, run: Path) -> None:
    together = predict(warm, desk, run, desk / "rows.csv")
    few = predict(warm, desk, run, write_csv(desk / "few.csv", list(rows())[5:8]))
    for row, other in zip(few, together[5:8], strict=True):
        assert float(row["probability_yes"]) == pytest.approx(float(other["probability_yes"]), abs=2e-6)


def test_private_heads_predict_as_their_own_site_did(warm: Any, desk: Path) -> None:
    out = desk / "private"
    options = ('--set=peft.private=["head.*"]', "--set=training.precision=fp32", "--set=training.learning_rate=0.02")
    succeed(warm, desk, "simulate", "ten-lines.toml", *FAST, *options, "--out", out)
    scores = {}
    for site in ("St-Mary", "city"):
        data = write_csv(desk / "new.csv", train_and_test(site)[1])
        check_scores(predict(warm, desk, out, data, "--private", out / "sites" / site), out, site)
        scores[site] = predict(warm, desk, out, desk / "rows.csv", "--private", out / "sites" / site)
    assert scores["St-Mary"] != scores["city"]
