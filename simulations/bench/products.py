"""The matrix products of a round and nothing else: what this machine must do at least, whoever asks it to.

They are written down while the engine trains a round, and done again on matrices of the same shapes and strides, side
by side in as many threads. Each result has its place, so that nothing is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import local
from typing import TYPE_CHECKING, Any  # torch's dispatch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from client.scoring import score
from simulations.bench.group_members import members_of
from simulations.engine.plan import plan_groups

if TYPE_CHECKING:
    from simulations.engine.replica import Replica
    from simulations.virtual import VirtualSites

Laid = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shape, strides and dtype of a matrix or a batch of them."""


@dataclass(frozen=True)
class Product:
    """left (..., n, k) times right (..., k, m)."""

    left: Laid
    right: Laid

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * math.prod(self.left[0]) * self.right[0][-1]


class Noting(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own
    """Writes down the products that this thread does, gradients' too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own
        self.products: list[Product] = []

    def __torch_dispatch__(  # torch's own protocol
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        factors = _factors(func.overloadpacket, args)
        if factors is not None:
            self.products.append(Product(*(_laid(each) for each in factors)))
        return func(*args, **(kwargs or {}))


def _factors(kind: Any, args: Sequence[Any]) -> tuple[Tensor, Tensor] | None:
    aten = torch.ops.aten
    if kind in (aten.mm, aten.bmm):
        return args[0], args[1]
    if kind in (aten.addmm, aten.baddbmm):
        return args[1], args[2]
    if kind is aten.linear:
        return args[0].reshape(-1, args[0].shape[-1]), args[1].t()
    return None


def _laid(tensor: Tensor) -> Laid:
    return tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype


def products_of_round(sites: VirtualSites) -> list[list[Product]]:
    """Have the engine score and train each of the sites once; return the products of each group.

    Raises ValueError where the sites are not trained in groups.
    """
    if sites.engine is None:
        raise ValueError("the sites are not trained in groups")
    members = {member.name: member for member in members_of(sites)}
    work_of = {name: sites.rows[name].train.tokens for name in members}
    groups = plan_groups(work_of, sites.engine.shape)

    def work(names: Sequence[str], replica: Replica) -> list[Product]:
        assert sites.engine is not None  # looked at above
        noted = Noting()
        with noted:
            for name in names:
                score(replica.bench, sites.rows[name].validation.examples, execution=sites.execution)
            sites.engine.train(replica, [members[name] for name in names])
        return noted.products

    try:
        return [sites.engine.submit(partial(work, group)).result() for group in groups]
    finally:
        sites.engine.close()


@dataclass(frozen=True)
class Replay:
    """Does the products of each group again, `workers` groups side by side with `threads` threads each."""

    groups: Sequence[Sequence[Product]]
    workers: int
    threads: int
    _own: local = field(default_factory=local)

    @property
    def flops(self) -> int:
        """Of all groups."""
        return sum(product.flops for group in self.groups for product in group)

    @contextmanager
    def ready(self) -> Iterator[Callable[[], object]]:
        """Yield what does all of it once."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield lambda: list(pool.map(self._play, self.groups))

    def _play(self, group: Sequence[Product]) -> None:
        torch.set_num_threads(self.threads)  # of this thread
        for product in group:
            left, right, out = self._matrices(product)
            (torch.mm if left.dim() == 2 else torch.bmm)(left, right, out=out)

    def _matrices(self, product: Product) -> tuple[Tensor, Tensor, Tensor]:
        """Return this thread's own matrices of a product's shapes; products of equal shapes have the same ones."""
        held: dict[Product, tuple[Tensor, Tensor, Tensor]] = self._own.__dict__.setdefault("held", {})
        if product not in held:
            left, right = _matrix(product.left), _matrix(product.right)
            out = left.new_empty((*left.shape[:-1], right.shape[-1]))
            held[product] = (left, right, out)
        return held[product]


def _matrix(laid: Laid) -> Tensor:
    """Return random numbers: zeros, and what is no number, take another time on some processors."""
    shape, strides, dtype = laid
    return torch.empty_strided(shape, strides, dtype=dtype).copy_(torch.randn(shape))
