import csv
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import simulations
from client.data import Rows
from client.data.table import Table
from common.errors import DataError
from common.files import digest_file
from common.study import Study
from simulations.builtin_rows.heart import write
from simulations.data.build_heart import ATTRIBUTES, CODES, as_csv, check, coded

FOLDER = Path(simulations.__file__).parent
DIGEST = "sha256:81fd1db1da4936357bfc476ebde8d6fdf1cc82331ac5b9f55bccb4b72d04899f"
STUDIES = ("heart", "heart-lora")


def study(name: str) -> Study:
    return Study.model_validate(tomllib.loads((FOLDER / "studies" / f"{name}.toml").read_text(encoding="utf-8")))


def read(name: str) -> Rows:
    found = study(name)
    path = write(FOLDER)  # writes nothing: the file is there
    return Table().read(path, section=found.data, task=found.task)


def test_the_file_is_the_one_that_was_checked_against_uci() -> None:
    assert digest_file(write(FOLDER)) == DIGEST


def test_counts_of_hospitals_and_diagnoses_are_ucis() -> None:
    with write(FOLDER).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert Counter(row["hospital"] for row in table) == {
        "cleveland": 303,
        "budapest": 294,
        "zurich-basel": 123,
        "long-beach": 200,
    }
    assert Counter(row["num"] for row in table) == {"0": 411, "1": 265, "2": 109, "3": 107, "4": 28}
    assert Counter(row["hospital"] for row in table if row["disease"] == "1") == {
        "cleveland": 139,
        "budapest": 106,
        "zurich-basel": 115,
        "long-beach": 149,
    }
    assert all((row["disease"] == "1") == (row["num"] != "0") for row in table)
    assert len({row["patient"] for row in table}) == 920


@pytest.mark.parametrize("name", STUDIES)
def test_the_study_reads_its_rows(name: str) -> None:
    rows = read(name)
    assert len(rows) == 920
    assert rows.labels.sum() == 509
    assert rows.inputs[0] == (
        "man 63 typical angina pressure high cholesterol borderline sugar high ecg thick rate fair exertion fine "
        "depression severe slope down vessels 0 scan fixed"
    )
    assert rows.inputs[303] == (  # budapest's first row: slope, vessels and scan are missing
        "man 28 atypical angina pressure raised cholesterol good sugar fine ecg thick rate good exertion fine "
        "depression none"
    )
    assert set(rows.columns) == {"hospital", "num"}
    assert sum(value is None for value in rows.features["chol"]) == 202  # 30 missing at UCI, 172 zeros
    assert "num" not in rows.features


def test_the_two_studies_differ_in_method_and_recipe_only() -> None:
    heart, lora = study("heart"), study("heart-lora")
    assert (heart.peft.method, lora.peft.method) == ("prefix", "lora")
    rates = heart.evaluation.model_copy(update={"learning_rates": lora.evaluation.learning_rates})
    own = {"name": lora.name, "description": lora.description, "peft": lora.peft, "training": lora.training}
    assert heart.model_copy(update={**own, "evaluation": rates}) == lora


def test_words_become_ucis_codes_again() -> None:
    words = {name: next(iter(CODES[name])) if name in CODES else "1" for name in ATTRIBUTES}
    words["thalch"] = words.pop("thalach")
    words["fbs"] = ""
    row = coded(words)
    assert row["fbs"] == ""
    assert row["sex"] == "1"
    assert as_csv([row]).decode().splitlines()[0] == ",".join(ATTRIBUTES)


def test_a_value_that_differs_from_the_reference_is_found() -> None:
    row = {"patient": "cleveland-001", **dict.fromkeys(ATTRIBUTES, "1"), "ca": ""}
    reference = ["1.0"] * 11 + ["?"] + ["1", "1"]
    check([row], [reference])
    with pytest.raises(DataError, match=r"cleveland-001, chol: '1', UCI has '2'"):
        check([row], [[*reference[:4], "2", *reference[5:]]])
