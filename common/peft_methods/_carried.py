"""What is carried beside an adapter (`common.carried`), applied in a model: forward hooks on LoRA's own layers.

h = W0 x + s B A x gets s B_c A_c x added, with the layer's own s. The base weights keep every bit, so a quantised base
does as well as any other; there is no dropout on it, since it stands for a part of the frozen weight, and no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any  # peft's layers are untyped here

import numpy as np

from common.carried import CARRIED
from common.errors import SchemaError
from common.lora_pairs import Matrix, as_matrices, pairs_of
from common.peft_methods._peft import ADAPTER
from common.state import AdapterState, Array

if TYPE_CHECKING:
    from torch import Tensor, nn

    Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class CarriedLayers:
    """What a resident model carries at the moment, and what takes it off again."""

    state: dict[str, Array] = field(default_factory=dict)
    _hooks: ExitStack = field(default_factory=ExitStack)

    def put(self, model: nn.Module, parameters: Mapping[str, nn.Parameter], carried: AdapterState) -> None:
        """Have `model` carry these pairs in place of those before; none of them carries nothing.

        Raises:
            SchemaError: a pair is beside no LoRA layer. Then, and whatever else fails, the model carries nothing.
        """
        self._hooks.close()
        self.state = {}
        layers = _layers(model, parameters) if carried else {}
        with ExitStack() as hooks:  # where one cannot be put on, such as for lack of memory, those before it go
            for pair in pairs_of(carried):
                layer = layers.get(pair.layer.removeprefix(CARRIED))
                if layer is None:
                    raise SchemaError(f"{pair.layer!r} is beside no LoRA layer of the model")
                hooks.callback(_hooked(layer, carried[pair.a], carried[pair.b]).remove)
            self._hooks = hooks.pop_all()
        self.state = {name: np.array(array) for name, array in carried.items()}

    def weight_changes(self, model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Return s B A of every carried pair, in the shape of its layer's weight, by the layer's canonical name."""
        layers = _layers(model, parameters) if self.state else {}
        found = {pair: pair.layer.removeprefix(CARRIED) for pair in pairs_of(self.state)}
        return {name: _weight_change(layers[name], *as_matrices(self.state, pair)) for pair, name in found.items()}


def _weight_change(layer: Any, a: Matrix, b: Matrix) -> Tensor:
    import torch

    own = layer.get_base_layer().weight
    change = torch.from_numpy(layer.scaling[ADAPTER] * b @ a).to(own)
    return change.T if getattr(layer, "fan_in_fan_out", False) else change.reshape(own.shape)


def _layers(model: Any, parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
    """Return peft's LoRA layers by canonical name: the one that holds the pair's own A."""
    owners = {id(module.lora_A[ADAPTER].weight): module for module in model.modules() if _is_lora(module)}
    found = {pair.layer: owners.get(id(parameters[pair.a])) for pair in pairs_of(parameters)}
    return {name: layer for name, layer in found.items() if layer is not None}


def _is_lora(module: Any) -> bool:
    from torch import nn

    factors = getattr(module, "lora_A", None)
    return isinstance(factors, nn.ModuleDict) and ADAPTER in factors


def _hooked(layer: Any, a: Array, b: Array) -> Any:
    """Add s B A x to what `layer` says of x; return what takes the hook off."""
    import torch

    own = layer.lora_A[ADAPTER].weight
    first, second = (torch.tensor(np.asarray(x, order="C"), dtype=own.dtype, device=own.device) for x in (a, b))
    change, scale = _change_of(layer), layer.scaling[ADAPTER]

    def hook(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        added: Tensor = (scale * change(inputs[0].to(first.dtype), first, second)).to(output.dtype)
        return output + added

    return layer.register_forward_hook(hook)


def _change_of(layer: Any) -> Forward:
    """Return (x, A, B) -> B A x for this kind of layer; a convolution's A looks at x as its own A does."""
    from torch import nn
    from torch.nn import functional

    own = layer.lora_A[ADAPTER]
    if not isinstance(own, nn.Conv2d):
        return lambda x, a, b: functional.linear(functional.linear(x, a), b)
    look = partial(functional.conv2d, stride=own.stride, padding=own.padding, dilation=own.dilation)
    return lambda x, a, b: functional.conv2d(look(x, a), b)
