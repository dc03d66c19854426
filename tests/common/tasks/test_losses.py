"""Losses against plain numpy in float64, and against torch and scikit-learn where those have the same loss."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from sklearn.metrics import log_loss
from torch.nn import functional

from common.tasks._losses import IGNORED, Loss, cross_entropy, focal

Floats = NDArray[np.float64]
PARSER = TypeAdapter(Loss)
WEIGHTS = (0.5, 2.0, 0.5)
LOSSES = {
    "cross-entropy": Loss(),
    "class weights": Loss(weights=WEIGHTS),
    "smoothing": Loss(smoothing=0.2),
    "smoothing and weights": Loss(weights=WEIGHTS, smoothing=0.1),
    "focal": Loss(name="focal"),
    "focal, weighted": Loss(name="focal", gamma=0.5, weights=WEIGHTS),
}


def drawn(n: int = 9, *, seed: int = 0, ignored: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, n)
    targets[rng.permutation(n)[:ignored]] = IGNORED
    return rng.normal(0, 3, (n, 3)), targets


def naive(loss: Loss, logits: Floats, targets: NDArray[np.int64]) -> float:
    """Row by row, as the formulas have it."""
    total, counted = 0.0, 0
    for row, target in zip(logits, targets, strict=True):
        if target == IGNORED:
            continue
        counted += 1
        p = np.exp(row) / np.exp(row).sum()
        w = np.ones(3) if loss.weights is None else np.array(loss.weights)
        if loss.name == "focal":
            gamma = 2.0 if loss.gamma is None else loss.gamma
            total += w[target] * (1 - p[target]) ** gamma * -np.log(p[target])
        else:
            q = loss.smoothing / 3 + (1 - loss.smoothing) * (np.arange(3) == target)
            total += float((w * q * -np.log(p)).sum())
    return total / max(counted, 1)


def ours(loss: Loss, logits: Floats, targets: NDArray[np.int64]) -> float:
    return float(loss.of(torch.tensor(logits), torch.tensor(targets)))


@pytest.mark.parametrize("ignored", [0, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula(name: str, ignored: int) -> None:
    logits, targets = drawn(ignored=ignored)
    assert ours(LOSSES[name], logits, targets) == pytest.approx(naive(LOSSES[name], logits, targets), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_no_two_losses_are_alike(name: str) -> None:
    others = {other: ours(loss, *drawn()) for other, loss in LOSSES.items() if other != name}
    assert all(abs(ours(LOSSES[name], *drawn()) - value) > 1e-3 for value in others.values())


def test_cross_entropy_is_torch_s_and_scikit_learn_s() -> None:
    logits, targets = drawn()
    found = ours(Loss(), logits, targets)
    probabilities = torch.tensor(logits).softmax(-1).numpy()
    assert found == pytest.approx(log_loss(targets, probabilities, labels=[0, 1, 2]), rel=1e-9)
    assert found == pytest.approx(float(functional.cross_entropy(torch.tensor(logits), torch.tensor(targets))))


def test_class_weights_are_scikit_learn_s_sample_weights_times_their_mean() -> None:
    logits, targets = drawn()
    weights = np.array(WEIGHTS)[targets]
    probabilities = torch.tensor(logits).softmax(-1).numpy()
    weighted = log_loss(targets, probabilities, sample_weight=weights, labels=[0, 1, 2])
    assert ours(LOSSES["class weights"], logits, targets) == pytest.approx(weighted * weights.mean(), rel=1e-9)


def test_focal_loss_is_the_binary_one_of_the_paper() -> None:
    """Two classes: with logits (0, z) the softmax is the sigmoid of z."""
    z, y = np.array([-2.0, 0.3, 4.0]), np.array([1, 0, 1])
    p = 1 / (1 + np.exp(-z))
    p_t = np.where(y == 1, p, 1 - p)
    expected = float(np.mean((1 - p_t) ** 2 * -np.log(p_t)))
    logits = torch.tensor(np.stack([np.zeros(3), z], axis=1))
    assert float(focal(logits, torch.tensor(y), gamma=2.0)) == pytest.approx(expected, rel=1e-12)


def test_focal_loss_without_gamma_is_the_cross_entropy() -> None:
    logits, targets = map(torch.tensor, drawn())
    torch.testing.assert_close(focal(logits, targets, gamma=0.0), cross_entropy(logits, targets), rtol=1e-12, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_has_a_finite_gradient_where_a_row_is_surely_right(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    focal(logits, torch.tensor([0, 1]), gamma=gamma).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    logits, targets = drawn(4, ignored=1)
    given_logits = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name].of(x, torch.tensor(targets)), (given_logits,))


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_ignored_has_no_gradient_and_a_batch_of_nothing_no_loss(name: str) -> None:
    logits, targets = drawn(ignored=5)
    given_logits = torch.tensor(logits, requires_grad=True)
    LOSSES[name].of(given_logits, torch.tensor(targets)).backward()
    assert given_logits.grad is not None
    assert not given_logits.grad[targets == IGNORED].any()
    assert ours(LOSSES[name], logits, np.full(9, IGNORED)) == 0.0


@given(seed=st.integers(0, 99), cut=st.integers(1, 8), name=st.sampled_from(sorted(LOSSES)))
def test_a_batch_is_the_mean_of_its_parts_by_their_targets(seed: int, cut: int, name: str) -> None:
    logits, targets = drawn(seed=seed, ignored=3)
    parts = [(logits[:cut], targets[:cut]), (logits[cut:], targets[cut:])]
    counts = [int((part != IGNORED).sum()) for _, part in parts]
    mean = sum(n * ours(LOSSES[name], *part) for n, part in zip(counts, parts, strict=True)) / sum(counts)
    assert mean == pytest.approx(ours(LOSSES[name], logits, targets), rel=1e-12)


@given(seed=st.integers(0, 99), name=st.sampled_from(sorted(LOSSES)))
def test_the_order_of_rows_does_not_matter(seed: int, name: str) -> None:
    logits, targets = drawn(seed=seed)
    order = np.random.default_rng(seed).permutation(9)
    shuffled = ours(LOSSES[name], logits[order], targets[order])
    assert shuffled == pytest.approx(ours(LOSSES[name], logits, targets), rel=1e-12)


def test_a_table_is_read() -> None:
    table = {"name": "focal", "gamma": 2, "weights": [1, 3]}
    assert PARSER.validate_python(table) == Loss(name="focal", gamma=2.0, weights=(1.0, 3.0))
    assert PARSER.validate_python({}) == Loss()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"gama": 2.0}, "nexpected"),
    "an unknown name": ({"name": "hinge"}, "'cross-entropy' or 'focal'"),
    "gamma without focal": ({"gamma": 2.0}, "name = 'focal'"),
    "focal with smoothing": ({"name": "focal", "smoothing": 0.1}, "does not go with focal"),
    "a negative gamma": ({"name": "focal", "gamma": -1.0}, "greater than or equal to 0"),
    "all of it smoothed": ({"smoothing": 1.0}, "less than 1"),
    "a negative weight": ({"weights": [1.0, -1.0]}, "greater than or equal to 0"),
    "an infinite weight": ({"weights": [1.0, float("inf")]}, "finite"),
    "no weight at all": ({"weights": [0.0, 0.0]}, "at least one above 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_table_is_refused(name: str) -> None:
    table, said = BAD[name]
    with pytest.raises(ValidationError, match=said):
        PARSER.validate_python(table)


def test_there_is_a_weight_for_each_class() -> None:
    Loss().check_classes(3)
    LOSSES["focal, weighted"].check_classes(3)
    with pytest.raises(ValueError, match="weights has 3 numbers, the task 2 classes"):
        LOSSES["focal, weighted"].check_classes(2)
