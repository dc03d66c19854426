"""A second model over the same frozen tensors, whose trainable ones can be several clients' own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from common.peft_methods._carried import CarriedLayers
from common.workbench import Workbench
from simulations.engine.grouped_tensor import Grouped

if TYPE_CHECKING:
    from torch import Tensor, nn

    from simulations.engine.layout import Here


@dataclass(frozen=True)
class Replica:
    """bench: modules of its own, so that threads do not meet in them. places: by canonical name, where a tensor is."""

    bench: Workbench
    places: Mapping[str, Sequence[tuple[nn.Module, str]]]

    @contextmanager
    def holding(self, tensors: Mapping[str, Tensor], here: Here) -> Iterator[None]:
        """Have the model use these in the block, (clients, *shape) or a sequence of clients' leaves, by name."""
        for name, tensor in tensors.items():
            self._put(name, tensor if isinstance(tensor, Grouped) else Grouped.of(tensor, here))
        try:
            yield
        finally:
            for name in tensors:
                self._put(name, self.bench.parameters[name])

    def _put(self, name: str, tensor: Any) -> None:
        for module, attribute in self.places[name]:
            module._parameters[attribute] = tensor


def replica_of(bench: Workbench) -> Replica:
    """Return a copy of the modules; frozen parameters and all buffers are those of `bench` itself.

    It carries nothing: what `bench` carries hangs on its layers, and a copy of that could not be taken off again.
    """
    held = bench.read() if bench.carried.state else None
    bench.carried.put(bench.model, bench.parameters, {})
    own = {id(parameter) for parameter in bench.parameters.values()}
    frozen = [p for p in _parameters(bench) if id(p) not in own]
    buffers = [b for root in (bench.model, bench.head) for b in root.buffers()]
    memo: dict[int, Any] = {id(tensor): tensor for tensor in [*frozen, *buffers]}
    model, head = copy.deepcopy((bench.model, bench.head), memo)
    parameters = {name: memo[id(p)] for name, p in bench.parameters.items()}
    if held is not None:
        bench.write(held)
    found = replace(bench, model=model, head=head, parameters=parameters, carried=CarriedLayers())
    return Replica(found, _places(found))


def _parameters(bench: Workbench) -> Iterator[nn.Parameter]:
    for root in (bench.model, bench.head):
        yield from root.parameters()


def _places(bench: Workbench) -> dict[str, list[tuple[nn.Module, str]]]:
    names = {id(parameter): name for name, parameter in bench.parameters.items()}
    found: dict[str, list[tuple[nn.Module, str]]] = {name: [] for name in bench.parameters}
    for root in (bench.model, bench.head):
        for module in root.modules():
            for attribute, parameter in module._parameters.items():
                if id(parameter) in names:
                    found[names[id(parameter)]].append((module, attribute))
    return found
