import math

import numpy as np
import pytest

from simulations.audit.exposure import by_chance, exposures


def test_it_is_carlini_s_formula() -> None:
    """log2 |R| - log2 rank (definition 3), over all |R| = 1000 of the space, for every rank."""
    references = np.arange(1, 1000, dtype=np.float64)
    for rank in (1, 2, 10, 1000):
        loss = np.array([rank - 0.5])
        assert exposures(loss, references)[0] == pytest.approx(math.log2(1000) - math.log2(rank), abs=1e-12)


def test_ties_are_halved() -> None:
    found = exposures(np.array([5.0]), np.array([5.0, 5.0, 9.0]))
    assert found[0] == pytest.approx(math.log2(4) - math.log2(1 + 2 / 2), abs=1e-12)


def test_the_order_of_references_means_nothing() -> None:
    rng = np.random.default_rng(0)
    canaries, references = rng.normal(size=7), rng.normal(size=50)
    assert exposures(canaries, references).tolist() == exposures(canaries, rng.permutation(references)).tolist()


def test_chance_is_that_of_canaries_drawn_like_references() -> None:
    rng = np.random.default_rng(0)
    null = by_chance(5, 200, draws=4000, rng=rng)
    drawn = [exposures(rng.normal(size=5), rng.normal(size=200)).mean() for _ in range(4000)]
    assert null.mean() == pytest.approx(1 / math.log(2), abs=0.05)
    assert null.mean() == pytest.approx(np.mean(drawn), abs=0.04)
    assert np.quantile(null, 0.95) == pytest.approx(np.quantile(drawn, 0.95), abs=0.1)
