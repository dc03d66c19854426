"""Whatever is changed in the code that makes a result gives another digest."""

import sys
from pathlib import Path

import pytest

from common.files import digest_file
from simulations.compare.source import PACKAGES, folder_digests, own_digests, package_digest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a package in it, which can be imported."""
    folder = tmp_path / "package_of_tests"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "inner" / "maths.py").write_text("HALF = 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def fresh(*packages: str) -> str:
    """The digest as another process would find it."""
    package_digest.cache_clear()
    try:
        return package_digest(packages)
    finally:
        package_digest.cache_clear()


def test_a_file_that_is_changed_added_or_renamed_gives_another_digest(package: Path) -> None:
    inner = package / "inner"
    found = [fresh(package.name)]
    (inner / "maths.py").write_text("HALF = 0.25\n")
    found.append(fresh(package.name))
    (inner / "more.py").touch()
    found.append(fresh(package.name))
    (inner / "more.py").rename(inner / "other.py")
    found.append(fresh(package.name))
    assert len(set(found)) == 4


def test_only_source_counts(package: Path) -> None:
    before = fresh(package.name)
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "maths.cpython-312.pyc").write_bytes(b"compiled")
    (package / "notes.md").write_text("mine")
    assert fresh(package.name) == before


def test_a_process_keeps_the_digest_of_the_code_that_it_runs(package: Path) -> None:
    before = package_digest((package.name,))
    (package / "inner" / "maths.py").write_text("HALF = 0.25\n")
    assert package_digest((package.name,)) == before


def test_what_strategies_share_is_among_the_files() -> None:
    found = folder_digests(ROOT / "server", "**/*.py")
    assert found["adaptive.py"] == digest_file(ROOT / "server" / "adaptive.py")
    assert {"low_rank.py", "mean.py", "aggregation/fedsvd.py"} <= set(found)
    assert len({fresh(name) for name in PACKAGES}) == len(PACKAGES)


def test_the_users_own_files_count_and_their_folders_place_does_not(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text("build = int\n")
    here, there = ([str(tmp_path / name)] for name in ("here", "there"))
    assert own_digests(here) == own_digests(there)
    (tmp_path / "there" / "_shared.py").touch()
    assert own_digests(here) != own_digests(there)
