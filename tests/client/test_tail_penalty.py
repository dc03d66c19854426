"""HetLoRA's term over the last ranks of each pair: its number, its gradient, and none for ranks that are not there."""

import numpy as np
import pytest
import torch
from torch import nn

from client.tail_penalty import TailPenalty, tail_penalties
from common.rank_slices import sliced

NO_ROWS = np.zeros(0, np.int64)
NAMES = ("q.lora_A.weight", "q.lora_B.weight", "v.lora_A.weight", "v.lora_B.weight", "head.bias")


def parameters(rank: int) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((rank, 5), (3, rank), (2, 4), (4, 2), (3,))
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for name, shape in zip(NAMES, shapes, strict=True)
    }


def extra(weight: float, share: float) -> dict[str, float]:
    return {"tail_penalty": weight, "tail_share": share}


@pytest.mark.parametrize(("rank", "share", "start", "end"), [(None, 0.5, 2, 4), (3, 0.5, 1, 3), (None, 0.3, 1, 4)])
def test_the_number_is_the_paper_s(rank: int | None, share: float, start: int, end: int) -> None:
    """Of q the ranks from `start` to `end`, of v, whose rank is 2, those from `start`: one start for all layers."""
    given = parameters(4)
    (found,) = tail_penalties(extra(0.25, share), given, rank)
    a, b, a_v, b_v = (given[name].detach().numpy() for name in NAMES[:4])
    expected = 0.25 * (np.linalg.norm(b[:, start:end]) * np.linalg.norm(a[start:end]))
    expected += 0.25 * np.linalg.norm(b_v[:, start:]) * np.linalg.norm(a_v[start:])
    assert found.term(torch.zeros(0), NO_ROWS).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("rank", "share", "start"), [(None, 0.5, 8), (None, 0.125, 2), (8, 0.25, 2), (99, 0.5, 8), (3, 0.5, 1)]
)
def test_layers_of_ranks_16_and_4_have_one_start_as_at_the_server(rank: int | None, share: float, start: int) -> None:
    """The server's sum over the pairs that it would receive, where the largest rank of the site says the start."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((16, 5), (3, 16), (4, 6), (7, 4))
    given = {
        name: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for name, shape in zip(NAMES, shapes, strict=False)
    }
    sent = sliced({name: each.detach().numpy() for name, each in given.items()}, rank)
    norms = {name: np.linalg.norm(each[start:] if "_A" in name else each[:, start:]) for name, each in sent.items()}
    (found,) = tail_penalties(extra(1.0, share), given, rank)
    term = found.term(torch.zeros(0), NO_ROWS)
    assert term.item() == pytest.approx(
        norms[NAMES[0]] * norms[NAMES[1]] + norms[NAMES[2]] * norms[NAMES[3]], rel=1e-12
    )
    term.backward()
    assert all(bool(each.grad.isfinite().all()) for each in given.values() if each.grad is not None)


def test_its_gradient_is_that_of_differences() -> None:
    given = parameters(4)
    (found,) = tail_penalties(extra(0.25, 0.5), given, None)
    assert isinstance(found, TailPenalty)

    def whole(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return TailPenalty(0.25, ((a, b, slice(2, 4)),)).term(torch.zeros(0), NO_ROWS)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(whole, (given[NAMES[0]], given[NAMES[1]]))


def test_a_tail_of_zeros_has_no_gradient() -> None:
    """Round 1, where B is 0, and ranks which are not the site's: norms have no slope there, and must give no NaN."""
    given = parameters(4)
    with torch.no_grad():
        given[NAMES[1]].zero_()
        given[NAMES[0]][3:].zero_()
    (found,) = tail_penalties(extra(1.0, 0.5), given, None)
    found.term(torch.zeros(0), NO_ROWS).backward()
    for name in NAMES[:2]:
        assert torch.equal(given[name].grad, torch.zeros_like(given[name]))  # type: ignore[arg-type] # it has one


@pytest.mark.parametrize("asked", [{}, extra(0.0, 0.5)])
def test_without_a_weight_there_is_no_term(asked: dict[str, float]) -> None:
    assert tail_penalties(asked, parameters(2), None) == ()


def test_the_whole_share_leaves_no_tail() -> None:
    (found,) = tail_penalties(extra(1.0, 1.0), parameters(4), 2)
    assert found.term(torch.zeros(0), NO_ROWS).item() == 0.0
