"""docs/compare.md: its grids are grids, and its strategy in one file takes part in a comparison as the page says."""

import re
import shlex
from pathlib import Path

import pytest

from common.command import main
from simulations.compare.cells import cells_of, split_misfits
from simulations.compare.grid import Grid
from simulations.compare.grid_file import bundled, read_grid

PAGE = (Path(__file__).parent.parent / "docs" / "compare.md").read_text(encoding="utf-8")


def block(start: str) -> str:
    """Return the block of code that begins with these words."""
    found = re.search(rf"```\w+\n({re.escape(start)}.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_key_of_a_grid_and_every_bundled_grid_is_on_the_page() -> None:
    missing = [key for key in Grid.model_fields if not re.search(rf"\b{key}\b", PAGE)]
    assert missing == []
    assert [name for name in bundled() if f"`{name}`" not in PAGE] == []


def test_the_grid_on_the_page_is_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(block('name = "mine"') + "\n" + block("[availability]"))
    grid, study = read_grid(path)
    cells, misfits = split_misfits(cells_of(grid, study, where="mine.toml"))
    assert (len(cells), misfits) == (6, [])


@pytest.mark.slow
def test_the_strategy_on_the_page_is_compared_by_the_command_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for start in ("# mine/slow_mean.py", "# mine/grid.toml"):
        (tmp_path / start.removeprefix("# ")).write_text(block(start))
    monkeypatch.chdir(tmp_path)
    command = re.search(r"fedpeft (compare mine.*)", PAGE)
    assert command is not None
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*shlex.split(command[1]), "--workers", "1"])
    assert "slow-mean" in capsys.readouterr().out
    assert (tmp_path / "out" / "slow-or-not" / "compare.csv").read_text().count("slow-mean") == 2
