import numpy as np
import pytest

from common.metrics.bins import BINS, EDGES, bin_of, equal_edges, first_bins


def test_edges_rise_from_0_to_1_and_mirror() -> None:
    assert (EDGES[0], EDGES[-1], EDGES[BINS // 2]) == (0.0, 1.0, 0.5)
    assert (np.diff(EDGES) > 0).all()
    np.testing.assert_allclose(EDGES + EDGES[::-1], 1, atol=1e-15)


@pytest.mark.parametrize("bins", [2, 10, 15])
def test_equal_edges_are_histogram_edges(bins: int) -> None:
    assert np.isin(equal_edges(bins), EDGES).all()
    assert (EDGES[first_bins(bins)] == equal_edges(bins)[:-1]).all()


@pytest.mark.parametrize("bins", [0, 7])
def test_other_edges_are_refused(bins: int) -> None:
    with pytest.raises(ValueError, match="divisor of 600"):
        equal_edges(bins)


def test_each_value_lies_in_its_half_open_bin() -> None:
    values = np.concatenate([EDGES, np.random.default_rng(0).uniform(size=1000)])
    bins = bin_of(values)
    assert (values <= EDGES[bins + 1]).all()
    assert ((values > EDGES[bins]) | (values == 0)).all()


def test_saturated_probabilities_are_told_apart() -> None:
    sure = 1 / (1 + np.exp(-np.arange(8.0, 16.0)))  # logits 8 to 15
    assert len(set(bin_of(sure).tolist())) == 8
    assert len(set(bin_of(1 - sure).tolist())) == 8


def test_nobody_changes_the_edges_of_others() -> None:
    assert not equal_edges(15).flags.writeable
