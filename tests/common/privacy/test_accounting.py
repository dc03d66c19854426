"""Oracle O11: epsilon against Opacus and the closed form, the noise for a wish, and the figures that we publish."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from common.errors import UserError
from common.privacy._accounting import (
    LEAST_NOISE,
    ORDERS,
    Accountant,
    Spending,
    deltas_of,
    epsilon_of,
    noise_multiplier_for,
    sampling_probability,
    steps_for,
)

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from opacus.accountants import PRVAccountant, RDPAccountant

DELTA = 1e-5

CASES = {
    "a hospital of heart": [Spending(0.9, 16 / 180, 88)],
    "large": [Spending(1.28, 256 / 5000, 1000)],
    "much noise": [Spending(8.0, 0.5, 16)],
    "studies of three kinds": [Spending(1.5, 0.1, 40), Spending(3.0, 0.3, 20), Spending(6.0, 0.05, 300)],
}


def by_opacus(accountant: RDPAccountant | PRVAccountant, spendings: Sequence[Spending], **options: object) -> float:
    for each in spendings:
        for _ in range(each.steps):
            accountant.step(noise_multiplier=each.noise_multiplier, sample_rate=each.sampling_probability)
    return float(accountant.get_epsilon(delta=DELTA, **options))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The closed form of O11, solved for epsilon."""

    def excess(epsilon: float) -> float:
        grown = math.exp(epsilon + norm.logcdf(-epsilon / mu - mu / 2))
        return float(norm.cdf(-epsilon / mu + mu / 2) - grown - delta)

    return float(brentq(excess, 0, 500)) if excess(0) > 0 else 0.0


@pytest.mark.parametrize("case", CASES)
def test_renyi_accounts_are_those_of_opacus(case: str) -> None:
    expected = by_opacus(RDPAccountant(), CASES[case], alphas=list(ORDERS))
    assert epsilon_of(CASES[case], delta=DELTA, accountant="rdp") == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha:UserWarning")  # its own search for a domain
@pytest.mark.parametrize("case", CASES)
def test_loss_distributions_are_those_of_opacus(case: str) -> None:
    error = 0.01  # Opacus returns its estimate and this
    expected = by_opacus(PRVAccountant(), CASES[case], eps_error=error, delta_error=DELTA / 1e4) - error
    found = epsilon_of(CASES[case], delta=DELTA)
    assert found == pytest.approx(expected, abs=1e-3)
    assert found <= epsilon_of(CASES[case], delta=DELTA, accountant="rdp")


@pytest.mark.parametrize(
    ("noise", "steps", "delta"), [(3.0, 50, 1e-5), (1.0, 1, 1e-3), (40.0, 7, 1e-6), (0.5, 3, 1e-5)]
)
def test_without_sampling_it_is_the_gaussian_closed_form(noise: float, steps: int, delta: float) -> None:
    expected = gaussian_epsilon(math.sqrt(steps) / noise, delta)
    assert epsilon_of([Spending(noise, 1.0, steps)], delta=delta) == pytest.approx(expected, abs=1e-6)
    almost = epsilon_of([Spending(noise, 1 - 1e-9, steps)], delta=delta)  # by loss distributions
    assert almost == pytest.approx(expected, abs=1e-3)


def test_gaussians_of_several_sizes_add_up_in_closed_form() -> None:
    mixed = [Spending(2.0, 1.0, 3), Spending(5.0, 1.0, 10)]
    assert epsilon_of(mixed, delta=DELTA) == pytest.approx(
        gaussian_epsilon(math.sqrt(3 / 4 + 10 / 25), DELTA), abs=1e-6
    )


@pytest.mark.parametrize("accountant", ["pld", "rdp"])
def test_nothing_costs_nothing(accountant: Accountant) -> None:
    assert epsilon_of([], delta=DELTA, accountant=accountant) == 0
    assert epsilon_of([Spending(1.0, 0.1, 0)], delta=DELTA, accountant=accountant) == 0


def test_steps_of_one_kind_add_up_in_any_order() -> None:
    one, other = Spending(4.0, 0.2, 30), Spending(8.0, 0.1, 50)
    whole = epsilon_of([one, other], delta=DELTA)
    parts = [Spending(4.0, 0.2, 10), other, Spending(4.0, 0.2, 20)]
    assert epsilon_of(parts, delta=DELTA) == epsilon_of(parts[::-1], delta=DELTA) == whole
    alone = epsilon_of([one], delta=DELTA), epsilon_of([other], delta=DELTA)
    assert max(alone) < whole < sum(alone)


STEPS = {
    "noise": st.floats(2, 20),
    "q": st.floats(0.02, 0.8),
    "steps": st.integers(1, 60),
    "more": st.floats(1.05, 1.25),
}


@settings(max_examples=10, deadline=None)
@given(**STEPS)
def test_renyi_epsilon_is_monotone(noise: float, q: float, steps: int, more: float) -> None:
    assert_monotone(noise, q, steps, more, "rdp")


@settings(max_examples=2, deadline=None)
@given(**STEPS)
def test_epsilon_by_loss_distributions_is_monotone(noise: float, q: float, steps: int, more: float) -> None:
    assert_monotone(noise, q, steps, more, "pld")


def assert_monotone(noise: float, q: float, steps: int, more: float, accountant: Accountant) -> None:
    def spent(noise: float, q: float, steps: int, delta: float = DELTA) -> float:
        return epsilon_of([Spending(noise, q, steps)], delta=delta, accountant=accountant)

    here = spent(noise, q, steps)
    assert here <= spent(noise, q * more, steps)
    assert here <= spent(noise, q, steps + 1 + steps // 4)
    assert here >= spent(noise * more, q, steps)
    assert here >= spent(noise, q, steps, DELTA * more)


def test_renyi_orders_never_fail(capfd: pytest.CaptureFixture[str]) -> None:
    for q, noise in ((0.4999, 0.05), (0.5, 1.0), (0.5, 900.0), (0.5001, 30.0)):
        assert math.isfinite(epsilon_of([Spending(noise, q, 3)], delta=DELTA, accountant="rdp"))
    assert not "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("noise", "q", "steps"), [(1e-3, 0.1, 50), (0.01, 0.001, 20_000), (1000.0, 1e-6, 5), (0.3, 0.9, 3)]
)
def test_the_edges_have_an_answer(noise: float, q: float, steps: int) -> None:
    assert 0 <= epsilon_of([Spending(noise, q, steps)], delta=1e-12) < math.inf


WISHES = [
    {"epsilon": 8.0, "delta": 1e-5, "sampling_probability": 16 / 180, "steps": 88},
    {"epsilon": 0.05, "delta": 1e-6, "sampling_probability": 0.02, "steps": 300},
    {"epsilon": 3.0, "delta": 1e-3, "sampling_probability": 1.0, "steps": 50},
    {"epsilon": 60.0, "delta": 1e-5, "sampling_probability": 0.05, "steps": 200},
]


@pytest.mark.parametrize("wish", WISHES)
def test_the_noise_is_just_enough(wish: dict[str, Any]) -> None:
    assert_just_enough(**wish, accountant="pld")
    assert_just_enough(**wish, accountant="rdp")


def assert_just_enough(
    epsilon: float, delta: float, sampling_probability: float, steps: int, accountant: Accountant
) -> None:
    noise = noise_multiplier_for(
        epsilon=epsilon, delta=delta, sampling_probability=sampling_probability, steps=steps, accountant=accountant
    )

    def spent(noise: float) -> float:
        return epsilon_of([Spending(noise, sampling_probability, steps)], delta=delta, accountant=accountant)

    assert spent(noise) <= epsilon < spent(noise * (1 - 1.1e-3))


def test_where_hardly_any_noise_is_needed_there_is_the_least() -> None:
    rich = noise_multiplier_for(epsilon=1e9, delta=DELTA, sampling_probability=0.5, steps=10)
    idle = noise_multiplier_for(epsilon=1.0, delta=DELTA, sampling_probability=0.5, steps=0)
    assert rich == idle == LEAST_NOISE


def test_a_hopeless_wish_says_what_helps() -> None:
    with pytest.raises(UserError, match=r"needs noise above 1000 .* larger epsilon, fewer rounds"):
        noise_multiplier_for(epsilon=1e-4, delta=DELTA, sampling_probability=0.5, steps=50)


RIGHT: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-5, "sampling_probability": 0.1, "steps": 10}


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "epsilon": [0, -1, math.inf, math.nan],
        "delta": [0, 1, -1e-5, math.nan],
        "sampling_probability": [0, -0.1, 1.1, math.nan],
        "steps": [-1, 1.5],
    }.items(),
)
def test_what_makes_no_sense_is_named(name: str, values: list[float]) -> None:
    for value in values:
        with pytest.raises(UserError, match=name.replace("_", " ")):
            noise_multiplier_for(**{**RIGHT, name: value})
    with pytest.raises(UserError, match="noise multiplier"):
        Spending(0.0, 0.5, 1)


@pytest.mark.parametrize(
    ("patients", "batch", "steps", "noises"),
    [
        (5000, 256, 1000, (6.65, 2.57, 1.28)),
        (5000, 256, 300, (3.76, 1.59, 0.92)),
        (50_000, 512, 1000, (1.54, 0.88, 0.62)),
        (1000, 128, 300, (9.1, 3.5, 1.65)),
    ],
)
def test_published_noise_for_records(patients: int, batch: int, steps: int, noises: Sequence[float]) -> None:
    q = sampling_probability(patients, batch)
    for epsilon, expected in zip((1.0, 3.0, 8.0), noises, strict=True):
        found = noise_multiplier_for(epsilon=epsilon, delta=1e-5, sampling_probability=q, steps=steps, accountant="rdp")
        assert found == pytest.approx(expected, rel=0.012)  # two digits were published


@pytest.mark.parametrize(("steps", "noises"), [(10, (8.1, 3.3, 1.5)), (50, (18.2, 7.3, 3.4)), (100, (25.8, 10.4, 4.8))])
def test_published_noise_for_sites_that_are_all_in_each_round(steps: int, noises: Sequence[float]) -> None:
    for epsilon, expected in zip((1.0, 3.0, 8.0), noises, strict=True):
        found = noise_multiplier_for(epsilon=epsilon, delta=1e-3, sampling_probability=1.0, steps=steps)
        assert found == pytest.approx(expected, abs=0.051)


def test_delta_is_what_epsilon_was_asked_at() -> None:
    spendings = [Spending(1.0, 0.1, 80)]
    epsilon = epsilon_of(spendings, delta=DELTA)
    at_zero, here, beyond = deltas_of(spendings, epsilons=[0, epsilon, 2 * epsilon], near=DELTA)
    assert here == pytest.approx(DELTA, rel=1e-3)
    assert beyond < here < at_zero < 1
    assert deltas_of([], epsilons=[0, 1], near=DELTA) == [0, 0]


def test_steps_cover_the_epochs_and_are_never_none() -> None:
    assert sampling_probability(10, 16) == 1
    assert [steps_for(epochs, 0.1) for epochs in (0.01, 1, 2.5)] == [1, 10, 25]
    for wrong in (lambda: sampling_probability(0, 1), lambda: sampling_probability(1, 0), lambda: steps_for(0, 0.1)):
        with pytest.raises(UserError):
            wrong()
