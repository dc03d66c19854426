"""What Gaussian rounds add up to, against the closed form of GDP and dp-accounting's numerical composition."""

from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from common.privacy._accounting import Spending, epsilon_of
from common.privacy._gaussian import epsilon_together, noise_for

NOISE = st.floats(0.3, 50)
DELTA = st.sampled_from([1e-2, 1e-5, 1e-8])


def delta_of(epsilon: float, *, noise: float, steps: int) -> float:
    """Dong, Roth and Su 2019, corollary 2.13, with mu = sqrt(T) / z."""
    mu = sqrt(steps) / noise
    return float(ndtr(-epsilon / mu + mu / 2) - exp(epsilon) * ndtr(-epsilon / mu - mu / 2))


@given(NOISE, st.integers(1, 300), DELTA)
def test_epsilon_is_where_the_closed_form_has_delta(noise: float, steps: int, delta: float) -> None:
    epsilon = epsilon_together([Spending(noise, 1.0, steps)], delta=delta)
    if 0 < epsilon < 100:
        assert delta_of(epsilon, noise=noise, steps=steps) == pytest.approx(delta, rel=1e-6)
    elif epsilon == 0:
        assert delta_of(0.0, noise=noise, steps=steps) <= delta


@pytest.mark.parametrize(("noise", "steps"), [(8.1, 10), (1.0, 3), (3.4, 50)])
def test_the_numerical_accountant_agrees_and_renyi_bounds_are_no_lower(noise: float, steps: int) -> None:
    spent = [Spending(noise, 1.0, steps)]
    exact = epsilon_together(spent, delta=1e-5)
    assert epsilon_of(spent, delta=1e-5) == pytest.approx(exact, rel=1e-3)
    assert epsilon_of(spent, delta=1e-5, accountant="rdp") >= exact


@given(NOISE, NOISE, st.integers(0, 20), st.integers(0, 20))
def test_rounds_add_up_in_any_order_and_never_become_less(one: float, other: float, first: int, second: int) -> None:
    left, right = Spending(one, 1.0, first), Spending(other, 1.0, second)
    together = epsilon_together([left, right], delta=1e-5)
    assert together == pytest.approx(epsilon_together([right, left], delta=1e-5), rel=1e-9)
    assert together >= max(epsilon_together([each], delta=1e-5) for each in (left, right)) * (1 - 1e-9)


def test_no_round_spends_nothing_and_samples_are_refused() -> None:
    assert epsilon_together([], delta=1e-5) == epsilon_together([Spending(1.0, 1.0, 0)], delta=1e-5) == 0
    with pytest.raises(ValueError, match="over samples"):
        epsilon_together([Spending(1.0, 0.5, 1)], delta=1e-5)


@given(st.floats(1e-3, 1e4), DELTA, st.integers(1, 1000))
def test_the_noise_for_an_epsilon_spends_just_that_and_never_more(epsilon: float, delta: float, rounds: int) -> None:
    noise = noise_for(epsilon=epsilon, delta=delta, rounds=rounds)
    spent = epsilon_together([Spending(noise, 1.0, rounds)], delta=delta)
    assert epsilon * (1 - 1e-6) <= spent <= epsilon
