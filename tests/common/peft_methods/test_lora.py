"""LoRA's own numbers: the weights that PEFT computes with are W0 + (alpha / rank) B A, by plain numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from common.errors import StudyError
from common.peft_methods.lora import Lora
from common.workbench import Workbench

LAYER = "encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(("options", "scale"), [("rank=3", 2.0), ("rank=3, alpha=12", 4.0)])
def test_a_layer_computes_hu_s_formula_3(options: str, scale: float, open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench(f"peft={{method='lora', {options}}}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    bench.write(state)
    a, b = state[f"{LAYER}.lora_A.weight"], state[f"{LAYER}.lora_B.weight"]
    assert (a.shape, b.shape) == ((3, 32), (32, 3))
    layer = bench.model.get_submodule(f"base_model.model.{LAYER}")
    x = rng.normal(size=(5, 32)).astype(np.float32)
    w0, bias = layer.base_layer.weight.numpy(), layer.base_layer.bias.numpy()
    expected = x @ (w0 + scale * b @ a).T + bias
    with torch.inference_mode():
        found = layer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_training_starts_from_the_base_model(open_bench: Callable[..., Workbench]) -> None:
    state = open_bench().read()
    assert all(not state[name].any() for name in state if "lora_B" in name)
    assert all(state[name].all() for name in state if "lora_A" in name)


def test_targets_choose_the_layers(open_bench: Callable[..., Workbench]) -> None:
    names = open_bench("peft={method='lora', targets=['key', 'output.dense']}").parameters
    layers = {name.partition(".lora_")[0].partition("layer.")[2] for name in names if "lora_" in name}
    inner = ("attention.self.key", "attention.output.dense", "output.dense")
    assert layers == {f"{number}.{name}" for number in (0, 1) for name in inner}


def test_a_target_that_is_not_there_is_answered_with_the_layers_that_are(
    open_bench: Callable[..., Workbench],
) -> None:
    with pytest.raises(StudyError, match=r"no layer 'uery'; it has: .*query.*value"):
        open_bench("peft={method='lora', targets=['query', 'uery']}")


def test_averaging_factors_is_not_averaging_products() -> None:
    # (1 * 1 + 3 * 3) / 2 = 5, while (1 + 3) / 2 * (1 + 3) / 2 = 4.
    assert not Lora().aggregates_linearly
    assert Lora().virtual_tokens == 0


def test_dora_s_weight_has_the_trained_lengths(open_bench: Callable[..., Workbench]) -> None:
    """Each row of the weight is m (W0 + s B A) / |W0 + s B A|, and m starts as the rows' own lengths."""
    bench = open_bench("peft={method='lora', rank=2, dora=true}")
    rng, name = np.random.default_rng(0), f"{LAYER}.lora_magnitude_vector.weight"
    layer = bench.model.get_submodule(f"base_model.model.{LAYER}")
    w0, bias = layer.base_layer.weight.numpy(), layer.base_layer.bias.numpy()
    np.testing.assert_allclose(bench.read()[name], np.linalg.norm(w0, axis=1), rtol=1e-5)
    state = {each: rng.normal(size=a.shape).astype(np.float32) for each, a in bench.read().items()}
    bench.write(state)
    v = w0 + 2 * state[f"{LAYER}.lora_B.weight"] @ state[f"{LAYER}.lora_A.weight"]
    w = state[name][:, None] * v / np.linalg.norm(v, axis=1, keepdims=True)
    x = rng.normal(size=(5, 32)).astype(np.float32)
    with torch.inference_mode():
        np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), x @ w.T + bias, rtol=1e-3, atol=1e-3)
    assert list(bench.method.peft_names([name]).values()) == [f"base_model.model.{LAYER}.lora_magnitude_vector"]


QUERY = "encoder.layer.1.attention.self.query"
VALUE = "encoder.layer.1.attention.self.value"


@pytest.mark.parametrize(
    ("options", "query", "value"),
    [
        ("rank=4", 2, 2),
        ("rank=4, alpha=6", 6 / 4, 6 / 4),
        ("rank=4, alpha=6, rslora=true", 6 / 2, 6 / 2),
        ("rank=4, rslora=true", 8 / 2, 8 / 2),
        ("rank=4, ranks={value=9}", 2, 2),
        ("rank=4, alpha=6, ranks={value=9}", 6 / 4, 6 / 9),
        ("rank=4, alpha=6, rslora=true, ranks={value=9}", 6 / 2, 6 / 3),
        ("rank=4, alpha=6, init='orthogonal'", 6 / 4, 6 / 4),
    ],
)
def test_the_weight_changes_by_s_b_a(
    options: str, query: float, value: float, open_bench: Callable[..., Workbench]
) -> None:
    """s is alpha / rank, and alpha / sqrt(rank) with rslora, of each layer's own rank; alpha is twice it by default."""
    bench = open_bench(f"peft={{method='lora', {options}}}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    bench.write(state)
    for name, scale in ((QUERY, query), (VALUE, value)):
        layer, unit = bench.model.get_submodule(f"base_model.model.{name}"), torch.eye(32)
        with torch.inference_mode():
            change = (layer(unit) - layer.base_layer(unit)).numpy().T
        expected = scale * state[f"{name}.lora_B.weight"] @ state[f"{name}.lora_A.weight"]
        np.testing.assert_allclose(change, expected, rtol=1e-3, atol=1e-4)
        assert np.linalg.matrix_rank(change, tol=1e-3) == len(state[f"{name}.lora_A.weight"])


def test_orthogonal_factors_start_with_a_product_of_zero(open_bench: Callable[..., Workbench]) -> None:
    state = open_bench("peft={method='lora', rank=4, init='orthogonal'}").read()
    a, b = state[f"{LAYER}.lora_A.weight"], state[f"{LAYER}.lora_B.weight"]
    assert a.any()
    assert b.any()
    np.testing.assert_allclose(b @ a, 0, atol=1e-6)
    # Every row of B is orthogonal to every column of A, each of the two spans half of the four dimensions.
    assert (np.linalg.matrix_rank(a, tol=1e-4), np.linalg.matrix_rank(b, tol=1e-4)) == (2, 2)
    assert np.linalg.matrix_rank(np.concatenate([a.T, b]), tol=1e-4) == 4
    with pytest.raises(StudyError, match="needs an even rank, which 3 is not"):
        open_bench("peft={method='lora', rank=3, init='orthogonal'}")


def test_ranks_are_of_the_longest_end_that_matches_and_keep_the_scale(open_bench: Callable[..., Workbench]) -> None:
    ranks = "{value=2, '1.attention.self.value'=3}"
    bench = open_bench(f"peft={{method='lora', rank=4, ranks={ranks}}}")
    found = {
        name.split("layer.")[1].split(".lora")[0]: p.shape[0] for name, p in bench.parameters.items() if "_A" in name
    }
    query, value = "attention.self.query", "attention.self.value"
    assert found == {f"0.{query}": 4, f"1.{query}": 4, f"0.{value}": 2, f"1.{value}": 3}
    assert bench.model.get_submodule(f"base_model.model.encoder.layer.1.{value}").scaling["default"] == 2
    with pytest.raises(StudyError, match="'key' is the end of no target"):
        open_bench("peft={method='lora', ranks={key=2}}")
    with pytest.raises(StudyError, match=r"peft.rank = 33 is above .*value'"):
        open_bench("peft={method='lora', ranks={value=33}}")
