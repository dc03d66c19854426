import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.mover import in_quadrature

UNIT = st.floats(0, 1)
PARTS = st.lists(st.tuples(UNIT, UNIT, UNIT), min_size=1, max_size=6)


@given(PARTS, st.randoms(use_true_random=False))
def test_it_is_the_root_of_the_summed_squares_in_any_order(
    parts: list[tuple[float, float, float]], random: object
) -> None:
    expected = np.sqrt(sum((share * (end - value)) ** 2 for share, value, end in parts))
    random.shuffle(parts)  # type: ignore[attr-defined] # hypothesis types it as Random
    assert in_quadrature(*zip(*parts, strict=True)) == pytest.approx(expected, abs=1e-12)


def test_it_gives_the_interval_of_a_mean_of_normal_estimates() -> None:
    """Independent normals: the mean's variance is sum((share * sigma)^2), its end 1.96 of its root away."""
    shares, sigmas = np.array([0.2, 0.3, 0.5]), np.array([0.05, 0.02, 0.1])
    draws = np.random.default_rng(0).normal(0, sigmas, size=(200_000, 3)) @ shares
    assert in_quadrature(shares.tolist(), [0, 0, 0], (1.96 * sigmas).tolist()) == pytest.approx(
        1.96 * draws.std(), rel=0.01
    )
