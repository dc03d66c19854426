"""The figures of the deployment benchmark, from measurements that are made up."""

from typing import Any

import pytest

from simulations.bench.adapters import SITES
from simulations.bench.deployment import deployment_figures, figures_of, stock_figures
from simulations.bench.passages import PARTS, Passage
from simulations.bench.real_federation import Federation, measure_federation
from simulations.bench.stock_flower import Stock, measure_stock


def round_of(seconds: float, work: float, messages: int = 1) -> Passage:
    return Passage(seconds, work, dict.fromkeys(PARTS, seconds / len(PARTS)), messages)


OURS = Federation([round_of(4, 1), round_of(3, 1), round_of(9, 1, messages=2)], 2.0, 1, 150.0, 12.0, 200.0)
STOCK = Stock([30.0, 15.0, 60.0], [6.0, 9.0], 140.0, 160.0)


def test_overhead_is_the_round_less_the_slowest_sites_work() -> None:
    found = figures_of(OURS)
    spread = [found[f"deployment_overhead_s_{word}"] for word in ("median", "min", "max")]
    assert spread == [3, 2, 8]
    assert found["deployment_push_s"] == pytest.approx(4 / 6)
    assert found["messages_per_site_round"] == 2
    assert found["base_model_loads_per_trainer"] == 1


def test_memory_is_counted_in_payloads_of_the_sites_in_flight() -> None:
    assert len(SITES) == 2
    assert figures_of(OURS)["deployment_server_app_growth_over_payloads"] == 12 / (2 * 2.0)


def test_stock_flower_is_set_against_ours_with_and_without_its_loads() -> None:
    found = stock_figures("stock", STOCK, OURS)
    assert found["stock_overhead_s_median"] == 30
    assert found["stock_over_ours"] == 30 / 3
    assert found["stock_without_loads_over_ours"] == (30 - 7.5) / 3


def test_both_are_measured_apart_with_the_same_adapter() -> None:
    asked: list[tuple[Any, ...]] = []

    def apart(measure: Any, *arguments: object) -> object:
        asked.append((measure, *arguments))
        return OURS if measure is measure_federation else STOCK

    names = [name for found in deployment_figures(apart) for name in found]
    assert len(names) == len(set(names))
    assert [each[0] for each in asked] == [measure_federation, measure_stock, measure_stock, measure_federation]
    assert [each[1] for each in asked[:3]] == [asked[0][1]] * 3
    assert [each[3] for each in asked[1:3]] == [False, True]
