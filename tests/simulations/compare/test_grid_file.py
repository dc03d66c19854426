"""Grid files: each mistake is one line that names the file, the key, and what would be right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common import plugins
from common.errors import StudyError
from simulations.compare.cells import cells_of, split_misfits
from simulations.compare.grid_file import GRIDS, bundled, find_grid, read_grid

LEAST = 'name = "g"\nstudy = "quick"\n[[strategy]]\nname = "fedavg"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "g.toml"
        path.write_text(text)
        return path

    return written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seedz = 3\n" + LEAST, "seedz: unknown key; did you mean 'seeds'"),
        (LEAST + "learning_rate = [0.1]\n", "strategy.0.learning_rate: unknown key; did you mean 'learning_rates'"),
        (LEAST + "[tuning]\nround = 3\n", "tuning.round: unknown key; did you mean 'rounds'"),
        (
            LEAST + "[availability]\ndeadline_s = 9\ndropoutt = 0\n",
            "availability.dropoutt: unknown key; did you mean 'dropout",
        ),
        (LEAST + "learning_rates = [-0.1]\n", "greater than 0"),
        (LEAST + '[[strategy]]\nname = "fedavg"\n', "two tables [[strategy]] have the name 'fedavg'"),
        (LEAST.replace("[[s", 'baseline = "fedavgg"\n[[s'), "baseline = 'fedavgg' is not there; did you mean 'fedavg'"),
        (LEAST.replace("[[s", 'metric = "aurocc"\n[[s'), "metric = 'aurocc' is not there; did you mean 'auroc'"),
        (LEAST + "[tuning]\nseed = 2\n", "tuning.seed = 2 is one of the seeds that are reported"),
        ('name = "g"\nstudy = "quick"\n', "strategy: missing"),
        ("name = [", "is no grid in TOML"),
    ],
)
def test_a_mistake_is_named(write: Callable[[str], Path], text: str, words: str) -> None:
    with pytest.raises(StudyError) as error:
        read_grid(write(text))
    assert words in str(error.value)
    assert str(error.value).startswith(str(write(text)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training = { batch_sise = 8 }\n", "training.batch_sise: unknown key; did you mean 'batch_size'"),
        ("aggregation = { name = 'fedavgg' }\n", "aggregation.name = 'fedavgg' does not exist; there are:"),
        ("aggregation = { momentum = 1 }\n", "has no option 'momentum'"),
    ],
)
def test_a_mistake_in_a_strategy_is_named_with_its_place(write: Callable[[str], Path], text: str, words: str) -> None:
    grid, study = read_grid(write(LEAST + text))
    with pytest.raises(StudyError, match="strategy 'fedavg', lora, as in the study") as error:
        split_misfits(cells_of(grid, study, where="g.toml"))
    assert words in str(error.value)


def test_there_is_no_such_grid() -> None:
    with pytest.raises(StudyError, match="did you mean 'quick-compare'"):
        find_grid("quick-compar")
    with pytest.raises(StudyError, match="there is no grid file"):
        read_grid(find_grid("nowhere/g.toml"))


def test_a_study_that_is_a_file_counts_from_the_grid(write: Callable[[str], Path], tmp_path: Path) -> None:
    from simulations.catalogue import STUDIES

    (tmp_path / "mine.toml").write_text((STUDIES / "quick.toml").read_text().replace('"quick"', '"mine"', 1))
    assert read_grid(write(LEAST.replace('"quick"', '"mine.toml"')))[1].name == "mine"


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_grid_can_be_played(name: str) -> None:
    grid, study = read_grid(GRIDS / f"{name}.toml")
    named = {row.aggregation.get("name", row.name) for row in grid.strategy}
    missing = named - set(plugins.available("server.aggregation"))
    if missing:
        pytest.skip(f"no such strategies yet: {sorted(missing)}")
    cells, misfits = split_misfits(cells_of(grid, study, where=name))
    assert misfits == []
    assert {len(cell.rates) for cell in cells} == {len(cells[0].rates)}
    assert (grid.name, len(grid.description) > 0) == (name, True)


def test_on_heart_strategies_that_train_one_and_the_same_factor_choose_among_the_same_rates() -> None:
    name = "strategies-heart"
    grid, study = read_grid(GRIDS / f"{name}.toml")
    rates = {cell.strategy: cell.rates for cell in split_misfits(cells_of(grid, study, where=name))[0]}
    assert rates["fedsvd"] == rates["ffa-lora"]
    assert rates["fedavg"][0] <= rates["rolora"][0] <= rates["ffa-lora"][0]
