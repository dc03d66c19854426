"""How far two versions are apart: norms against plain numpy, and an update that is written in another way is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.types import Metric
from common.registry.comparing import ABSENT, KeyChange, metric_changes, product_norm, study_changes, tensor_change
from common.state import Array

SEEDS = st.integers(0, 2**32 - 1)


def state(seed: int, *, rank: int = 2, scale: float = 1.0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shapes = {"q.lora_A.weight": (rank, 5), "q.lora_B.weight": (7, rank), "head.bias": (2,)}
    return {name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
def test_the_norm_of_a_product_is_that_of_the_matrix(seed: int, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    assert product_norm(left, right) == pytest.approx(np.linalg.norm(left @ right))


@given(SEEDS)
def test_distances_are_those_of_the_tensors_and_of_the_products(seed: int) -> None:
    one, other = state(seed), state(seed + 1)
    found = tensor_change(one, other)
    flat = [np.concatenate([np.asarray(s[n], np.float64).reshape(-1) for n in sorted(s)]) for s in (one, other)]
    assert found.whole.norm == pytest.approx(np.linalg.norm(flat[1] - flat[0]))
    products = [s["q.lora_B.weight"].astype(np.float64) @ s["q.lora_A.weight"].astype(np.float64) for s in (one, other)]
    (layer,) = (each for each in found.layers if each.name == "q")
    assert layer.norm == pytest.approx(np.linalg.norm(products[1] - products[0]))
    assert layer.relative == pytest.approx(layer.norm / np.linalg.norm(products[0]))
    assert [each.norm for each in found.layers] == sorted((each.norm for each in found.layers), reverse=True)


@given(SEEDS)
def test_an_adapter_is_not_apart_from_itself(seed: int) -> None:
    found = tensor_change(state(seed), state(seed))
    assert found.whole.norm == 0
    assert max(each.norm for each in found.layers) == pytest.approx(0, abs=1e-6)


@given(SEEDS)
def test_the_same_update_in_other_factors_is_no_change_of_the_layer(seed: int) -> None:
    one, rng = state(seed), np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    a, b = (one[name].astype(np.float64) for name in ("q.lora_A.weight", "q.lora_B.weight"))
    other = {**one, "q.lora_A.weight": turn.T @ a, "q.lora_B.weight": b @ turn}
    (layer,) = (each for each in tensor_change(one, other).layers if each.name == "q")
    assert layer.norm == pytest.approx(0, abs=1e-6)


def test_tensors_of_another_shape_are_named_on_both_sides() -> None:
    found = tensor_change(state(0), {**state(1, rank=3), "new": np.ones(1, np.float32)})
    assert found.only_first == ("q.lora_A.weight", "q.lora_B.weight")
    assert found.only_second == ("new", "q.lora_A.weight", "q.lora_B.weight")
    assert [each.name for each in found.layers] == ["head.bias"]


def test_a_change_from_zero_has_no_share() -> None:
    found = tensor_change({"x": np.zeros(2, np.float32)}, {"x": np.array([3, 4], np.float32)})
    assert (found.whole.norm, found.whole.relative) == (5.0, None)


def test_keys_that_one_study_lacks_are_named() -> None:
    found = study_changes({"peft": {"method": "lora", "rank": 4}, "x": {}}, {"peft": {"method": "head"}, "x": {}})
    assert found == [KeyChange("peft.method", "lora", "head"), KeyChange("peft.rank", 4, ABSENT)]


def test_a_metric_without_a_value_has_no_difference() -> None:
    known, missing = {"auroc": Metric(0.8, 9), "f1": Metric(0.5, 9)}, {"auroc": Metric(0.9, 9), "f1": Metric(None, 9)}
    changes = metric_changes("mean", known, {**missing, "brier": Metric(0.1, 9)})
    assert [each.name for each in changes] == ["auroc", "f1", "brier"]
    assert changes[0].difference == pytest.approx(0.1)
    assert [each.difference for each in changes[1:]] == [None, None]
