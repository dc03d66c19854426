import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.classes import ClassMeasure
from common.metrics.multilabel import MultiLabelMeasure
from common.seeds import generator, integer_seed, undrawn

KEYS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**20), st.text(max_size=8), st.text(max_size=8))


def seed_of(key: tuple[int, int, str, str]) -> int:
    seed, round_number, site, purpose = key
    return integer_seed(seed, round_number=round_number, site=site, purpose=purpose)


@given(KEYS, KEYS)
def test_streams_are_equal_exactly_when_their_keys_are(one: tuple, other: tuple) -> None:
    assert (seed_of(one) == seed_of(other)) == (one == other)


@given(KEYS)
def test_a_seed_fits_in_63_bits(key: tuple) -> None:
    assert 0 <= seed_of(key) < 2**63


def test_site_and_purpose_do_not_run_together() -> None:
    assert seed_of((0, 0, "ab", "c")) != seed_of((0, 0, "a", "bc"))
    assert seed_of((0, 0, "a", "b")) != seed_of((0, 0, "b", "a"))


def test_neighbouring_streams_are_uncorrelated() -> None:
    # The correlation of 10,000 independent normal pairs has a standard deviation of 1/100: 0.05 is five of them.
    draws = [generator(0, round_number=r, site=s, purpose="p").normal(size=10_000) for r in (1, 2) for s in ("a", "b")]
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 0.05


def test_a_generator_is_fresh_and_leaves_numpy_s_global_one_alone() -> None:
    before = np.random.get_state()[1].copy()  # that it is untouched is the point
    assert generator(3, purpose="x").random() == generator(3, purpose="x").random()
    assert (np.random.get_state()[1] == before).all()


def test_measures_without_resamples_draw_nothing() -> None:
    """So they are given the one generator that all share."""
    before = undrawn().bit_generator.state
    scores, labels = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 0])
    ClassMeasure(2).evaluate(scores, labels, ["a", "b"], resamples=0, rng=undrawn())
    MultiLabelMeasure(2).evaluate(scores, np.array([[1, 0], [0, 1]]), ["a", "b"], resamples=0, rng=undrawn())
    assert undrawn().bit_generator.state == before
