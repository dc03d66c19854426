"""The thin app: no code in it, the same bytes wherever it is built, and the hash that Flower gives it."""

import hashlib
import importlib
import io
import subprocess
import sys
import tomllib
import warnings
import zipfile
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

from common.thin_app import CLIENT_APP, SERVER_APP, expected_fab_hash, fab_hash, thin_app


def build_fab(folder: Path) -> bytes:
    """What `flwr run FOLDER` submits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return build_fab_from_disk(folder)


def test_the_bundle_of_the_folder_has_the_hash_that_a_site_expects(tmp_path: Path) -> None:
    first, second = thin_app(tmp_path / "thin"), thin_app(tmp_path / "elsewhere" / "app")
    assert build_fab(first) == build_fab(second)
    assert hashlib.sha256(build_fab(first)).hexdigest() == expected_fab_hash()


def test_another_process_expects_the_same(tmp_path: Path) -> None:
    command = "from common.thin_app import expected_fab_hash; print(expected_fab_hash())"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected_fab_hash()


def test_it_holds_no_code_and_is_not_compressed(tmp_path: Path) -> None:
    """Compressed bytes would depend on the machine's zlib."""
    with zipfile.ZipFile(io.BytesIO(build_fab(thin_app(tmp_path / "thin")))) as bundle:
        assert sorted(bundle.namelist()) == [".info/CONTENT", "LICENSE", "pyproject.toml"]
        assert {entry.compress_type for entry in bundle.infolist()} == {zipfile.ZIP_STORED}
        named = tomllib.loads(bundle.read("pyproject.toml").decode())["tool"]["flwr"]["app"]["components"]
    assert named == {"serverapp": SERVER_APP, "clientapp": CLIENT_APP}


def test_it_names_apps_that_are_installed() -> None:
    for address in (SERVER_APP, CLIENT_APP):
        module, _, name = address.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_any_other_file_changes_the_hash(tmp_path: Path) -> None:
    folder = thin_app(tmp_path / "thin")
    (folder / "client.py").write_text("evil = True\n")
    assert fab_hash(build_fab(folder)) != expected_fab_hash()
