import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.gate import Gate
from client.initialise import read_join
from client.journal import Journal
from client.ledger import open_ledger
from client.policy import Policy, read_policy
from client.settings import read_settings
from client.site import find_base_model, open_trainer
from client.site_folder import SiteFolder
from client.store import SiteStore
from client.table_files import read_raw
from client.trainer import Trainer
from common.errors import StudyError
from common.files import write_bytes
from common.metrics.classes import ClassMeasure
from common.study import Study, replaced
from simulations import stages
from simulations.catalogue import load
from simulations.export_sites import csv_of, export_sites
from simulations.folder import RunFolder
from simulations.virtual import SIMULATED_POLICY, VirtualSites

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
def exported(virtual: VirtualSites, join_file: Path) -> dict[str, SiteFolder]:
    return export_sites(virtual.folder.path, virtual.folder.path.parent / "sites", join=join_file)


def opened(virtual: VirtualSites, folder: SiteFolder) -> Trainer:
    settings, policy = read_settings(folder), read_policy(folder.policy)
    gate = Gate(settings.site, policy, virtual.bundle.schema, Journal(folder.journal))
    base = find_base_model(settings, virtual.bundle.study)
    store = SiteStore(folder.state, measure=ClassMeasure(2))
    return open_trainer(settings, virtual.bundle, base, store=store, gate=gate, ledger=open_ledger(folder))


def test_a_real_site_has_the_rows_split_and_execution_of_its_virtual_one(
    virtual: VirtualSites, exported: dict[str, SiteFolder]
) -> None:
    assert set(exported) == set(virtual.rows)
    for site, folder in exported.items():
        real, simulated = opened(virtual, folder), virtual.trainer(site)
        assert (real.name, real.execution) == (site, simulated.execution)
        assert parts(real) == parts(simulated)


def parts(trainer: Trainer) -> list[object]:
    found = (trainer.rows.train, trainer.rows.validation, trainer.rows.test)
    return [(list(part.examples), part.labels.tolist(), list(part.patients)) for part in found]


def test_execution_is_that_of_the_run(tmp_path: Path, join_file: Path) -> None:
    stages.start(load("quick"), RunFolder(tmp_path / "run"), threads=2, device="cpu")
    folder = export_sites(tmp_path / "run", tmp_path / "sites", join=join_file)["east"]
    assert (read_settings(folder).threads, read_settings(folder).device) == (2, "cpu")


def test_the_policy_is_a_real_site_s_unless_asked_otherwise(
    virtual: VirtualSites, exported: dict[str, SiteFolder], join_file: Path, tmp_path: Path
) -> None:
    trusted = (read_join(join_file).signing_key,)
    assert read_policy(exported["west"].policy) == Policy(coordinators=trusted)
    opening = export_sites(virtual.folder.path, tmp_path, join=join_file, open_policy=True)["west"]
    assert read_policy(opening.policy) == Policy(**{**SIMULATED_POLICY.model_dump(), "coordinators": trusted})


def test_rows_are_for_their_owner_only(exported: dict[str, SiteFolder]) -> None:
    assert {stat.S_IMODE(read_settings(folder).rows.stat().st_mode) for folder in exported.values()} == {0o600}


def test_without_patients_there_is_no_export(tmp_path: Path, join_file: Path) -> None:
    sites = started(replaced(load("quick"), {"data.patient_id": None}), tmp_path / "run")
    with pytest.raises(StudyError, match="patient_id"):
        export_sites(sites.folder.path, tmp_path / "sites", join=join_file)
    assert not (tmp_path / "sites").exists()
