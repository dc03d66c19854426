"""Noise from the system's entropy: N(0, 1) by every look that a test can take, and never twice the same."""

import numpy as np
from scipy import stats

from common.privacy._noise import of_generator, secure_normal, secure_uniform

SIZE = 200_001  # no multiple of a piece


def test_numbers_are_normal() -> None:
    drawn = secure_normal(SIZE)
    assert drawn.shape == (SIZE,)
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    assert abs(drawn.std() - 1) < 5 / np.sqrt(2 * SIZE)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / np.sqrt(SIZE)


def test_numbers_are_uniform_and_never_0_or_1() -> None:
    drawn = secure_uniform(SIZE)
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert stats.kstest(drawn, "uniform").pvalue > 1e-6


def test_the_largest_and_the_smallest_bits_stay_inside() -> None:
    ends = (np.array([0, 2**52 - 1], dtype=np.float64) + 0.5) * 2.0**-52
    assert 0 < ends[0] < ends[1] < 1


def test_nobody_gets_the_same_twice() -> None:
    assert not np.array_equal(secure_normal(8), secure_normal(8))
    assert secure_normal(0).shape == (0,)


def test_a_test_may_pass_a_generator() -> None:
    one, other = (of_generator(np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.normal(5), other.normal(5))
    assert np.array_equal(one.uniform(5), other.uniform(5))
