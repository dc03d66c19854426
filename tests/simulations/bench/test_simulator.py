from pathlib import Path

import pytest

from simulations.bench.contenders import FP32
from simulations.bench.simulator import PYTHONS, contenders, figures_of, ratios
from simulations.bench.turns import Played

OURS = Played(3.0, [1.0, 2.0, 4.0], [2.0, 2.0, 2.0], 400.0)
BARE = Played(2.0, [2.0, 8.0, 8.0], [3.0, 4.0, 5.0], 300.0)
PRODUCTS = Played(1.0, [0.5, 1.0, 1.0], [1.0, 1.0, 1.0], 200.0, {"flops": 1e9})


def test_ratios_are_of_the_contenders_that_played() -> None:
    found: dict[str, float] = {}
    for each in ratios({"ours": OURS, "bare": BARE, "products": PRODUCTS}):
        found |= each
    assert found == {
        "simulator_ours_over_bare": 0.5,
        "simulator_ours_over_bare_least": 0.25,
        "simulator_ours_over_bare_most": 0.5,
        "simulator_ours_over_bare_cpu": 0.5,
        "simulator_ours_over_products": 2.0,
        "simulator_ours_over_products_least": 2.0,
        "simulator_ours_over_products_most": 4.0,
        "simulator_ours_over_products_cpu": 2.0,
    }


def test_a_contenders_own_figures() -> None:
    assert figures_of("bare", BARE) == {
        "simulator_bare_seconds_best": 2.0,
        "simulator_bare_cpu_seconds_best": 3.0,
        "simulator_bare_startup_seconds": 2.0,
        "simulator_bare_peak_mb": 300.0,
    }
    assert figures_of("products", PRODUCTS)["simulator_products_gflop_per_s"] == 2.0


def test_who_cannot_play_here_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in PYTHONS.values():
        monkeypatch.delenv(variable, raising=False)
    found = [each.name for each in contenders("quick", tmp_path)]
    said = capsys.readouterr().err
    assert set(FP32) <= set(found)
    for name in PYTHONS:
        assert name not in found
        assert f"no {name}" in said


def test_a_python_that_is_named_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, variable in PYTHONS.items():
        monkeypatch.setenv(variable, f"/of/{name}/python")
    found = {each.name: each for each in contenders("quick", tmp_path)}
    for name in PYTHONS:
        python, path = found[name].command
        assert python == f"/of/{name}/python"
        assert Path(path).is_file()
