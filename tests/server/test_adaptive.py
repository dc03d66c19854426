"""Server optimisers against the paper's lines in plain numpy, coordinate by coordinate and over several rounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from common import plugins
from common.state import AdapterState, digest_state
from common.tensor_files import to_safetensors
from server.adaptive import yogi
from server.aggregation import ClientUpdate, Mean, Memory, Strategy
from server.aggregation.fedadagrad import FedAdagrad
from server.aggregation.fedadam import FedAdam
from server.aggregation.fedavg import FedAvg
from server.aggregation.fedavgm import FedAvgM

OPTIMISERS = ("fedavgm", "fedadagrad", "fedadam", "fedyogi")
SEEDS = st.integers(0, 2**32 - 1)


def mean_of(**update: np.ndarray) -> Mean:
    return Mean({name: array.astype(np.float64) for name, array in update.items()}, {}, 1.0, 1)


def play(strategy: Strategy, state: AdapterState, deltas: list[np.ndarray]) -> tuple[AdapterState, Memory]:
    memory: Memory = {}
    for delta in deltas:
        state, memory = strategy.step(state, mean_of(x=delta), memory)
    return state, memory


def rounds(rng: np.random.Generator, count: int = 3) -> tuple[np.ndarray, list[np.ndarray]]:
    return rng.normal(size=7), [rng.normal(size=7) * 10.0 ** rng.integers(-4, 1) for _ in range(count)]


@given(seed=SEEDS, beta=st.floats(0, 0.99), eta=st.floats(1e-3, 2))
def test_fedavgm_s_momentum_runs_over_three_rounds(seed: int, beta: float, eta: float) -> None:
    # Hsu et al. 2019: v_1 = D_1, v_2 = beta D_1 + D_2, v_3 = beta^2 D_1 + beta D_2 + D_3; x moves by eta of each.
    x, (d1, d2, d3) = rounds(np.random.default_rng(seed))
    made, memory = play(FedAvgM(beta=beta, eta=eta), {"x": x}, [d1, d2, d3])
    wanted = x + eta * ((1 + beta + beta**2) * d1 + (1 + beta) * d2 + d3)
    np.testing.assert_allclose(made["x"], wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(memory["momentum/x"], beta**2 * d1 + beta * d2 + d3, rtol=1e-12, atol=1e-12)


def test_fedavgm_s_momentum_goes_on_where_sites_stand_still() -> None:
    # v = 1, 1/2, 1/4: a momentum that never runs would stop at 2.
    made, _ = play(
        FedAvgM(beta=0.5, eta=1.0), {"x": np.float64([1])}, [np.float64([1]), np.float64([0]), np.float64([0])]
    )
    assert made["x"].tolist() == [2.75]


@given(seed=SEEDS)
def test_fedavgm_without_momentum_is_fedavg(seed: int) -> None:
    rng = np.random.default_rng(seed)
    updates = [ClientUpdate(f"s{i}", {"x": rng.normal(size=5)}, i, float(i)) for i in (1, 2, 3)]
    state = {"x": rng.normal(size=5)}
    made = [s.step(state, s.combine(iter(updates), state), {})[0] for s in (FedAvgM(beta=0.0, eta=1.0), FedAvg())]
    np.testing.assert_array_equal(made[0]["x"], made[1]["x"])


def second_moment(name: str, v: float, d: float, beta_2: float) -> float:
    if name == "fedadagrad":
        return v + d * d
    if name == "fedadam":
        return beta_2 * v + (1 - beta_2) * d * d
    sign = (v > d * d) - (v < d * d)
    return v - (1 - beta_2) * d * d * sign


@given(seed=SEEDS, beta_1=st.floats(0, 0.99), beta_2=st.floats(0, 0.999))
@pytest.mark.parametrize("name", ["fedadagrad", "fedadam", "fedyogi"])
def test_three_rounds_are_algorithm_2_of_the_paper(name: str, seed: int, beta_1: float, beta_2: float) -> None:
    x, deltas = rounds(np.random.default_rng(seed))
    eta, tau = 0.03, 0.002
    options = {"eta": eta, "tau": tau, "beta_1": beta_1} | ({} if name == "fedadagrad" else {"beta_2": beta_2})
    made, _ = play(plugins.build("server.aggregation", name, options, key="aggregation.name"), {"x": x}, deltas)
    for i, found in enumerate(made["x"]):  # Reddi et al. 2021, algorithm 2, for one coordinate
        value, m, v = float(x[i]), 0.0, tau**2
        for delta in deltas:
            d = float(delta[i])
            m = beta_1 * m + (1 - beta_1) * d
            v = second_moment(name, v, d, beta_2)
            value += eta * m / (v**0.5 + tau)
        assert found == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("name", "step"), [("fedadam", 0.2), ("fedyogi", 0.2)])
def test_there_is_no_correction_of_the_first_round_s_bias(name: str, step: float) -> None:
    # D = 1, beta_1 = 0.9, beta_2 = 0.75, tau far below: m = 0.1, v = 0.25, the step is 0.1 / 0.5; corrected it were 1.
    options = {"tau": 1e-9, "eta": 1.0, "beta_1": 0.9, "beta_2": 0.75}
    strategy = plugins.build("server.aggregation", name, options, key="aggregation.name")
    made, _ = play(strategy, {"x": np.float64([0])}, [np.float64([1])])
    assert made["x"][0] == pytest.approx(step, rel=1e-6)


@given(seed=SEEDS)
def test_fedadagrad_s_first_step_is_nearly_the_sign(seed: int) -> None:
    d = np.random.default_rng(seed).normal(size=5)
    made, _ = play(FedAdagrad(eta=0.5, tau=1e-9), {"x": np.zeros(5)}, [d])
    np.testing.assert_allclose(made["x"], 0.5 * d / (np.abs(d) + 1e-9), rtol=1e-6)


@pytest.mark.parametrize(("tau", "error"), [(1e-3, 1.0), (1.0, 0.5), (1e3, 1e-3), (1e6, 1e-6)])
def test_a_large_tau_makes_fedadam_fedavg(tau: float, error: float) -> None:
    # beta_1 = beta_2 = 0: v = D^2, and with eta = tau the step is D / (1 + |D| / tau).
    d = np.linspace(-1, 1, 9)
    made, _ = play(FedAdam(eta=tau, beta_1=0.0, beta_2=0.0, tau=tau), {"x": np.zeros(9)}, [d])
    assert 0 < np.abs(made["x"] - d).max() <= error


def test_yogi_s_second_moment_falls_more_slowly_than_adam_s() -> None:
    v, d = np.float64([1.0]), np.float64([1e-3])
    assert yogi(v, d, 0.9)[0] == pytest.approx(1.0, abs=1e-6)
    assert 0.9 * v[0] + 0.1 * d[0] ** 2 == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_run_that_is_resumed_from_its_file_has_the_same_bytes(name: str) -> None:
    strategy, rng = plugins.build("server.aggregation", name, {}, key="aggregation.name"), np.random.default_rng(0)
    state: AdapterState = {"x": rng.normal(size=9).astype(np.float32)}
    memory: Memory = {}
    means = [mean_of(x=rng.normal(size=9) * 1e-3) for _ in range(4)]
    for mean in means[:2]:
        state, memory = strategy.step(state, mean, memory)
    resumed = (state, load(to_safetensors(memory)))
    for mean in means[2:]:
        state, memory = strategy.step(state, mean, memory)
        resumed = strategy.step(resumed[0], mean, resumed[1])
    assert [digest_state(each) for each in resumed] == [digest_state(each) for each in (state, memory)]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_what_nobody_sent_keeps_its_value_and_its_moments(name: str) -> None:
    strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    state = {"x": np.ones(2), "y": np.ones(2)}
    state, memory = strategy.step(state, mean_of(x=np.ones(2), y=np.ones(2)), {})
    made, later = strategy.step(state, mean_of(x=np.ones(2)), memory)
    assert made["y"] is state["y"]
    assert all(later[key] is memory[key] for key in memory if key.endswith("/y"))
    assert not any(later[key] is memory[key] for key in memory if key.endswith("/x"))


@pytest.mark.parametrize("name", OPTIMISERS[1:])
def test_defaults_move_an_adapter_by_no_more_than_its_own_scale(name: str) -> None:
    # A round of AdamW moves a coordinate by some 0.01: so may the server, ten rounds in one direction included.
    strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    made, _ = play(strategy, {"x": np.zeros(1)}, [np.float64([0.01])] * 10)
    assert 0.01 < made["x"][0] < 0.15


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
@pytest.mark.parametrize(("growth", "most"), [(1.0, 2.1), (1.1, 2.3)])
def test_without_correction_of_the_bias_a_step_is_more_than_eta(name: str, growth: float, most: float) -> None:
    strategy = plugins.build("server.aggregation", name, {"eta": 1.0}, key="aggregation.name")
    state, memory, steps = {"x": np.zeros(1)}, {}, []
    for number in range(100):
        made, memory = strategy.step(state, mean_of(x=np.array([growth**number])), memory)
        steps.append((made["x"] - state["x"]).item())
        state = made
    bound = 0.1 / np.sqrt(0.01 * (1 - 0.9**2 / 0.99))
    assert max(steps) == pytest.approx(most, abs=0.05)
    assert max(steps) <= bound == pytest.approx(2.35, abs=0.005)
    assert growth > 1 or 10 <= int(np.argmax(steps)) <= 15
