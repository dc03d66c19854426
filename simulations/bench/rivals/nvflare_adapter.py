"""The adapter as NVFlare's server holds it: a module of parameters alone. Imported by a Python that has nvflare."""

from collections.abc import Mapping
from typing import Any  # torch is of another environment

import torch

from simulations.bench.rivals.work import Work

_DOT = "|"
"""Stands for the dot in a parameter's name, in which torch allows none."""


class Adapter(torch.nn.Module):
    """The tensors that travel, as a bare loop begins with them."""

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in Work().loop(threads=1).state().items():
            self.register_parameter(name.replace(".", _DOT), torch.nn.Parameter(tensor.detach().clone()))


def sent(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bare loop's tensors by the names that the server knows."""
    return {name.replace(".", _DOT): tensor.detach().cpu() for name, tensor in state.items()}


def received(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the server's tensors by a bare loop's names."""
    return {name.replace(_DOT, "."): torch.as_tensor(value) for name, value in params.items()}
