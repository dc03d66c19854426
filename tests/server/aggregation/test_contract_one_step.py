"""One local step of gradient descent: the mean of factors is one central step, the mean of products is not.

Sites have the losses <G_k, W0 + s B A>, whose gradients are s G_k A^T for B and s B^T G_k for A; the central one is
their mean. So a method that is exact in products is another choice, and not a more correct one.
"""

import numpy as np
import pytest

from common import plugins
from common.carried import carried_pair
from common.lora_pairs import Pair, as_matrices
from common.state import AdapterState
from server.aggregation import ClientUpdate

Q, S, RANK = Pair("q"), 2.0, 2
WEIGHTS = np.array([1.0, 2.0, 5.0])


def problem() -> tuple[AdapterState, np.ndarray]:
    """Factors with room for 6 ranks of sites in the study's 6, of which they use 2, and the gradients in W."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 5)), rng.normal(size=(7, 6))
    return {Q.a: a, Q.b: b}, rng.normal(size=(3, 7, 5))


def step(state: AdapterState, gradient: np.ndarray, rate: float) -> dict[str, np.ndarray]:
    """The change of the first RANK ranks by a step of gradient descent."""
    a, b = state[Q.a][:RANK], state[Q.b][:, :RANK]
    return {Q.a: -rate * S * b.T @ gradient, Q.b: -rate * S * gradient @ a.T}


def distance_to_central_step(name: str, rate: float) -> float:
    state, gradients = problem()
    if name != "flexlora":
        state = {Q.a: state[Q.a][:RANK], Q.b: state[Q.b][:, :RANK]}
    strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    sites = zip("xyz", gradients, WEIGHTS, strict=True)
    updates = [ClientUpdate(site, step(state, gradient, rate), 1, weight) for site, gradient, weight in sites]
    made = strategy.step(state, strategy.combine(updates, state), {})[0]
    a, b = state[Q.a][:RANK], state[Q.b][:, :RANK]
    central = step(state, np.average(gradients, axis=0, weights=WEIGHTS), rate)
    return float(np.linalg.norm(effective(made) - (b + central[Q.b]) @ (a + central[Q.a])))


def effective(state: AdapterState) -> np.ndarray:
    found = [as_matrices(state, pair) for pair in (Q, carried_pair(Q)) if pair.a in state]
    return sum((b @ a for a, b in found), start=np.zeros((7, 5)))


@pytest.mark.parametrize("name", ["fedavg", "fedrot-lora"])
@pytest.mark.parametrize("rate", [0.1, 0.001])
def test_the_mean_of_factors_is_the_central_step(name: str, rate: float) -> None:
    assert distance_to_central_step(name, rate) < 1e-13


@pytest.mark.parametrize("name", ["fedex-lora", "flora", "flexlora"])
def test_the_mean_of_products_differs_by_the_square_of_the_rate(name: str) -> None:
    large, small = (distance_to_central_step(name, rate) for rate in (0.1, 0.01))
    assert large > 1e-2
    assert large / small == pytest.approx(100, rel=1e-2)
