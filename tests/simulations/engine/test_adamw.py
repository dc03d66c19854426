"""AdamW of many clients at once against torch's own, one client at a time."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simulations.engine.adamw import GroupedAdamW, clip

WIDTH = 6
FACTORS = torch.tensor([1.0, 1.0, 0.5, 0.5, 0.25, 0.25], dtype=torch.float64)
DECAYS = torch.tensor([0.0, 0.0, 0.3, 0.3, 0.1, 0.1], dtype=torch.float64)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fresh(clients: int) -> GroupedAdamW:
    zeros = torch.zeros(clients, WIDTH, dtype=torch.float64)
    return GroupedAdamW(zeros.clone(), zeros.clone(), FACTORS, DECAYS)


def by_torch(start: Tensor, gradients: Sequence[Tensor], rates: Sequence[float]) -> Tensor:
    """One client's numbers after torch's own optimizer, with a group for each two of them."""
    parts = [torch.nn.Parameter(start[i : i + 2].clone()) for i in range(0, WIDTH, 2)]
    optimizer = torch.optim.AdamW(
        [{"params": [part], "weight_decay": float(DECAYS[2 * i])} for i, part in enumerate(parts)]
    )
    for gradient, rate in zip(gradients, rates, strict=True):
        for i, (part, group) in enumerate(zip(parts, optimizer.param_groups, strict=True)):
            part.grad, group["lr"] = gradient[2 * i : 2 * i + 2].clone(), rate * float(FACTORS[2 * i])
        optimizer.step()
    return torch.cat([part.detach() for part in parts])


def test_each_client_moves_as_by_torch() -> None:
    clients, steps = 3, 7
    start, gradients = drawn(clients, WIDTH), drawn(steps, clients, WIDTH, seed=1)
    rates = drawn(steps, clients, seed=2).abs() * 0.01
    found, optimizer = start.clone(), fresh(clients)
    for step in range(steps):
        optimizer.step(found, gradients[step], rates=rates[step], number=step + 1)
    for client in range(clients):
        expected = by_torch(start[client], list(gradients[:, client]), rates[:, client].tolist())
        torch.testing.assert_close(found[client], expected, rtol=1e-14, atol=1e-14)


def test_a_client_that_has_ended_keeps_its_numbers_and_its_state() -> None:
    """The first clients go on; of the others not one bit changes, running means included."""
    start, gradients, rates = drawn(3, WIDTH), drawn(5, 3, WIDTH, seed=1), torch.full((3,), 0.01, dtype=torch.float64)
    values, optimizer, left = start.clone(), fresh(3), [3, 3, 2, 1, 1]
    kept: dict[int, tuple[Tensor, ...]] = {}
    for step, clients in enumerate(left):
        optimizer.step(values[:clients], gradients[step, :clients], rates=rates[:clients], number=step + 1)
        for client in range(clients):
            kept[client] = tuple(t[client].clone() for t in (values, optimizer.mean, optimizer.square))
    for client in range(3):
        now = [t[client] for t in (values, optimizer.mean, optimizer.square)]
        assert all(torch.equal(a, b) for a, b in zip(kept[client], now, strict=True))
        steps = sum(clients > client for clients in left)
        expected = by_torch(start[client], list(gradients[:steps, client]), [0.01] * steps)
        torch.testing.assert_close(values[client], expected, rtol=1e-14, atol=1e-14)


def test_gradients_are_left_as_they_are() -> None:
    gradients = drawn(2, WIDTH)
    before = gradients.clone()
    fresh(2).step(drawn(2, WIDTH, seed=1), gradients, rates=torch.ones(2, dtype=torch.float64), number=1)
    assert torch.equal(gradients, before)


@given(bound=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_each_client_is_clipped_as_by_torch(bound: float, seed: int) -> None:
    found = drawn(4, WIDTH, seed=seed) * torch.tensor([[1e-4], [1.0], [30.0], [0.0]], dtype=torch.float64)
    expected = []
    for row in found:
        parameter = torch.nn.Parameter(row.clone())
        parameter.grad = row.clone()
        torch.nn.utils.clip_grad_norm_([parameter], bound)
        expected.append(parameter.grad)
    clip(found, found.norm(dim=1), bound)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-14, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_client_s_gradient_that_is_not_finite_reaches_no_other(value: float) -> None:
    gradients, whole = drawn(3, WIDTH), drawn(3, WIDTH)
    gradients[1, 2] = value
    results = []
    for each in (gradients, whole):
        clip(each, each.norm(dim=1), 0.5)
        values = drawn(3, WIDTH, seed=5)
        fresh(3).step(values, each, rates=torch.full((3,), 0.1, dtype=torch.float64), number=1)
        results.append(values)
    assert torch.equal(results[0][[0, 2]], results[1][[0, 2]])
    assert results[1].isfinite().all()
    assert not results[0][1].isfinite().all()
