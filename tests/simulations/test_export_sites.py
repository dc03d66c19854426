from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.site import open_site, resident_site
from client.table_files import read_raw
from client.trainer import Trainer
from common.errors import ModelError, StudyError, UserError
from common.files import write_bytes
from common.study import Study, replaced
from simulations import stages
from simulations.catalogue import load
from simulations.export_sites import csv_of, export_sites
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites

ANY_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)
CELLS = ANY_TEXT | st.text("a \r\n\t,\"'", max_size=4)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[str]]:
    names = st.text("abcdef é,\"'", min_size=1, max_size=5).filter(lambda name: name == name.strip())
    columns = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    rows = draw(st.integers(min_value=1, max_value=4))
    return {name: draw(st.lists(CELLS, min_size=rows, max_size=rows)) for name in columns}


@given(tables(), st.data())
def test_exported_rows_are_read_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, list[str]], data: st.DataObject
) -> None:
    """Chosen rows, in the chosen order, each cell's text unchanged; empty fields and line ends in them too."""
    rows = len(next(iter(table.values())))
    positions = data.draw(st.lists(st.integers(min_value=0, max_value=rows - 1), min_size=1))
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    write_bytes(path, csv_of(table, positions), durable=False)
    assert read_raw(path) == {name: [column[i] for i in positions] for name, column in table.items()}


def started(study: Study, folder: Path) -> VirtualSites:
    return stages.start(study, RunFolder(folder), threads=1, device="cpu")


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> VirtualSites:
    """A run that was prepared and not played."""
    return started(load("quick"), tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def settings(virtual: VirtualSites) -> dict[str, Path]:
    return export_sites(virtual.folder.path, virtual.folder.path.parent / "sites")


def test_a_real_site_has_the_rows_split_and_execution_of_its_virtual_one(
    virtual: VirtualSites, settings: dict[str, Path]
) -> None:
    assert set(settings) == set(virtual.rows)
    for site, path in settings.items():
        real, simulated = open_site(path), virtual.trainer(site)
        assert (real.name, real.execution, real.bundle.digest) == (site, simulated.execution, simulated.bundle.digest)
        assert parts(real) == parts(simulated)


def parts(trainer: Trainer) -> list[object]:
    found = (trainer.rows.train, trainer.rows.validation, trainer.rows.test)
    return [(list(part.examples), part.labels.tolist(), list(part.patients)) for part in found]


def test_a_real_site_releases_no_histograms_unless_its_policy_says_so(settings: dict[str, Path]) -> None:
    assert not open_site(settings["west"]).gate.policy.release_histograms


def test_a_site_is_opened_once_per_process(settings: dict[str, Path]) -> None:
    assert resident_site(str(settings["west"])) is resident_site(str(settings["west"]))


def changed(path: Path, tmp_path: Path, **values: str) -> Path:
    lines = [line for line in path.read_text().splitlines() if line.split(" = ")[0] not in values]
    new = tmp_path / "settings.toml"
    new.write_text("\n".join([*lines, *(f'{key} = "{value}"' for key, value in values.items())]))
    return new


def test_a_site_that_the_study_does_not_know_is_refused(settings: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"south.*east, north, west"):
        open_site(changed(settings["west"], tmp_path, site="south"))


def test_another_base_model_is_refused_with_both_digests(
    virtual: VirtualSites, settings: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "model"
    other.mkdir()
    for path in (virtual.folder.scratch / "tiny-bert").iterdir():
        other.joinpath(path.name).write_bytes(path.read_bytes())
    config = other / "config.json"
    config.write_text(config.read_text() + "\n")
    digest = virtual.bundle.study.base_model.digest
    with pytest.raises(ModelError, match=f"{digest}"):
        open_site(changed(settings["west"], tmp_path, base_model=str(other)))
    with pytest.raises(ModelError, match="not a folder"):
        open_site(changed(settings["west"], tmp_path, base_model="nowhere"))


def test_without_patients_there_is_no_export(tmp_path: Path) -> None:
    sites = started(replaced(load("quick"), {"data.patient_id": None}), tmp_path / "run")
    with pytest.raises(StudyError, match="patient_id"):
        export_sites(sites.folder.path, tmp_path / "sites")
    assert not (tmp_path / "sites").exists()
