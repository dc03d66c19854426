"""A version's files are those that were looked at: none that another process put there meanwhile, and no link."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from common.registry import run_folder
from common.registry.facts import entry
from common.registry.layout import ModelFolder
from common.registry.store import Registry
from common.registry.writing import put

MakeRun = Callable[..., Path]


def test_an_adapter_that_is_changed_while_it_is_copied_is_no_version(make_run: MakeRun, tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "run", 1), make_run(tmp_path / "other", 2)
    source = run_folder.find(run)
    found = run_folder.read(source)
    shutil.rmtree(run / "adapter")
    shutil.copytree(other / "adapter", run / "adapter")
    model = ModelFolder(tmp_path / "registry" / "quick")
    with pytest.raises(UserError, match="changed while it was copied"):
        put(
            model,
            1,
            source,
            lambda files: entry(found, number=1, name="quick", parent=None, created="now", files=files),
        )
    assert list(model.versions.iterdir()) == []


def test_a_link_in_an_adapter_brings_no_other_file_in(make_run: MakeRun, tmp_path: Path) -> None:
    secret = tmp_path / "signing.key"
    secret.write_text("secret")
    run = make_run(tmp_path / "run")
    (run / "adapter" / "README.md").unlink()
    (run / "adapter" / "README.md").symlink_to(secret)
    with pytest.raises(UserError, match=r"has a link, 'README\.md'"):
        Registry(tmp_path / "registry").add(run)
    assert not any(path.is_file() and path.read_bytes() == b"secret" for path in (tmp_path / "registry").rglob("*"))
