"""Reading a grid file: bundled or the user's; an error is one line with file, key, and what would be right."""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from common.errors import StudyError
from common.study import Study
from common.study_file import first_error
from common.study_task import task_of
from simulations import catalogue
from simulations.compare.grid import Grid

GRIDS = Path(__file__).parents[1] / "grids"


def bundled() -> list[str]:
    """Return the names of the grids that come with fedpeft."""
    return sorted(path.stem for path in GRIDS.glob("*.toml"))


def find_grid(name: str) -> Path:
    """Return the file of a grid given by path, or by the name of a bundled one."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    if name in bundled():
        return GRIDS / f"{name}.toml"
    raise StudyError(f"there is no grid {name!r}: neither a file nor one of {', '.join(bundled())}{_close(name)}")


def _close(name: str) -> str:
    found = get_close_matches(name, bundled(), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def read_grid(path: Path) -> tuple[Grid, Study]:
    """Return the grid in a file and the study that it starts from, which counts from the grid's folder if a file."""
    try:
        grid = Grid.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StudyError(f"there is no grid file {path}") from None
    except (IsADirectoryError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is no grid in TOML: {error}") from None
    except ValidationError as error:
        raise StudyError(f"{path}: {first_error(error, Grid)}") from None
    study = catalogue.load(_study_name(grid.study, path.resolve().parent))
    _check_names(grid, study, path)
    return grid, study


def _study_name(name: str, folder: Path) -> str:
    return str(folder / Path(name).expanduser()) if Path(name).suffix else name


def _check_names(grid: Grid, study: Study, path: Path) -> None:
    metrics = [info.name for info in task_of(study.task).measure.infos]
    if grid.metric is not None:
        _check_one("metric", grid.metric, metrics, path)
    _check_one("baseline", grid.baseline, [row.name for row in grid.strategy], path)
    reported = [*range(study.seed, study.seed + grid.seeds)]
    reported += range(study.evaluation.split_seed, study.evaluation.split_seed + grid.seeds)
    if grid.tuning.seed in reported:
        raise StudyError(
            f"{path}: tuning.seed = {grid.tuning.seed} is one of the seeds that are reported; "
            f"rates must be chosen on another, such as {max(reported) + 100}"
        )


def _check_one(key: str, value: str, names: Sequence[str], path: Path) -> None:
    if value not in names:
        close = get_close_matches(value, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
        raise StudyError(f"{path}: {key} = {value!r} is not there; {hint}")
