"""Parameter groups: which tensors decay, which share of the rate each has, and AdamW's step written by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from client.execution import Execution
from client.optimizer import Group, grouped, make_optimizer, may_decay, set_learning_rate
from client.recipe import Recipe
from client.training import train
from common.state import Array
from common.workbench import Workbench

Open = Callable[..., Workbench]
DECAYING = {
    "lora": {"head.weight"},
    "adalora": {"head.weight"},
    "vera": {"head.weight"},
    "ia3": {"head.weight"},
    "bitfit": {"head.weight"},
    "layer-norm": {"head.weight"},
    "head": {"head.weight"},
}


@pytest.mark.parametrize("method", DECAYING)
def test_only_the_head_s_matrix_decays_with_methods_that_train_no_weight(method: str, open_bench: Open) -> None:
    bench = open_bench(f"peft={{method='{method}'}}")
    assert {name for name in bench.parameters if may_decay(bench, name)} == DECAYING[method]


@pytest.mark.parametrize("method", ["full", "last-layers", "bottleneck"])
def test_matrices_decay_with_methods_that_train_weights_and_vectors_do_not(method: str, open_bench: Open) -> None:
    bench = open_bench(f"peft={{method='{method}'}}")
    found = {name for name in bench.parameters if may_decay(bench, name)}
    assert len(found) > 1
    assert not [name for name in found if name.endswith(".bias") or "LayerNorm" in name]
    assert {name for name in bench.parameters if name.endswith(".weight") and "LayerNorm" not in name} == found


def test_a_hybrid_s_factors_do_not_decay_and_its_weights_do(open_bench: Open) -> None:
    bench = open_bench("peft={method='hybrid', second={method='last-layers', layers=1}}")
    found = {name for name in bench.parameters if may_decay(bench, name)}
    assert not [name for name in found if "lora_" in name]
    assert "encoder.layer.1.output.dense.weight" in found


def test_groups_have_every_tensor_once_and_differ_from_each_other() -> None:
    factors = {"a": 1.0, "b": 0.5, "c": 1.0, "d": 0.5, "e": 0.5}
    assert grouped(factors, lambda name: name in "ade", weight_decay=0.1) == [
        Group(("a",), 1.0, 0.1),
        Group(("b",), 0.5, 0.0),
        Group(("c",), 1.0, 0.0),
        Group(("d", "e"), 0.5, 0.1),
    ]
    assert grouped(factors, lambda _: True, weight_decay=0.0) == [
        Group(("a", "c"), 1.0, 0.0),
        Group(("b", "d", "e"), 0.5, 0.0),
    ]


def adamw(x: Array, g: Array, *, lr: float, decay: float) -> Array:
    """The first step of algorithm 2 of Loshchilov and Hutter: the moments' corrections leave g and g^2."""
    return np.asarray(x * (1 - lr * decay) - lr * g / (np.abs(g) + 1e-8), np.float64)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_step_is_adamw_s_with_each_tensor_s_own_rate_and_decay(method: str, open_bench: Open) -> None:
    bench = open_bench(f"peft={{method='{method}'}}")
    optimizer = make_optimizer(bench, bench.parameters, learning_rate=9.0, weight_decay=0.3, layer_decay=0.5)
    rng = np.random.default_rng(0)
    before = {name: array.astype(np.float64) for name, array in bench.read().items()}
    gradients = {name: rng.normal(0, 1, array.shape) for name, array in before.items()}
    for name, parameter in bench.parameters.items():
        parameter.grad = torch.tensor(gradients[name], dtype=torch.float32)
    set_learning_rate(optimizer, 0.01)
    optimizer.step()
    for name, array in bench.read().items():
        depth = 0 if name.startswith("head.") else 2 - int(name.split(".")[2]) if "layer." in name else 3
        decay = 0.3 if before[name].ndim > 1 and "lora_" not in name else 0.0
        expected = adamw(before[name], gradients[name], lr=0.01 * 0.5**depth, decay=decay)
        np.testing.assert_allclose(array, expected, atol=1e-6, err_msg=name)


def test_a_frozen_tensor_has_no_state(open_bench: Open) -> None:
    bench = open_bench()
    optimizer = make_optimizer(bench, ["head.bias"], learning_rate=0.1, weight_decay=0.0, layer_decay=1.0)
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [
        bench.parameters["head.bias"].shape
    ]


def test_training_uses_the_decay_by_depth(open_bench: Open) -> None:
    """With a decay of almost nothing, what lies below the head hardly moves in one step."""
    bench = open_bench("peft={method='last-layers'}")
    before = bench.read()
    recipe = Recipe(learning_rate=0.01, batch_size=4, steps=1, layer_decay=1e-3)
    texts, labels = ("fever", "rash", "cough", "sprain"), np.array([1, 0, 1, 0])
    examples = list(bench.task.encode(bench.reader, texts, labels, max_length=16))
    arguments = {"execution": Execution(), "rng": np.random.default_rng(0), "dropout_seed": 0}
    train(bench, examples, replace(recipe), active=bench.parameters, **arguments)  # type: ignore[arg-type] # of each kind
    far = {name: float(np.abs(array - before[name]).max()) for name, array in bench.read().items()}
    assert far["head.bias"] > 5e-3
    assert 1e-7 < max(value for name, value in far.items() if not name.startswith("head.")) < 2e-5
