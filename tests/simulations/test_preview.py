import re
from pathlib import Path

import pytest

from client.split import split_patients
from simulations.catalogue import load
from simulations.preview import describe, without_effect

PATIENTS = [f"p{i}" for i in range(40)]
PARTS = split_patients(PATIENTS, split_seed=0, validation_fraction=0.15, test_fraction=0.25)
EVENTS = {"mixed": set(range(0, 40, 2)), "early": set(PARTS.train.tolist()), "quiet": set()}
"""Rows with an event: every other one, all that train and no other, none."""


@pytest.fixture
def lines(tmp_path: Path) -> dict[str, str]:
    """What is said of three clinics of 40 patients each, by clinic."""
    rows = [
        f"{site},{patient},50,text,{'yes' if i in events else 'no'}"
        for site, events in EVENTS.items()
        for i, patient in enumerate(PATIENTS)
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["site,patient,age,note,outcome", *rows]) + "\n")
    found = (line.partition(": ") for line in describe("quick", [f"simulation.data={path}"]))
    return {site: text for site, _, text in found if site in EVENTS}


def test_a_site_whose_test_rows_have_one_class_is_named(lines: dict[str, str]) -> None:
    assert [site for site, text in lines.items() if "no AUROC" in text] == ["early", "quiet"]


def test_labels_and_parts_are_counted(lines: dict[str, str]) -> None:
    for site, text in lines.items():
        found = [int(number) for number in re.findall(r"\d+", text)]
        yes = len(EVENTS[site])
        parts = [len(PARTS.train), len(PARTS.validation), len(PARTS.test)]
        assert found == [40, 40, 40 - yes, yes, *parts]


def test_the_first_image_is_named_without_its_folder() -> None:
    assert "first image: east-01.png" in list(describe("quick-images", []))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("federation.patience=1", ""),
        ("federation.patience=2", "ends no run of less than 4 rounds; this one has 3"),
        ('training.unfreeze=[{from_round=1,active=["head.*"]},{from_round=3,active=["*"]}]', ""),
        ('training.unfreeze=[{from_round=1,active=["head.*"]},{from_round=4,active=["*"]}]', "from_round = 4 never"),
    ],
)
def test_a_choice_that_cannot_matter_in_so_few_rounds_is_named(choice: str, said: str) -> None:
    lines = list(without_effect(load("quick", overrides=[choice])))
    assert len(lines) == bool(said)
    assert said in "".join(lines)
