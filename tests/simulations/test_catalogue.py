from pathlib import Path

import pytest

from common.errors import DataError, ModelError, StudyError
from common.study import replaced
from simulations.catalogue import base_folder, bundled, find_study, load, rows_path, simulation_of

OWN = """
name = "own"
[base_model]
source = "dir:models/bert"
[task]
labels = ["no", "yes"]
[simulation]
data = "data/rows.csv"
site_column = "hospital"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "studies" / "own.toml"
    path.parent.mkdir()
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_study_is_valid_and_bears_its_name(name: str) -> None:
    study = load(name)
    assert study.name == name
    assert simulation_of(study).data.startswith("builtin:")
    assert load(str(find_study(name))).digest == study.digest


def test_the_studies_that_the_readme_names_are_bundled() -> None:
    assert {"heart", "heart-lora", "quick"} <= set(bundled())


def test_an_unknown_study_is_answered_with_those_that_exist() -> None:
    with pytest.raises(StudyError, match=r"there is no study 'hart': neither a file nor one of .*heart.*quick"):
        load("hart")
    with pytest.raises(StudyError, match=r"there is no study file hart\.toml"):
        load("hart.toml")


def test_relative_paths_count_from_the_study_s_file(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load(str(own))
    assert rows_path(study, Path("unused")) == own.parent / "data" / "rows.csv"
    assert study.base_model.source == f"dir:{own.parent / 'models' / 'bert'}"
    monkeypatch.chdir(own.parent.parent)
    assert load("studies/own.toml") == study


def test_absolute_paths_and_the_home_folder_stay(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    study = load(str(own), overrides=["simulation.data=/data/rows.csv", "base_model.source=dir:~/bert"])
    assert rows_path(study, Path("unused")) == Path("/data/rows.csv")
    assert study.base_model.source == "dir:/home/someone/bert"


def test_where_things_lie_is_not_in_the_digest(own: Path, tmp_path: Path) -> None:
    moved = tmp_path / "own.toml"
    moved.write_text(OWN)
    assert load(str(own)) != load(str(moved))
    assert load(str(own)).digest == load(str(moved)).digest


def test_a_study_without_simulation_is_said_what_to_add(own: Path) -> None:
    own.write_text(OWN.partition("[simulation]")[0])
    with pytest.raises(StudyError, match=r"'own' has no \[simulation\] section; give it data"):
        rows_path(load(str(own)), Path("unused"))


def test_generated_rows_and_model_are_written_where_they_may_be(tmp_path: Path) -> None:
    study = load("quick")
    rows = rows_path(study, tmp_path)
    assert rows.parent == tmp_path
    assert rows.read_text().startswith("site,patient,age,note,outcome")
    folder = base_folder(study, tmp_path)
    assert folder == tmp_path / "tiny-bert"
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    assert base_folder(study, tmp_path) == folder
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    (folder / "config.json").unlink()  # it is written last: without it the model is not whole
    base_folder(study, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        n: content for n, (_, content) in before.items()
    }


def test_unknown_builtin_rows_and_absent_models_are_said(tmp_path: Path) -> None:
    study = load("quick")
    with pytest.raises(DataError, match=r"there are: builtin:.*heart, builtin:quick"):
        rows_path(replaced(study, {"simulation.data": "builtin:lungs"}), tmp_path)
    with pytest.raises(StudyError, match=r"generated = 'tiny-lung' does not exist; there are: .*tiny-bert"):
        base_folder(replaced(study, {"base_model.source": "generated:tiny-lung"}), tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        base_folder(replaced(study, {"base_model.source": "dir:/no/such"}), tmp_path)
