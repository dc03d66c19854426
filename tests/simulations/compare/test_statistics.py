"""Means and paired differences over seeds, against scipy's t test and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from simulations.compare.statistics import level, paired

WIDE = (-math.inf, math.inf)


def test_the_level_is_the_mean_with_its_t_interval() -> None:
    values = dict(enumerate(np.random.default_rng(0).normal(0.7, 0.05, 5)))
    found, array = level(values), np.array(list(values.values()))
    low, high = stats.t.interval(0.95, 4, array.mean(), stats.sem(array))
    assert (found.value, found.low, found.high) == pytest.approx((array.mean(), low, high), abs=1e-12)


def test_a_paired_difference_is_a_one_sample_t_interval_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(0.7, 0.1, 6), rng.normal(0.6, 0.1, 6)
    found = paired(dict(enumerate(ours)), dict(enumerate(theirs)), higher_is_better=True, within=WIDE)
    difference = ours - theirs
    low, high = stats.t.interval(0.95, 5, difference.mean(), stats.sem(difference))
    expected = pytest.approx((difference.mean(), low, high), abs=1e-12)
    assert (found.difference.value, found.difference.low, found.difference.high) == expected
    assert (found.wins, found.ties, found.losses) == (int((difference > 0).sum()), 0, int((difference < 0).sum()))


def test_pairing_is_by_seed_and_not_by_place() -> None:
    found = paired({1: 0.5, 0: 0.7}, {0: 0.6, 1: 0.5}, higher_is_better=True, within=WIDE)
    assert found.difference.value == pytest.approx(0.05)
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)


def test_where_lower_is_better_a_win_is_lower_and_the_difference_keeps_its_sign() -> None:
    found = paired({0: 0.5, 1: 0.9}, {0: 0.6, 1: 1.0}, higher_is_better=False, within=WIDE)
    assert found.difference.value == pytest.approx(-0.1)
    assert (found.wins, found.ties, found.losses) == (2, 0, 0)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(None, 0.0, (0, 0, 1)), (0.0, None, (1, 0, 0)), (None, None, (0, 1, 0)), (0.5, 0.5, (0, 1, 0))],
)
def test_a_value_wins_against_none_whichever_way_is_better(
    ours: float | None, theirs: float | None, expected: tuple[int, int, int], higher: bool
) -> None:
    found = paired({0: ours}, {0: theirs}, higher_is_better=higher, within=WIDE)
    assert (found.wins, found.ties, found.losses) == expected


def test_a_seed_without_a_value_on_either_side_is_in_no_difference_and_said() -> None:
    found = paired({0: 0.5, 1: None, 2: 0.8}, {0: 0.4, 1: 0.5, 2: 0.6}, higher_is_better=True, within=WIDE)
    assert found.difference.value == pytest.approx(0.15)
    assert found.difference.reason == "2 of 3 seeds have a value"
    assert (found.wins, found.ties, found.losses) == (2, 0, 1)
    assert level({0: None, 1: None}).reason == "no seed has a value"


def test_no_interval_reaches_beyond_what_the_metric_can_be() -> None:
    assert (found := level({0: 0.1, 1: 0.9}, within=(0, 1))).low == 0
    assert found.high == 1
    wide = paired({0: 0.1, 1: 1.0}, {0: 0.9, 1: 0.1}, higher_is_better=True, within=(0, 1)).difference
    assert (wide.low, wide.high) == (-1, 1)
