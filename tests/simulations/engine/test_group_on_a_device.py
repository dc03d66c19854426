"""Clients in a group on a device that is not the CPU: nothing is left behind, and dropout is drawn there.

The device is one on paper: its tensors lie in the CPU's memory, but no operation takes one of them and one of the
CPU's. What forgets to move a tensor fails here as it does on a GPU. torch's `meta` stands for it, whose tensors have no
values of their own: outside of the block such a tensor is what it always was.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from client.dropout import GeneratorStream
from client.execution import Execution
from client.site_rows import SiteRows, SplitRows
from common.workbench import Workbench
from simulations.engine.group import train_group
from simulations.engine.obstacles import found_obstacle
from simulations.engine.replica import replica_of

NAME = "meta"
FUSED = "torch.optim.optimizer._get_fused_kernels_supported_devices"
COPIES = ("aten::_to_copy", "aten::copy_")
"""What may have tensors on both."""


class OnPaper(torch.Tensor):
    """Says that it is on the device, and holds a tensor of the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Self:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        found: Self = torch.Tensor._make_wrapper_subclass(cls, held.shape, **layout, dtype=held.dtype, device=NAME)
        found.held = held
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, dict(kwargs or {}))


class OnPaperMode(TorchDispatchMode):
    """Makes on paper what is made on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, dict(kwargs or {}))


@contextmanager
def paper_device() -> Iterator[None]:
    """Have the device compute in the block. It knows no mixed precision: where that is turned off, nothing is done.

    A parameter that is moved there stays the object that it was, as one that is moved to a GPU does.
    """
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with (
            OnPaperMode(),
            mock.patch("torch.autocast", return_value=nullcontext()),
            mock.patch(FUSED, return_value=[NAME]),
        ):
            yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU what is asked of the device, if all of it is there."""
    args, kwargs = tree_map(_empty_too, args), tree_map(_empty_too, kwargs)
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = [t for t in tensors if isinstance(t, OnPaper)]
    if func._schema.name not in COPIES and here and any(t.dim() and not isinstance(t, OnPaper) for t in tensors):
        raise RuntimeError(f"{func._schema.name}: expected all tensors to be on the same device")
    device = kwargs.get("device")
    if device is not None:
        kwargs["device"] = torch.device("cpu")
    found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if func._schema.is_mutable:
        return None if found is None else args[0]
    is_here = bool(here) if device is None else torch.device(device).type == NAME
    known = {id(t.held): t for t in here}
    return tree_map(lambda leaf: _on_paper(leaf, known), found) if is_here else found


def _empty_too(leaf: Any) -> Any:
    """Have what `torch.tensor([])` makes, past all modes, on paper as well."""
    is_empty = isinstance(leaf, torch.Tensor) and not isinstance(leaf, OnPaper) and leaf.is_meta and not leaf.numel()
    return OnPaper(torch.empty(leaf.shape, dtype=leaf.dtype, device="cpu")) if is_empty else leaf


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, OnPaper) else leaf


def _on_paper(leaf: Any, known: dict[int, OnPaper]) -> Any:
    """Return it as a tensor of the device; what an operation gives back as it got it is the tensor that it got."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return known[id(leaf)] if id(leaf) in known else OnPaper(leaf)


PAPER = Execution(NAME)
Open = Callable[..., Workbench]
METHODS = {
    "lora": "method='lora', rank=4, dropout=0.2",
    "ia3": "method='ia3'",
    "prefix": "method='prefix', virtual_tokens=3",
    "prompt": "method='prompt', virtual_tokens=3",
    "bottleneck": "method='bottleneck', reduction=4",
    "head": "method='head'",
    "above frozen layers": "method='last-layers', layers=1",
}
BOTH_WAYS = pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])


@pytest.fixture(autouse=True)
def on_paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute on paper, and draw from the CPU's generators: the device has none."""
    for where in ("client.training", "simulations.engine.group"):
        monkeypatch.setattr(f"{where}.stream_of", stream_on_paper)
    with paper_device():
        yield


def stream_on_paper(seed: int, *, device: str) -> GeneratorStream:
    return GeneratorStream(torch.Generator().manual_seed(seed), device)


def test_the_device_takes_no_tensor_of_the_cpu() -> None:
    here = torch.ones(3).to(NAME)
    assert here.device.type == NAME
    assert (here + 1).cpu().tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="same device"):
        here + torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        here.index_select(0, torch.zeros(2, dtype=torch.int64))


@BOTH_WAYS
@pytest.mark.parametrize("method", METHODS)
def test_clients_in_a_group_are_what_they_are_alone(
    method: str, packs: bool, open_double: Open, some_members: Any, alone: Any, beginning_again: Any
) -> None:
    frozen = ("training.frozen_dropout=false",) if "frozen" in method else ()
    bench = open_double(f"peft={{{METHODS[method]}}}", *frozen).to(NAME)
    members = some_members(bench, clients=3)
    expected = {member.name: alone(bench, member, PAPER) for member in members}
    found = train_group(replica_of(bench), [beginning_again(member) for member in members], PAPER, packs=packs)
    for member in members:
        numbers = expected[member.name].numbers
        for name, array in found[member.name].state.items():
            np.testing.assert_allclose(array, numbers[name].astype(np.float32), rtol=1e-6, atol=1e-8, err_msg=name)
        assert max(np.abs(numbers[name] - member.state[name]).max() for name in numbers) > 1e-4


@pytest.mark.parametrize("packs", [True, False])
def test_a_trial_finds_nothing_in_the_way(packs: bool, make_study: Any, open_double: Open, made_texts: Any) -> None:
    lora = "peft={method='lora', rank=2, dropout=0.2}"
    rows = [SplitRows(made_texts(each), [], []) for each in ([9, 4, 12], [5, 3])]  # type: ignore[arg-type]
    sites = {str(number): SiteRows(each, rows[0], rows[0]) for number, each in enumerate(rows)}
    bench = open_double(lora).to(NAME)
    assert found_obstacle(make_study(lora), bench, PAPER, sites, packs=packs) is None
