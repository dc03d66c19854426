"""A parameter that is several clients' own: each call does with each client's rows what it does with that client's."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from simulations.engine.grouped_tensor import Grouped
from simulations.engine.layout import CannotGroupError, Here, Layout, block_of

WIDTH, OUT = 5, 3
EQUAL, UNEQUAL, ONE = ((4, 2), (3, 4)), ((4, 2, 3), (3,), (1, 5)), ((2, 3),)
SIZES = pytest.mark.parametrize("lengths", [EQUAL, UNEQUAL, ONE], ids=["equal", "unequal", "one client"])
FORMS = pytest.mark.parametrize("form", ["padded", "pooled", "packed"])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def here_of(lengths: Sequence[Sequence[int]], form: str = "padded") -> Here:
    blocks = [block_of(each, 0) for each in lengths] if form == "packed" else ()
    return Here(Layout(tuple(tuple(each) for each in lengths)), blocks)


def rows_of(here: Here, form: str, width: int = WIDTH) -> Tensor:
    count, tokens = sum(here.layout.rows), sum(block.tokens for block in here.blocks)
    shapes = {"padded": (count, here.layout.positions), "pooled": (count,), "packed": (1, tokens)}
    return drawn(*shapes[form], width, seed=9)


def grouped(here: Here, *shape: int, seed: int = 0) -> Grouped:
    stacked = drawn(len(here.layout.rows), *shape, seed=seed).requires_grad_()
    return Grouped.of(stacked, here)


CALLS: dict[str, Callable[..., Tensor]] = {
    "linear": lambda x, w, b, v: functional.linear(x, w),
    "linear with bias": lambda x, w, b, v: functional.linear(x, w, b),
    "linear with bias by name": lambda x, w, b, v: functional.linear(x, w, bias=b),
    "bias alone": lambda x, w, b, v: functional.linear(x, torch.ones(OUT, WIDTH, dtype=x.dtype), b),
    "weight alone": lambda x, w, b, v: functional.linear(x, w, torch.ones(OUT, dtype=x.dtype)),
    "norm": lambda x, w, b, v: functional.layer_norm(x, (WIDTH,), v, v),
    "norm of a frozen bias": lambda x, w, b, v: functional.layer_norm(
        x, (WIDTH,), v, torch.ones_like(x[0].view(-1)[:WIDTH])
    ),
    "times": lambda x, w, b, v: x * v,
    "times, the other way": lambda x, w, b, v: v * x,
    "plus": lambda x, w, b, v: x + v,
    "plus, the other way": lambda x, w, b, v: v + x,
    "add": lambda x, w, b, v: torch.add(x, v),
    "mul": lambda x, w, b, v: torch.mul(v, x),
    "of a product of matrices": lambda x, w, b, v: functional.linear(x, w.T @ w),
    "of another shape": lambda x, w, b, v: x * v.view(1, -1) + v[None],
    "of what is made of it": lambda x, w, b, v: x * (v.exp() * 2 + 1),
}


@FORMS
@SIZES
@pytest.mark.parametrize("name", CALLS)
def test_each_client_s_rows_meet_its_own(name: str, lengths: Any, form: str) -> None:
    here, call = here_of(lengths, form), CALLS[name]
    own = grouped(here, OUT, WIDTH), grouped(here, OUT, seed=1), grouped(here, WIDTH, seed=2)
    rows = rows_of(here, form).requires_grad_()
    found = call(rows, *own)
    assert type(found) is Tensor
    parts = [call(part, *(each.parts[k].detach() for each in own)) for k, part in enumerate(here.split(rows))]
    torch.testing.assert_close(found, here.join(parts, rows), rtol=1e-13, atol=1e-13)


@FORMS
@SIZES
@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_each_client_s_own(name: str, lengths: Any, form: str) -> None:
    here, call = here_of(lengths, form), CALLS[name]
    leaves = [drawn(len(lengths), *shape, seed=i) for i, shape in enumerate(((OUT, WIDTH), (OUT,), (WIDTH,)))]
    stacked = [leaf.clone().requires_grad_() for leaf in leaves]
    rows = rows_of(here, form)
    call(rows, *(Grouped.of(each, here) for each in stacked)).sin().sum().backward()
    single = [leaf.clone().requires_grad_() for leaf in leaves]
    parts = [call(part, *(each[k] for each in single)) for k, part in enumerate(here.split(rows))]
    sum(part.sin().sum() for part in parts).backward()  # type: ignore[union-attr] # a Tensor
    for one, other in zip(stacked, single, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=1e-12)


@SIZES
def test_a_table_is_looked_up_by_each_client_s_rows(lengths: Any) -> None:
    here = here_of(lengths)
    table, count = grouped(here, 7, WIDTH), sum(here.layout.rows)
    indices = torch.arange(count * 4).reshape(count, 4) % 7
    found = functional.embedding(indices, table)
    for part, index, own in zip(here.split(found), here.split(indices), table.parts, strict=True):
        assert torch.equal(part, own[index])


def test_indices_that_are_no_rows_are_looked_up_in_every_table() -> None:
    """Virtual words are the same for all rows: they are repeated for each client's afterwards."""
    here = here_of(UNEQUAL)
    table = grouped(here, 7, WIDTH)
    found: Any = functional.embedding(torch.tensor([[0, 2, 5]]), table)
    assert isinstance(found, Grouped)
    rows = found.repeat(sum(here.layout.rows), 1, 1)
    assert type(rows) is Tensor
    for part, own in zip(here.split(rows), table.parts, strict=True):
        assert all(torch.equal(row, own[[0, 2, 5]]) for row in part)


def test_a_module_with_such_a_parameter_is_called_as_ever() -> None:
    here = here_of(UNEQUAL)
    layer, rows = nn.Linear(WIDTH, OUT).double(), rows_of(here, "padded")
    weight = grouped(here, OUT, WIDTH)
    layer._parameters["weight"] = weight  # type: ignore[assignment] # as a replica does
    expected = [functional.linear(x, w, layer.bias) for x, w in zip(here.split(rows), weight.parts, strict=True)]
    torch.testing.assert_close(layer(rows), torch.cat(expected))
    assert layer.weight.shape == (OUT, WIDTH)
    assert layer.weight.dtype == torch.float64


REFUSED: dict[str, Callable[[Tensor, Grouped], Any]] = {
    "matmul": lambda x, w: x @ w.T,
    "minus": lambda x, w: x - w[0],
    "in place": lambda x, w: x.mul_(w[0]),
    "cat": lambda x, w: torch.cat([x, w]),
    "stack": lambda x, w: torch.stack((w[0], x[0])),
    "einsum": lambda x, w: torch.einsum("bi,oi->bo", x, w),
    "a frozen layer of what is trained": lambda x, w: functional.linear(w, torch.eye(WIDTH, dtype=x.dtype)),
    "a frozen weight and a change of it": lambda x, w: functional.linear(x, torch.zeros_like(w.parts[0]) + w),
    "where": lambda x, w: torch.where(x > 0, x, w[0]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_combines_rows_and_parameters_otherwise_is_refused(name: str) -> None:
    """Each would be wrong, or a riddle to whoever reads the error."""
    here = here_of(UNEQUAL)
    with pytest.raises(CannotGroupError):
        REFUSED[name](rows_of(here, "pooled"), grouped(here, OUT, WIDTH))


AMONG_THEMSELVES: dict[str, Callable[..., Any]] = {
    "cat": lambda v, w: torch.cat([v, w]),
    "stack": lambda v, w: torch.stack((v, w), dim=1),
    "product": lambda v, w: v * w,
    "tanh": lambda v, w: torch.tanh(v),
    "matmul": lambda v, w: v.T @ w,
}


@pytest.mark.parametrize("name", AMONG_THEMSELVES)
def test_what_is_made_of_parameters_alone_is_each_client_s(name: str) -> None:
    here, call = here_of(UNEQUAL), AMONG_THEMSELVES[name]
    one, other = grouped(here, OUT, WIDTH), grouped(here, OUT, WIDTH, seed=1)
    found = call(one, other)
    assert isinstance(found, Grouped)
    for part, v, w in zip(found.parts, one.parts, other.parts, strict=True):
        assert torch.equal(part, call(v, w))
    assert torch.equal(found.stacked, torch.stack(list(found.parts)))
