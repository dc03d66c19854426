"""The clients of a group, and their numbers side by side: (clients, numbers), of which each tensor is a view."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from client.batches import count_steps
from client.recipe import Recipe, learning_rate
from client.steps import Step
from common.state import AdapterState, Array
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations.engine.grouped_tensor import Grouped

if TYPE_CHECKING:
    from torch import Tensor

    from simulations.engine.layout import Here


class Afterwards(Protocol):
    """One client after a step."""

    def state(self) -> AdapterState:
        """Return copies of its tensors."""
        ...

    def score(self, examples: Sequence[AnyExample]) -> NDArray[np.float64]:
        """Return what its model says of examples, (n, width)."""
        ...


@dataclass(frozen=True)
class Member:
    """One client's training: what `client.training.train` takes, and the state it starts from.

    after_step: is told each step, and can look at what it led to. update_norms: whether steps say how far the
    state moved.
    """

    name: str
    examples: Sequence[AnyExample]
    recipe: Recipe
    state: AdapterState
    active: Collection[str]
    rng: np.random.Generator
    dropout_seed: int
    private: Collection[str] = ()
    after_step: Callable[[Step, Afterwards], None] | None = None
    update_norms: bool = False

    @property
    def steps(self) -> int:
        """How many optimizer steps it takes."""
        recipe = self.recipe
        return count_steps(len(self.examples), batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps)


@dataclass(frozen=True)
class Columns:
    """Where each tensor is among a client's numbers: {name: (from, shape)}, those that move and those that do not."""

    moving: Mapping[str, tuple[int, tuple[int, ...]]]
    still: Mapping[str, tuple[int, tuple[int, ...]]]

    @staticmethod
    def of(bench: Workbench, active: Collection[str]) -> Columns:
        """Lay the workbench's trainable tensors out."""
        shapes = {name: tuple(p.shape) for name, p in bench.parameters.items()}
        return Columns(
            _laid_out({name: s for name, s in shapes.items() if name in active}),
            _laid_out({name: s for name, s in shapes.items() if name not in active}),
        )

    def marked(self, value_of: Callable[[str], float], *, like: Tensor) -> Tensor:
        """Return (width,) of the tensors that move: each of a tensor's numbers has that tensor's value."""
        import torch

        found = [like.new_full((prod(shape),), value_of(name)) for name, (_, shape) in self.moving.items()]
        return torch.cat(found) if found else like.new_zeros(0)


def _laid_out(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, tuple[int, ...]]]:
    found, begin = {}, 0
    for name, shape in shapes.items():
        found[name] = (begin, shape)
        begin += prod(shape)
    return found


@dataclass
class Numbers:
    """All clients' numbers, (clients, width) each: of tensors that move, their gradients, and those that stay."""

    columns: Columns
    moving: Tensor
    gradients: Tensor
    still: Tensor

    @staticmethod
    def of(members: Sequence[Member], bench: Workbench, columns: Columns) -> Numbers:
        """Read the clients' states; dtype and device are the workbench's."""
        import torch

        like = next(iter(bench.parameters.values()))

        def rows(of: Mapping[str, object]) -> Tensor:
            flat = [np.concatenate([np.ravel(m.state[name]) for name in of]) if of else np.zeros(0) for m in members]
            return torch.from_numpy(np.stack(flat)).to(dtype=like.dtype, device=like.device)

        moving = rows(columns.moving).contiguous()
        return Numbers(columns, moving, torch.zeros_like(moving), rows(columns.still))

    def grouped(self, clients: int, here: Here) -> dict[str, Grouped]:
        """Return the first clients' tensors as parameters that gather their gradients in `gradients`."""
        found = {}
        for name, (begin, shape) in self.columns.moving.items():
            found[name] = _leaves(self.moving[:clients], self.gradients[:clients], begin, shape, here)
        for name, (begin, shape) in self.columns.still.items():
            found[name] = Grouped.of(_view(self.still[:clients], begin, shape), here)
        return found

    def state(self, client: int) -> dict[str, Array]:
        """Return copies of one client's tensors, by name: float32, sorted as a workbench reads them."""
        found = {
            name: _view(rows[client : client + 1], begin, shape)[0]
            for rows, columns in ((self.moving, self.columns.moving), (self.still, self.columns.still))
            for name, (begin, shape) in columns.items()
        }
        return {name: found[name].detach().cpu().float().numpy().copy() for name in sorted(found)}


@dataclass(frozen=True)
class Rates:
    """Learning rates of all steps, by step and client: numbers, and the same where the clients' numbers are.

    Those of a client whose steps are over are never used.
    """

    by_step: Sequence[Sequence[float]]
    there: Tensor

    @staticmethod
    def of(members: Sequence[Member], like: Tensor) -> Rates:
        """Follow each member's schedule, as long as the longest training takes."""
        steps = max(m.steps for m in members)
        by_step = [[learning_rate(m.recipe, number, max(m.steps, 1)) for m in members] for number in range(steps)]
        return Rates(by_step, tensor_like(by_step, like))


def tensor_like(values: Sequence[object], like: Tensor) -> Tensor:
    """Return values in the dtype and on the device of a tensor, without waiting for the device."""
    import torch

    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def _view(rows: Tensor, begin: int, shape: tuple[int, ...]) -> Tensor:
    """Return (clients, *shape) without a copy."""
    found = rows[:, begin : begin + prod(shape)]
    return found.view(len(rows), *shape)


def _leaves(values: Tensor, gradients: Tensor, begin: int, shape: tuple[int, ...], here: Here) -> Grouped:
    """Return a grouped parameter whose gradients torch adds up in `gradients`, whichever way it is used."""
    stacked, gradient = _view(values, begin, shape), _view(gradients, begin, shape)
    parts = [_leaf(part, of) for part, of in zip(stacked.unbind(), gradient.unbind(), strict=True)]
    return Grouped.of(_stacked_leaf(stacked, gradient), here, parts)


def _leaf(value: Tensor, gradient: Tensor) -> Tensor:
    leaf = value.detach().requires_grad_(True)
    leaf.grad = gradient
    return leaf


def _stacked_leaf(value: Tensor, gradient: Tensor) -> Tensor:
    """Return a leaf with gaps between its clients, in which torch would rather not add up itself."""
    leaf = value.detach().requires_grad_(True)

    def add_up(used: Tensor) -> None:
        if used.grad is not None:
            gradient.add_(used.grad)
        used.grad = None

    leaf.register_post_accumulate_grad_hook(add_up)  # type: ignore[no-untyped-call] # torch's own
    return leaf
