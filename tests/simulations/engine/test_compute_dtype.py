"""Frozen matrices in bf16 train to the very bits that autocast leads to, and what is not multiplied in it stays."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from client.execution import Execution
from client.recipe import Recipe
from client.scoring import score
from client.training import train
from common.workbench import Workbench
from simulations.engine.compute_dtype import hold_in_compute_dtype

BF16 = Execution(precision="bf16")
RECIPE = Recipe(learning_rate=2e-3, batch_size=4, epochs=1)
DORA = "method='lora', rank=2, dora=true"
METHODS = ("method='lora', rank=2", "method='prefix', virtual_tokens=3", "method='bitfit'", "method='bottleneck'")


@pytest.fixture(params=METHODS)
def opened(request: pytest.FixtureRequest, open_bench: Callable[..., Workbench]) -> Callable[[], Workbench]:
    return lambda: open_bench(f"peft={{{request.param}}}")


def dtypes(bench: Workbench) -> Iterator[tuple[nn.Module, bool, torch.dtype]]:
    """Yield each parameter's layer, whether it is trained, and its dtype."""
    trained = {id(parameter) for parameter in bench.parameters.values()}
    for module in bench.model.modules():
        for parameter in module.parameters(recurse=False):
            yield module, id(parameter) in trained, parameter.dtype


def test_training_and_scores_keep_every_bit(opened: Callable[[], Workbench], made_texts: Any) -> None:
    rows, found = made_texts([9, 4, 12, 7, 5, 5, 3]), []
    for hold in (False, True):
        bench = opened()
        if hold:
            hold_in_compute_dtype(bench, BF16)
        rng, active = np.random.default_rng(3), frozenset(bench.parameters)
        trained = train(bench, rows, RECIPE, active=active, execution=BF16, rng=rng, dropout_seed=0)
        found.append((trained.loss, bench.read(), score(bench, rows, execution=BF16)))
    (loss, state, scores), (held_loss, held_state, held_scores) = found
    assert loss == held_loss
    for name, array in state.items():
        np.testing.assert_array_equal(array, held_state[name])
    np.testing.assert_array_equal(scores, held_scores)


def test_only_frozen_matrices_are_rounded(opened: Callable[[], Workbench]) -> None:
    bench = opened()
    hold_in_compute_dtype(bench, BF16)
    found = list(dtypes(bench))
    for module, is_trained, dtype in found:
        is_rounded = isinstance(module, nn.Linear) and not is_trained
        assert dtype is (torch.bfloat16 if is_rounded else torch.float32), module
    assert {dtype for *_, dtype in found} == {torch.bfloat16, torch.float32}


def test_an_embedding_that_a_layer_shares_stays(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench("peft={method='lora', rank=2}")
    embedding = next(module for module in bench.model.modules() if isinstance(module, nn.Embedding))
    tied = nn.Linear(*reversed(embedding.weight.shape), bias=False)
    tied.weight = embedding.weight
    bench.model.add_module("tied", tied)
    hold_in_compute_dtype(bench, BF16)
    assert embedding.weight.dtype is tied.weight.dtype is torch.float32


def test_norms_of_dora_s_weights_are_those_of_float32(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench(f"peft={{{DORA}}}")
    hold_in_compute_dtype(bench, BF16)
    assert {dtype for *_, dtype in dtypes(bench)} == {torch.float32}


def test_nothing_changes_in_fp32(opened: Callable[[], Workbench]) -> None:
    bench = opened()
    hold_in_compute_dtype(bench, Execution(precision="fp32"))
    assert {dtype for *_, dtype in dtypes(bench)} == {torch.float32}
