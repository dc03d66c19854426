from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.data import Rows
from client.site_rows import split_of
from common.errors import DataError, StudyError
from common.study import Study, replaced
from simulations.audit.canaries import PREFIX, canaries_of, is_canary, planted
from simulations.catalogue import load
from simulations.virtual import VirtualSites, read_sites

CANARIES = "simulation.canaries={site='east', count=6, repeats=3, references=100%s}"
PLAIN = CANARIES % ""


def made(study: Study, folder: Path) -> tuple[Mapping[str, Rows], Mapping[str, Rows]]:
    """Return the rows before and after planting."""
    sites = read_sites(study, folder)
    return sites, planted(sites, canaries_of(study, sites))


@pytest.mark.parametrize("split_seed", [0, 1, 7])
def test_every_canary_trains_as_often_as_it_repeats_whatever_the_split(
    make_study: Callable[..., Study], tmp_path: Path, split_seed: int
) -> None:
    study = make_study(PLAIN, f"evaluation.split_seed={split_seed}")
    before, after = made(study, tmp_path)
    rows, train = after["east"], split_of(after["east"], study).train
    assert len(rows) == len(before["east"]) + 18
    canaries = [patient for patient in (rows.patients[row] for row in train) if is_canary(patient)]
    assert sorted(canaries.count(patient) for patient in set(canaries)) == [3] * 6
    others = [row for row in range(len(rows)) if not is_canary(rows.patients[row])]
    assert rows.take(np.array(others)).inputs == before["east"].inputs
    assert {site: after[site] for site in ("north", "west")} == {site: before[site] for site in ("north", "west")}


def test_all_may_be_one_patient_s(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(CANARIES % ", patients='one'")
    _, after = made(study, tmp_path)
    assert len({patient for patient in after["east"].patients if is_canary(patient)}) == 1
    assert len(split_of(after["east"], study).train) >= 18


def test_the_study_and_its_seed_say_what_they_are(make_study: Callable[..., Study], tmp_path: Path) -> None:
    first, again = (canaries_of(make_study(PLAIN), read_sites(make_study(PLAIN), tmp_path)) for _ in range(2))
    other = canaries_of(make_study(PLAIN, "seed=1"), read_sites(make_study(), tmp_path))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.planted.inputs == again.planted.inputs
    assert first.references.inputs == again.references.inputs
    assert first.planted.inputs != other.planted.inputs


def test_canaries_and_references_are_drawn_alike_and_differ(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study("simulation.canaries={site='east', count=400, references=400}")
    found = canaries_of(study, read_sites(study, tmp_path))
    assert found is not None
    texts = [*found.planted.inputs, *found.references.inputs]
    assert len(set(texts)) == len(texts) == 800
    shares = [float(np.mean(rows.labels)) for rows in (found.planted, found.references)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)
    lengths = [np.mean([len(text.split()) for text in rows.inputs]) for rows in (found.planted, found.references)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.1)
    assert all(not is_canary(patient) for patient in found.references.patients)
    assert all(patient.startswith(PREFIX) for patient in found.planted.patients)


@pytest.mark.parametrize(
    "name", ["quick", "quick-causal-lm", "quick-labels", "quick-scores", "quick-tokens", "quick-clinical"]
)
def test_every_task_over_a_table_takes_them(name: str, tmp_path: Path) -> None:
    study = load(name, overrides=[PLAIN.replace("east", "hill" if name == "quick-clinical" else "east")])
    site = "hill" if name == "quick-clinical" else "east"
    before, after = made(study, tmp_path)
    rows = after[site]
    assert len(rows) == len(before[site]) + 18
    assert rows.labels.dtype == before[site].labels.dtype
    assert rows.labels.shape[1:] == before[site].labels.shape[1:]
    assert {name: len(values) for name, values in {**rows.features, **rows.columns}.items()} == {
        name: len(rows) for name in (*before[site].features, *before[site].columns)
    }
    assert rows.columns["site"] == [site] * len(rows)


def test_columns_of_a_template_get_values_that_occur(tmp_path: Path) -> None:
    study = load("heart", overrides=["simulation.canaries={site='cleveland', count=5, references=100}"])
    sites = read_sites(study, tmp_path)
    found = canaries_of(study, sites)
    assert found is not None
    for name, values in found.planted.features.items():
        assert set(values) <= {value for rows in sites.values() for value in rows.features[name]}
    words = {word for rows in sites.values() for text in rows.inputs for word in text.split()}
    assert {word for text in found.references.inputs for word in text.split()} <= words


def test_what_cannot_be_planted_is_said(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(PLAIN)
    sites = read_sites(study, tmp_path)
    with pytest.raises(StudyError, match=r"simulation\.canaries\.site: 'south' is none of the sites: east, north, we"):
        canaries_of(make_study(PLAIN.replace("east", "south")), sites)
    taken = replace(sites["west"], patients=[PREFIX + "x"] * len(sites["west"]))
    with pytest.raises(DataError, match="patient id begins with 'fedpeft-canary-'"):
        canaries_of(study, {**sites, "west": taken})
    images = load("quick-images", overrides=[PLAIN])
    with pytest.raises(StudyError, match=r"makes up rows of a table's columns, and data\.kind is 'images'"):
        canaries_of(images, sites)
    with pytest.raises(ValueError, match="references = 100 are fewer than the 200 canaries"):
        replaced(study, {"simulation.canaries": {"site": "east", "count": 200, "references": 100}})


def test_a_study_without_canaries_plants_nothing(make_study: Callable[..., Study], tmp_path: Path) -> None:
    before, after = made(make_study(), tmp_path)
    assert after == before


def test_virtual_sites_train_on_them(open_run: Callable[..., VirtualSites]) -> None:
    sites = open_run(PLAIN)
    assert sites.canaries is not None
    assert sum(is_canary(patient) for patient in sites.rows["east"].train.patients) == 18
    for site in ("east", "north", "west"):
        rest = [*sites.rows[site].validation.patients, *sites.rows[site].test.patients]
        assert not any(is_canary(patient) for patient in rest)
    assert sum(is_canary(patient) for patient in sites.raw["east"].patients) == 18
