"""The figures are of the adapter that they speak of; their sizes are for the bench, not for a test."""

import numpy as np

from simulations.bench.aggregation import aggregation_figures, clients, mean_peak_mb, measure_mean, roberta_large


def test_the_adapter_is_that_of_roberta_large() -> None:
    state = roberta_large(np.random.default_rng(0))
    assert (len(state), sum(array.size for array in state.values())) == (96, 786_432)


def test_figures_are_measured_and_memory_does_not_grow_with_sites() -> None:
    cost = measure_mean(sites=2, repeats=1)
    assert cost.values == 2 * 786_432
    few, many = mean_peak_mb(9), mean_peak_mb(27)
    assert many < few + 8  # MB, of an update of 3 MB: 18 more of them would be 54
    # In a process that has let go of memory the peak may be no more than was there, so that these figures are made up.
    assert all(value > 0 for value in aggregation_figures(cost, 30.0, 31.0).values())


def test_sites_weigh_differently() -> None:
    assert len({each.weight for each in clients(3)}) == 3
