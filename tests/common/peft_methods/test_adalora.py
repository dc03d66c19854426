"""AdaLoRA's three factors, its pruned ranks, and the importances by which all sites prune the same ones."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import AdaLoraConfig, PeftModel
from peft.tuners.adalora.layer import RankAllocator
from torch import nn
from transformers import AutoModel

from client.execution import Execution
from client.recipe import Recipe
from client.training import train
from common import plugins
from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.errors import StudyError
from common.peft_methods._rank_allocation import LARGEST, PRUNED, is_kept, prune
from common.state import Array, digest_state
from common.workbench import Workbench

Open = Callable[..., Workbench]
Make = Callable[[str], nn.Module]
LAYER = "encoder.layer.0.attention.self.query"
IMPORTANCE = ".lora_E.importance"
CHOSEN = "peft={method='adalora', rank=6, target_rank=2, warmup=0, final=0}"
ROUNDS = 5
TEXTS = ("fever and cough", "rash", "pulse normal, sleep reduced and fever", "sprain, weight better and chills")


def state_of(bench: Workbench, *, pruned: int = 0, seed: int = 0) -> dict[str, Array]:
    """Numbers of another run, with importances as a mean of sites' has them."""
    rng = np.random.default_rng(seed)
    state: dict[str, Array] = {n: rng.normal(0, 0.3, a.shape).astype(np.float32) for n, a in bench.read().items()}
    scores: dict[str, Array] = {
        n: rng.uniform(0, LARGEST, a.shape).astype(np.float32) for n, a in state.items() if n.endswith(IMPORTANCE)
    }
    total = sum(array.size for array in scores.values())
    return {**state, **prune(scores, total - pruned)}


def run_steps(bench: Workbench, *, round_number: int = 1, rounds: int = ROUNDS, **more: Any) -> None:
    examples = bench.task.encode(bench.reader, TEXTS, [1, 0, 1, 0], max_length=bench.max_length)
    active = more.pop("active", bench.parameters)
    recipe = Recipe(
        **{"learning_rate": 0.01, "batch_size": 2, "steps": 4, "round_number": round_number, "rounds": rounds, **more}
    )
    rng = np.random.default_rng(0)
    train(bench, examples, recipe, active=active, execution=Execution(), rng=rng, dropout_seed=0)


def masks(state: Mapping[str, Array]) -> dict[str, Array]:
    return {name: is_kept(array) for name, array in state.items() if name.endswith(IMPORTANCE)}


def count(state: Mapping[str, Array]) -> int:
    return sum(int(mask.sum()) for mask in masks(state).values())


def loss_of(bench: Workbench, model: nn.Module | None = None) -> torch.Tensor:
    examples = bench.task.encode(bench.reader, TEXTS, [1, 0, 1, 0], max_length=bench.max_length)
    batch = bench.task.collate(examples, pad_id=0)
    return bench.task.logits(bench.model if model is None else model, bench.head, batch)


def test_a_layer_computes_zhang_s_formula_3_without_its_pruned_rank(open_bench: Open) -> None:
    bench = open_bench("peft={method='adalora', rank=3, alpha=6}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    mask = np.array([1, 0, 1], np.float32)
    state[LAYER + IMPORTANCE] = np.where(mask, 0, PRUNED).astype(np.float32)[:, None]
    bench.write(state)
    q, p, e = (state[f"{LAYER}.lora_{part}"] for part in "ABE")
    assert (q.shape, p.shape, e.shape) == ((3, 32), (32, 3), (3, 1))
    layer = bench.model.get_submodule(f"base_model.model.{LAYER}")
    x = rng.normal(size=(4, 32)).astype(np.float32)
    w0, bias = layer.base_layer.weight.numpy(), layer.base_layer.bias.numpy()
    expected = x @ (w0 + 2 * p @ np.diag(mask * e[:, 0]) @ q).T + bias
    with torch.inference_mode():
        np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_it_starts_from_the_base_model_with_all_ranks(open_bench: Open) -> None:
    state = open_bench("peft={method='adalora'}").read()
    zero = (".lora_E", IMPORTANCE)
    assert all(array.any() != name.endswith(zero) for name, array in state.items() if "lora_" in name)
    assert count(state) == 4 * 12


def test_a_pruned_rank_has_no_effect_and_gets_no_gradient(open_bench: Open) -> None:
    bench = open_bench(CHOSEN)
    state = state_of(bench, pruned=10)
    bench.write(state)
    logits = loss_of(bench)
    logits.square().sum().backward()
    other = {name: array.copy() for name, array in state.items()}
    for name, mask in masks(state).items():
        layer, gone = name.removesuffix(IMPORTANCE), ~mask[:, 0]
        for end, axis in ((".lora_A", 0), (".lora_E", 0), (".lora_B", 1)):
            grad = np.moveaxis(bench.parameters[layer + end].grad.numpy(), axis, 0)  # type: ignore[union-attr]
            assert not grad[gone].any()
            assert grad[~gone].any(axis=1).all()
            np.moveaxis(other[layer + end], axis, 0)[gone] += 1
    assert digest_state(other) != digest_state(state)
    bench.write(other)
    assert torch.equal(loss_of(bench), logits)


def test_every_round_has_exactly_its_budget_and_no_rank_comes_back(open_bench: Open) -> None:
    """Of 4 layers' 24 ranks 8 are left: 8 + 16 (1 - (t - 1) / 4)^3, rounded down."""
    bench, before = open_bench(CHOSEN), None
    for number, expected in zip(range(1, ROUNDS + 1), [24, 14, 10, 8, 8], strict=True):
        run_steps(bench, round_number=number)
        state = bench.read()
        assert count(state) == expected
        if before is not None:
            assert not any((mask & ~before[name]).any() for name, mask in masks(state).items())
        before = masks(state)


def test_two_sites_with_the_same_mean_prune_the_same_ranks_and_the_mean_keeps_them(open_bench: Open) -> None:
    sites = [open_bench(CHOSEN) for _ in range(2)]
    received = state_of(sites[0])
    for site, rate in zip(sites, (0.01, 0.02), strict=True):
        site.write(received)
        run_steps(site, round_number=3, learning_rate=rate)
    one, other = (site.read() for site in sites)
    assert digest_state(one) != digest_state(other)
    updates = [{name: state[name] - received[name] for name in received} for state in (one, other)]
    mean = {name: received[name] + (updates[0][name] + updates[1][name]) / 2 for name in received}
    expected = masks(prune({name: received[name] for name in masks(received)}, 10))
    for state in (one, other, mean):
        assert all(np.array_equal(mask, expected[name]) for name, mask in masks(state).items())


def test_importances_and_mask_are_those_of_peft_on_the_same_gradients(open_bench: Open) -> None:
    bench = open_bench(CHOSEN)
    bench.write(state_of(bench))
    config = AdaLoraConfig(init_r=6, target_r=2, total_step=ROUNDS)
    theirs = RankAllocator(bench.model, config, "default")
    ours = bench.method.allocate(bench.parameters, round_number=1, rounds=ROUNDS)  # type: ignore[attr-defined] # optional
    for _ in range(3):
        loss_of(bench).square().sum().backward()
        theirs.update_ipt(bench.model)
        ours.measure()
        assert all(p.grad is None for name, p in bench.parameters.items() if name.endswith(IMPORTANCE))
        with torch.no_grad():
            for parameter in bench.parameters.values():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
                    parameter.grad = None
    ours.finish()
    found = {name: bench.read()[name] for name in masks(bench.read())}
    expected = {}
    for name in found:
        e, q, p = (f"base_model.model.{name.removesuffix(IMPORTANCE)}.lora_{part}.default" for part in "EAB")
        parts = [theirs._element_score(each).numpy() for each in (e, q, p)]
        expected[name] = parts[0] + parts[1].mean(1, keepdims=True) + parts[2].mean(0)[:, None]
    largest = max(array.max() for array in expected.values())
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name] * LARGEST / largest, rtol=2e-4)
    theirs.mask_to_budget(bench.model, 10)
    for name, array in prune(found, 10).items():
        np.testing.assert_array_equal(is_kept(array), bench.read()[name.removesuffix(".importance")] != 0)


def test_importance_is_of_the_loss_s_own_gradient(open_bench: Open) -> None:
    """Neither clipping nor FedProx' term, which pull towards other ends, is in it."""
    bench = open_bench(CHOSEN)
    state = state_of(bench)
    found = []
    for more in ({}, {"clip_norm": 1e-6}, {"proximal_mu": 1e6}):
        bench.write(state)
        run_steps(bench, learning_rate=1e-9, **more)
        found.append({name: bench.read()[name] for name in masks(state)})
    for other in found[1:]:
        for name, array in found[0].items():
            np.testing.assert_allclose(other[name], array, rtol=1e-3)


def test_a_layer_that_is_not_trained_or_not_measured_keeps_its_ranks(open_bench: Open) -> None:
    bench = open_bench(CHOSEN)
    state = state_of(bench)
    frozen, fresh = sorted(masks(state))[:2]
    state[fresh] = np.zeros_like(state[fresh])
    bench.write(state)
    run_steps(bench, round_number=ROUNDS, active=[name for name in bench.parameters if name != frozen])
    after = bench.read()
    assert np.array_equal(after[frozen], state[frozen])
    assert masks(after)[fresh].all()
    assert after[fresh].any()
    assert count(after) == 2 * 6 + 2 * 2


def test_a_call_that_is_not_a_round_of_several_prunes_nothing(open_bench: Open) -> None:
    bench = open_bench(CHOSEN)
    bench.write(state_of(bench, pruned=4))
    run_steps(bench, rounds=1)
    assert count(bench.read()) == 20


def test_within_a_hybrid_it_prunes_as_alone(open_bench: Open) -> None:
    method = CHOSEN.removeprefix("peft=")
    bench = open_bench(f"peft={{method='hybrid', first={method}, second={{method='layer-norm'}}}}")
    bench.write(state_of(bench))
    run_steps(bench, round_number=ROUNDS)
    assert count(bench.read()) == 8


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 with transformers 5.23
def test_plain_peft_loads_a_pruned_adapter_and_computes_the_same(
    open_bench: Open, make_bundle: Callable[..., Bundle], tiny_model: Path, tmp_path: Path
) -> None:
    bench = open_bench(CHOSEN)
    state = state_of(bench, pruned=16)
    bench.write(state)
    write_adapter(tmp_path, make_bundle(CHOSEN), state, card="")
    plain = AutoModel.from_pretrained(tiny_model, add_pooling_layer=False, attn_implementation="eager")
    loaded = PeftModel.from_pretrained(plain, str(tmp_path))
    values = [p for name, p in loaded.named_parameters() if "lora_E" in name]
    assert sum(int((value == 0).sum()) for value in values) == 16
    with torch.inference_mode():
        for model in (bench.model, loaded):
            model.eval()
        assert torch.equal(loss_of(bench, loaded), loss_of(bench))


def test_a_rank_above_a_layer_s_size_is_refused(make_random_model: Make) -> None:
    method = plugins.build("common.peft_methods", "adalora", {"rank": 17}, key="peft.method")
    with pytest.raises(StudyError, match=r"peft.rank = 17"):
        method.attach(make_random_model("llama"))


def test_a_target_above_the_first_rank_is_refused() -> None:
    with pytest.raises(StudyError, match=r"target_rank = 9 is above rank = 8"):
        plugins.build("common.peft_methods", "adalora", {"rank": 8, "target_rank": 9}, key="peft.method")
