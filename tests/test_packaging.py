"""The wheel holds the four packages with their data, and what is installed is this project."""

import os
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("common", "client", "server", "simulations")
LOCATE = "from common.command import locate_packages\nprint(*locate_packages().values(), sep='\\n')"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as pip would, but with the hatchling that is here and no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def located(folder: Path, **environ: str) -> list[Path]:
    """Return where a Python that starts in `folder` finds the four packages."""
    command = [sys.executable, "-c", LOCATE]
    environ = {**os.environ, **environ}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines()]


def test_the_wheel_is_the_four_packages_and_nothing_else(content: set[str]) -> None:
    tops = {name.split("/")[0] for name in content}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_every_source_file_is_in_the_wheel(content: set[str]) -> None:
    sources = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert sources - content == set()


@pytest.mark.parametrize(
    "pattern",
    ["simulations/studies/*.toml", "simulations/grids/*.toml", "simulations/data/*.csv", "server/report/templates/*"],
)
def test_the_data_files_are_in_the_wheel(content: set[str], pattern: str) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
    assert files, f"there is no {pattern} any more: mend this test"
    assert files - content == set()


def test_the_wheel_has_the_licence_and_the_command(wheel: Path, content: set[str]) -> None:
    (info,) = {name.split("/")[0] for name in content if ".dist-info/" in name}
    assert f"{info}/licenses/LICENSE" in content
    with zipfile.ZipFile(wheel) as file:
        assert "fedpeft = common.command:main" in file.read(f"{info}/entry_points.txt").decode()


def test_an_unpacked_wheel_is_used_as_a_whole(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    assert located(tmp_path, PYTHONPATH=str(tmp_path)) == [tmp_path / name for name in PACKAGES]


def test_from_another_folder_all_names_are_this_project(tmp_path: Path) -> None:
    assert located(tmp_path) == [ROOT / name for name in PACKAGES]


def test_pins_and_ranges_agree() -> None:
    """Every pin of constraints.txt lies in the range that pyproject.toml declares, and every dependency has a pin."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for requirement in map(Requirement, declared):
        if requirement.name != "fedpeft":
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin), f"constraints.txt pins {requirement.name} {pin}"


def test_no_pin_is_for_one_machine() -> None:
    # torch==X+cpu exists on some indexes only; without the suffix the local wheel serves where there is one.
    assert "+" not in "".join(
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
