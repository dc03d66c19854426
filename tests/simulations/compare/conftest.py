"""A small comparison, played once for all tests of the folder: two strategies, one of them in a file of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simulations.compare.comparing import Comparison, compare
from simulations.compare.measuring import register

GRID = """
name = "small"
study = "quick"
seeds = 2
rounds = 1
learning_rates = [0.01, 0.02]

[tuning]
rounds = 1

[[strategy]]
name = "fedavg"

[[strategy]]
name = "half-way-of-tests"
aggregation = { name = "half-way-of-tests", share = 0.5 }
learning_rates = [0.02]

[[strategy]]
name = "every site alike"
aggregation = { name = "fedavg", weighting = "uniform" }
learning_rates = [0.02]
"""
PLUGIN = '''"""Half of FedAvg's step."""

from dataclasses import dataclass

from common.protocol import RoundPlan
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class HalfWay:
    share: float = 0.5
    needs_individual_updates = False
    needs_lora = False
    claims = frozenset({"linear", "shape_keeping", "additive"})
    up = down = "r*(m+n)"

    def plan(self, round_number, memory, site, shared):
        return RoundPlan()

    def combine(self, updates, state):
        return weighted_mean(updates)

    def step(self, state, mean, memory):
        return moved(state, {name: self.share * step for name, step in mean.update.items()}), memory


build = HalfWay
'''


def silent(*_: object) -> None:
    """Hear of a run and say nothing."""


@pytest.fixture(scope="session")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A researcher's folder with a strategy in one file, which this process knows."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "half_way_of_tests.py").write_text(PLUGIN)
    register([str(folder)])
    return folder


@pytest.fixture(scope="session")
def grid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small grid's file."""
    path = tmp_path_factory.mktemp("grid") / "small.toml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="session")
def play(grid_file: Path, own_folder: Path) -> Callable[..., Comparison]:
    """`play(out, workers=1, told=...)`: the small comparison in a folder."""

    def played(out: Path, *, workers: int = 1, told: Callable[..., None] = silent) -> Comparison:
        command = ["fedpeft", "compare", "small.toml"]
        return compare(grid_file, out=out, workers=workers, plugins=[own_folder], told=told, command=command)

    return played


@pytest.fixture(scope="session")
def played(play: Callable[..., Comparison], tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    """The small comparison, and its folder: do not change it."""
    out = tmp_path_factory.mktemp("compared") / "out"
    return play(out), out
