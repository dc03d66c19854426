"""The budget is peft's, the mask keeps exactly so many ranks, and the scale changes no order."""

import numpy as np
import pytest
import torch
from peft import AdaLoraConfig
from peft.tuners.adalora.layer import RankAllocator
from torch import nn

from common.peft_methods._rank_allocation import LARGEST, PRUNED, Smoothed, budget, is_kept, on_scale, prune


def layers(count: int = 3, rank: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"layer.{i}": rng.uniform(0, LARGEST, (rank, 1)).astype(np.float32) for i in range(count)}


def kept_of(found: dict[str, np.ndarray]) -> int:
    return sum(int(is_kept(array).sum()) for array in found.values())


@pytest.mark.parametrize(("warmup", "final"), [(0, 0), (0.1, 0.3), (0.25, 0.5)])
def test_the_budget_is_peft_s_schedule(warmup: float, final: float) -> None:
    """peft's steps 1 to 20 are the rounds: all ranks to step tinit, the target from total_step - tfinal on."""
    model = nn.ModuleDict({f"layer{i}": nn.ParameterDict({"x": nn.Parameter(torch.zeros(1))}) for i in range(3)})
    for module in model.values():
        module.lora_A = nn.ParameterDict({"default": nn.Parameter(torch.zeros(12, 4))})
    tinit, tfinal = 1 + int(warmup * 20), int(final * 20)
    config = AdaLoraConfig(init_r=12, target_r=8, tinit=tinit, tfinal=tfinal, total_step=20)
    theirs = RankAllocator(model, config, "default")
    assert (theirs.init_bgt, theirs.target_bgt) == (36, 24)
    for number in range(1, 21):
        ours = budget(round_number=number, rounds=20, first=36, last=24, warmup=warmup, final=final)
        assert ours == theirs.budget_schedule(number)[0]


@pytest.mark.parametrize("rounds", range(2, 12))
@pytest.mark.parametrize(("warmup", "final"), [(0, 0), (0.1, 0.3), (0.9, 0), (0, 0.9), (0.9, 0.9)])
def test_the_budget_falls_from_the_first_to_the_last(rounds: int, warmup: float, final: float) -> None:
    found = [
        budget(round_number=t, rounds=rounds, first=48, last=32, warmup=warmup, final=final)
        for t in range(1, rounds + 1)
    ]
    assert (found[0], found[-1]) == (48, 32)
    assert found == sorted(found, reverse=True)
    assert budget(round_number=1, rounds=1, first=48, last=32, warmup=warmup, final=final) == 48


@pytest.mark.parametrize("kept", [0, 1, 7, 15, 20])
def test_exactly_the_most_important_of_all_layers_are_kept(kept: int) -> None:
    given = layers()
    found = prune(given, kept)
    assert kept_of(found) == min(kept, 15)
    values = np.sort(np.concatenate([a.ravel() for a in given.values()]))[::-1][:kept]
    for name, array in given.items():
        np.testing.assert_array_equal(is_kept(found[name]), np.isin(array, values))
        np.testing.assert_array_equal(found[name], np.where(np.isin(array, values), array, np.float32(PRUNED)))


def test_ties_are_broken_alike_and_nothing_given_is_changed() -> None:
    given = {name: np.zeros((3, 1), np.float32) for name in ("b", "a")}
    found = prune(given, 4)
    assert {name: is_kept(array).ravel().tolist() for name, array in found.items()} == {
        "a": [True, True, True],
        "b": [True, False, False],
    }
    assert not any(array.any() for array in given.values())


def test_what_is_pruned_stays_so_and_pruning_twice_is_pruning_once() -> None:
    once = prune(layers(), 6)
    again = prune(once, 6)
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert kept_of(prune(once, 10)) == 6


def test_a_mark_that_a_strategy_moved_is_put_right() -> None:
    """Server momentum goes on past the mark, and a server's smaller step stops short of it."""
    given = {"a": np.array([[3 * PRUNED], [0.7 * PRUNED], [0.4 * PRUNED], [0.01]], np.float32)}
    assert prune(given, 4)["a"].ravel().tolist() == [PRUNED, PRUNED, np.float32(0.4 * PRUNED), np.float32(0.01)]


def test_marks_survive_an_average_in_which_all_agree() -> None:
    """(received + mean of (trained - received)) in float32: far from the border between kept and pruned."""
    received, after = layers(seed=1), prune(layers(seed=1), 6)
    updates = [{name: array - received[name] for name, array in after.items()} for _ in range(7)]
    mean = {name: np.mean([u[name] for u in updates], axis=0, dtype=np.float64) for name in received}
    state = {name: (received[name] + mean[name]).astype(np.float32) for name in received}
    assert all(np.array_equal(is_kept(state[name]), is_kept(after[name])) for name in state)


def test_the_scale_changes_no_order_and_bounds_the_largest() -> None:
    given = {name: array * np.float32(1e-17) for name, array in layers().items()}
    found = on_scale(given)
    assert max(array.max() for array in found.values()) == LARGEST
    ratio = np.concatenate([found[name] / given[name] for name in given])
    np.testing.assert_allclose(ratio, float(ratio[0, 0]), rtol=1e-6)
    assert not any(array.any() for array in on_scale({"a": np.zeros((2, 1), np.float32)}).values())


def test_a_step_that_fp16_leaves_out_counts_as_nothing() -> None:
    one, other = (Smoothed.zeros(torch.zeros(2)) for _ in range(2))
    one.add(torch.tensor([float("inf"), float("nan")]))
    other.add(torch.zeros(2))
    for smoothed in (one, other):
        smoothed.add(torch.tensor([1.0, 2.0]))
    assert torch.equal(one.score, other.score)
    # 0.15 * 1 = 0.15; |1 - 0.15| * 0.15 = 0.1275; the product is 0.019125.
    torch.testing.assert_close(one.score[0], torch.tensor(0.019125))
