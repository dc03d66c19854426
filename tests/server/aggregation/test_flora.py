import numpy as np
import pytest
import torch

from common.carried import carried_pair
from common.lora_pairs import Pair
from server.aggregation import ClientUpdate
from server.aggregation.flora import FLoRA

Q, V = Pair("q"), Pair("v")


def state_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {Q.a: (2, 5), Q.b: (3, 2), V.a: (2, 4, 3, 3), V.b: (3, 2, 1, 1), "head.bias": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def rounds(strategy: FLoRA, count: int, *, seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng, memory = np.random.default_rng(seed), {}
    states = [state_of(rng)]
    for _ in range(count):
        update = state_of(rng)
        mean = strategy.combine([ClientUpdate("a", update, 1, 1.0)], states[-1])
        made, memory = strategy.step(states[-1], mean, memory)
        states.append(dict(made))
    return states


def test_every_round_begins_with_b_of_0_and_an_a_of_its_own_in_each_layer() -> None:
    states = rounds(FLoRA(), 3)
    again = rounds(FLoRA(), 3)
    # In units of the bound, so that layers of other widths would show the same draw as the same number.
    firsts = [state[pair.a].ravel()[0] * np.sqrt(state[pair.a][0].size) for state in states[1:] for pair in (Q, V)]
    assert all(not state[pair.b].any() for state in states[1:] for pair in (Q, V))
    assert len(set(np.round(firsts, 4).tolist())) == 6
    assert all(np.array_equal(a[n], b[n]) for a, b in zip(states, again, strict=True) for n in a)


def test_another_first_a_which_is_another_seed_of_the_study_gives_other_draws() -> None:
    for here, there in zip(rounds(FLoRA(), 3)[1:], rounds(FLoRA(), 3, seed=1)[1:], strict=True):
        assert not any(np.isclose(here[pair.a], there[pair.a], rtol=1e-3).all() for pair in (Q, V))


def test_the_draw_is_of_what_sites_received_and_of_nothing_else() -> None:
    state, found = state_of(np.random.default_rng(0)), []
    for seed in (1, 2):
        mean = FLoRA().combine([ClientUpdate("a", state_of(np.random.default_rng(seed)), 1, 1.0)], state)
        found.append(FLoRA().step(state, mean, {})[0])
    assert all(np.array_equal(found[0][pair.a], found[1][pair.a]) for pair in (Q, V))


@pytest.mark.parametrize("shape", [(64, 50), (64, 6, 3, 3)])
def test_a_is_drawn_as_peft_draws_it(shape) -> None:
    bound = 1 / np.sqrt(np.prod(shape[1:]))
    weight = torch.empty(shape)
    torch.nn.init.kaiming_uniform_(weight, a=np.sqrt(5))
    state = {Q.a: np.zeros(shape, np.float32), Q.b: np.ones((70, 64, *[1] * (len(shape) - 2)), np.float32)}
    mean = FLoRA().combine([ClientUpdate("a", {n: np.ones_like(a) for n, a in state.items()}, 1, 1.0)], state)
    drawn = FLoRA().step(state, mean, {})[0][Q.a]
    for each in (drawn, weight.numpy()):
        assert 0.98 * bound < np.abs(each).max() <= bound
        assert each.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_the_first_a_can_be_kept() -> None:
    states = rounds(FLoRA(redraw=False), 3)
    assert all(np.array_equal(state[Q.a], states[0][Q.a]) for state in states)


def test_ranks_carried_grow_to_what_the_matrix_can_have_and_no_further() -> None:
    assert [state[carried_pair(Q).a].shape[0] for state in rounds(FLoRA(), 3)[1:]] == [2, 3, 3]
