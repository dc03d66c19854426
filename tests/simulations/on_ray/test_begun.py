"""The number of workers that a run began with stays the run's."""

from pathlib import Path

import pytest

from common.errors import CheckpointError
from simulations.folder import RunFolder
from simulations.on_ray.begun import begin, begun_with


def test_it_is_what_was_written_down(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert begun_with(folder, asked=3) is None
    begin(folder, 3)
    assert begun_with(folder, asked=None) == begun_with(folder, asked=3) == 3


def test_another_number_is_refused(tmp_path: Path) -> None:
    begin(RunFolder(tmp_path), 3)
    with pytest.raises(CheckpointError, match="--workers 3, which fixes its bytes; this is --workers 4"):
        begun_with(RunFolder(tmp_path), asked=4)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"workers": null}'])
def test_a_damaged_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "ray.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"ray\.json cannot be read"):
        begun_with(RunFolder(tmp_path), asked=None)
