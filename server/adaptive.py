"""Server optimisers over the averaged update D, which they take for a negative gradient.

Reddi et al. 2021, "Adaptive Federated Optimization", https://arxiv.org/abs/2003.00295, algorithm 2, per coordinate:

    m_t = beta_1 m_{t-1} + (1 - beta_1) D_t,    v_t = f(v_{t-1}, D_t),    x_{t+1} = x_t + eta m_t / (sqrt(v_t) + tau)

with m_{-1} = 0, v_{-1} = tau^2 and no correction of the bias of m and v. The moments are kept in float64 by tensor, as
`first_moment/NAME` and `second_moment/NAME`: a run that is resumed has them to the bit. A tensor that no site sent in a
round keeps its value and its moments. They belong to the coordinates of the factors: no rule that changes the gauge of
a LoRA pair from round to round goes with them.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from common.state import AdapterState, Array
from server.aggregation import Memory
from server.mean import moved

Moment = NDArray[np.float64]
Update = Mapping[str, Moment]
SecondMoment = Callable[[Moment, Moment], Moment]
"""The next v of the last one and D, in the same shape."""
FIRST, SECOND, MOMENTUM = "first_moment/", "second_moment/", "momentum/"


def adagrad(v: Moment, delta: Moment) -> Moment:
    """Return v + D^2."""
    return v + delta**2


def adam(v: Moment, delta: Moment, beta_2: float) -> Moment:
    """Return beta_2 v + (1 - beta_2) D^2."""
    return beta_2 * v + (1 - beta_2) * delta**2


def yogi(v: Moment, delta: Moment, beta_2: float) -> Moment:
    """Return v - (1 - beta_2) D^2 sign(v - D^2), which falls more slowly than Adam's where D gets smaller.

    >>> yogi(np.array([1.0, 0.0]), np.array([0.0, 2.0]), 0.75).tolist()
    [1.0, 1.0]
    """
    square = delta**2
    return v - (1 - beta_2) * square * np.sign(v - square)


def adaptive_step(
    state: AdapterState, update: Update, memory: Memory, second: SecondMoment, *, eta: float, beta_1: float, tau: float
) -> tuple[AdapterState, Memory]:
    """Return the next adapter and the next moments."""
    firsts, seconds, steps = {}, {}, {}
    for name, delta in update.items():
        m = beta_1 * _kept(memory, FIRST + name, delta, 0.0) + (1 - beta_1) * delta
        v = second(_kept(memory, SECOND + name, delta, tau**2), delta)
        steps[name] = eta * m / (np.sqrt(v) + tau)
        firsts[FIRST + name], seconds[SECOND + name] = m, v
    return moved(state, steps), {**memory, **firsts, **seconds}


def momentum_step(
    state: AdapterState, update: Update, memory: Memory, *, eta: float, beta: float
) -> tuple[AdapterState, Memory]:
    """Return x + eta v with v = beta v + D, and v as `momentum/NAME`."""
    kept: dict[str, Array] = {
        MOMENTUM + name: beta * _kept(memory, MOMENTUM + name, delta, 0.0) + delta for name, delta in update.items()
    }
    return moved(state, {name: eta * kept[MOMENTUM + name].astype(np.float64) for name in update}), {**memory, **kept}


def _kept(memory: Memory, name: str, like: Moment, first: float) -> Moment:
    """Return what the memory has, in the first round of a tensor `first` everywhere."""
    return memory[name].astype(np.float64) if name in memory else np.full_like(like, first)
