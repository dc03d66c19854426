"""Rows moved between a form with padding and one without: what comes out, and what gradients do."""

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.engine.taking import Places, take

# Every row of a batch begins with something that is no padding.
THERE = st.lists(st.lists(st.booleans(), max_size=4).map(lambda rest: [True, *rest]), min_size=1, max_size=5).map(
    lambda rows: [each for row in rows for each in row]
)


def places(there: Sequence[bool]) -> Places:
    return Places.of(np.array(there))


def numbers(rows: int) -> torch.Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(THERE)
def test_packed_rows_come_back_where_they_were(there: list[bool]) -> None:
    padded, way = numbers(len(there)), places(there)
    packed = take(padded, way.inverse())
    assert torch.equal(packed, padded[torch.tensor(there)])
    back = take(packed, way)
    assert back.shape == padded.shape
    assert torch.equal(back[torch.tensor(there)], packed)


@given(THERE)
def test_padding_repeats_the_row_before_it(there: list[bool]) -> None:
    """So it is always finite, and its own client's."""
    back = take(numbers(sum(there)), places(there))
    for row in range(1, len(there)):
        if not there[row]:
            assert torch.equal(back[row], back[row - 1])


@given(THERE)
def test_padding_has_no_gradient_and_gives_none(there: list[bool]) -> None:
    """Not even where what is made of it is not finite."""
    mask, way = torch.tensor(there), places(there)
    weights = numbers(len(there))
    weights[~mask] = float("nan")
    packed = numbers(sum(there)).requires_grad_()
    (take(packed, way) * weights).sum().backward()
    assert packed.grad is not None
    assert torch.equal(packed.grad, weights[mask])
    padded = numbers(len(there)).requires_grad_()
    (take(padded, way.inverse()) * weights[mask]).sum().backward()
    assert padded.grad is not None
    assert torch.equal(padded.grad, torch.where(mask[:, None], weights, 0.0))


@settings(max_examples=15)
@given(THERE)
def test_gradients_of_packing_are_those_of_finite_differences(there: list[bool]) -> None:
    """`take` towards padding drops the gradient of what it repeats, so it is checked on what is no padding."""
    way, mask = places(there), torch.tensor(there)
    assert torch.autograd.gradcheck(lambda rows: take(rows, way.inverse()), (numbers(len(there)).requires_grad_(),))
    assert torch.autograd.gradcheck(lambda rows: take(rows, way)[mask], (numbers(sum(there)).requires_grad_(),))


def test_without_padding_nothing_is_copied() -> None:
    rows, way = numbers(4), places([True] * 4)
    assert way.changes_nothing
    assert take(rows, way) is rows
    assert not places([True, False]).changes_nothing
    assert not places([True, False]).inverse().changes_nothing


def test_going_back_twice_is_going() -> None:
    way = places([True, False, True])
    again = way.inverse().inverse()
    for name in ("index", "back", "empty_before", "empty_after"):
        assert torch.equal(getattr(way, name), getattr(again, name))
    assert way.to(torch.device("cpu")) is way
