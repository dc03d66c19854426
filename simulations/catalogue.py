"""Where a simulation finds what a study names: the study itself, its rows, its base model."""

from collections.abc import Sequence
from pathlib import Path

from common import plugins
from common.base_files import locate
from common.errors import DataError, StudyError
from common.study import Study
from common.study_file import read_study
from common.study_simulation import SimulationSection
from simulations.late_libraries import import_libraries

STUDIES = Path(__file__).parent / "studies"
ROWS, MODELS = "simulations.builtin_rows", "simulations.tiny_models"
BUILTIN = "builtin:"


def bundled() -> list[str]:
    """Return the names of the studies that come with fedpeft."""
    return sorted(path.stem for path in STUDIES.glob("*.toml"))


def find_study(name: str) -> Path:
    """Return the file of a study given by path, or by the name of a bundled one."""
    path = Path(name)
    if path.suffix in (".csv", ".tsv", ".parquet"):
        raise StudyError(
            f"{name} holds rows, expected a study; write one for them with: fedpeft study init {name} "
            "--target COLUMN --site-column COLUMN"
        )
    if path.suffix == ".toml" or path.is_file():
        return path
    if name in bundled():
        return STUDIES / f"{name}.toml"
    raise StudyError(f"there is no study {name!r}: neither a file nor one of {', '.join(bundled())}")


def load(name: str, *, overrides: Sequence[str] = ()) -> Study:
    """Return the study in a file or bundled; a relative path of its rows or base model counts from the file."""
    path = find_study(name)
    return _anchored(read_study(path, overrides=overrides), path.resolve().parent)


def _anchored(study: Study, folder: Path) -> Study:
    changes: dict[str, object] = {}
    if study.simulation is not None:
        without = tuple(
            known.model_copy(update={"data": anchored_data(known.data, folder)}) for known in study.simulation.without
        )
        data = anchored_data(study.simulation.data, folder)
        changes["simulation"] = study.simulation.model_copy(update={"data": data, "without": without})
    if study.base_model.source.startswith("dir:"):
        source = "dir:" + str(folder / Path(study.base_model.source.removeprefix("dir:")).expanduser())
        changes["base_model"] = study.base_model.model_copy(update={"source": source})
    return study.model_copy(update=changes)


def anchored_data(data: str, folder: Path) -> str:
    """Return what `simulation.data` means in a file that lies in `folder`."""
    return data if data.startswith(BUILTIN) else str(folder / Path(data).expanduser())


def simulation_of(study: Study) -> SimulationSection:
    """Return the study's `simulation` section, which a simulation needs."""
    if study.simulation is None:
        raise StudyError(
            f'study {study.name!r} has no [simulation] section; give it data = "rows.csv" and '
            'site_column = "hospital" (or a [simulation.partition])'
        )
    return study.simulation


def rows_path(study: Study, scratch: Path) -> Path:
    """Return the file with the study's rows; generated rows are written to the folder `scratch`. Raises DataError."""
    return data_path(simulation_of(study).data, scratch)


def data_path(data: str, scratch: Path) -> Path:
    """Return the file that `simulation.data` names; generated rows are written to the folder `scratch`."""
    if not data.startswith(BUILTIN):
        return Path(data)
    if data.removeprefix(BUILTIN) not in plugins.available(ROWS):
        known = ", ".join(BUILTIN + name for name in plugins.available(ROWS))
        raise DataError(f"simulation.data = {data!r} does not exist; there are: {known}")
    path: Path = plugins.load(ROWS, data.removeprefix(BUILTIN), key="simulation.data").write(scratch)
    return path


def base_folder(study: Study, scratch: Path) -> Path:
    """Return the folder of the study's base model; a generated one is written to a folder of its name in `scratch`."""
    source = study.base_model.source
    if not source.startswith("generated:"):
        return locate(source)
    name = source.removeprefix("generated:")
    folder, model = scratch / name, plugins.load(MODELS, name, key="base_model.source, generated")
    if not (folder / "config.json").exists():
        import_libraries()
        model.write(folder)
    return folder
