"""An adapter is named by its folder or by its run's; anything else is one line that says what was found."""

from pathlib import Path

import pytest

from common.adapter_reference import adapter_folder
from common.errors import UserError


def test_a_folder_and_its_run_mean_the_same_adapter(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter.safetensors").touch()

    assert adapter_folder(folder) == folder
    assert adapter_folder(tmp_path) == folder


@pytest.mark.parametrize(
    ("name", "found"), [("gone", "found nothing"), ("file", "found a file"), ("empty", "a folder")]
)
def test_what_is_no_adapter_is_said(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(UserError, match=found):
        adapter_folder(tmp_path / name)
