"""A parameter of which every client has its own, in the place of one in the model.

The model's code runs unchanged: torch hands each call that meets such a parameter over to us, and we give each client's
rows to the call with that client's own. Calls that combine the rows of a batch with parameters are known by name; what
is made of parameters alone is again a grouped one; all else cannot be grouped, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any  # what torch functions are called with

import torch
from torch import Tensor
from torch.nn import functional

from simulations.engine.layout import CannotGroupError

if TYPE_CHECKING:
    from simulations.engine.layout import Here


class Grouped(Tensor):
    """Looks like one client's parameter, without numbers; those are `stacked` (clients, *shape), its rows `parts`."""

    stacked: Tensor
    parts: Sequence[Tensor]
    here: Here

    @staticmethod
    def of(stacked: Tensor, here: Here, parts: Sequence[Tensor] | None = None) -> Grouped:
        """Return the clients' parameters as one; `here` says whose rows are where when it is used."""
        found: Grouped = torch.Tensor._make_wrapper_subclass(
            Grouped, stacked.shape[1:], dtype=stacked.dtype, device=stacked.device
        )
        found.stacked, found.here = stacked, here
        found.parts = stacked.unbind() if parts is None else parts
        return found

    @classmethod  # torch's own protocol, of which Tensor has a static method
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Refuse: it has no numbers of its own, and a kernel that reads them was not handed over to us."""
        raise CannotGroupError(f"{func} takes the clients' own parameters past torch's functions")

    @classmethod
    def __torch_function__(  # torch's own protocol
        cls,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Any = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = _flat([*args, *kwargs.values()])
        if func is Tensor.repeat and _repeats_rows(*args):
            return _repeated(*args)
        if not any(isinstance(value, Tensor) and not isinstance(value, Grouped) for value in given):
            return _among_themselves(func, args, kwargs)
        rule = _RULES.get(func)
        if rule is None:
            name = getattr(func, "__name__", str(func))
            raise CannotGroupError(f"{name} of the clients' own parameters with other tensors has no grouped form")
        return rule(func, args, kwargs)


def _among_themselves(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Apply a function of parameters alone, such as a change of shape, for each client; attributes are the first's."""
    grouped = next(value for value in _flat([*args, *kwargs.values()]) if isinstance(value, Grouped))
    found = [
        func(*(_own(a, client) for a in args), **{k: _own(v, client) for k, v in kwargs.items()})
        for client in range(len(grouped.parts))
    ]
    if not isinstance(found[0], Tensor):
        return found[0]
    return Grouped.of(torch.stack(found), grouped.here, found)


def _own(value: Any, client: int) -> Any:
    if isinstance(value, list | tuple):
        found = [_own(each, client) for each in value]
        return found if isinstance(value, list) else tuple(found)
    return value.parts[client] if isinstance(value, Grouped) else value


def _flat(values: Sequence[Any]) -> list[Any]:
    """Return the values, and in the place of lists what is in them: `torch.cat` and its like take tensors so."""
    return [each for value in values for each in (_flat(value) if isinstance(value, list | tuple) else [value])]


def _repeats_rows(grouped: Grouped, *sizes: int) -> bool:
    """Whether something is repeated for every row of the batch, as virtual tokens are."""
    return len(sizes) > 1 and len(grouped.parts[0]) == 1 and sizes[0] == sum(grouped.here.layout.rows)


def _repeated(grouped: Grouped, _: int, *sizes: int) -> Tensor:
    """Return rows: each client's own for its rows."""
    own = zip(grouped.parts, grouped.here.layout.rows, strict=True)
    return torch.cat([part.repeat(rows, *sizes) for part, rows in own])


def _embedding(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """Look each row's indices up in its client's table; indices that are no rows, in every client's."""
    if len(args[0]) == sum(args[1].here.layout.rows):
        return _by_client(func, args, kwargs)
    found: Tensor = _among_themselves(func, args, kwargs)
    return found


def _linear(_: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """Return x W^T + b, of which W, b or both are the clients' own."""
    return _linear_of(*args, **kwargs)


def _linear_of(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # torch's names
    if isinstance(input, Grouped):
        raise CannotGroupError("a frozen layer of what the clients train has no grouped form")
    if not isinstance(weight, Grouped):
        return functional.linear(input, weight) + bias  # type: ignore[operator] # grouped, or we were not asked
    here = weight.here
    sizes = here.sizes(input)
    if len(set(sizes)) == 1 and not isinstance(bias, Tensor):
        return _batched(input, weight.stacked)
    own = zip(here.split(input), weight.parts, range(len(sizes)), strict=True)
    return here.join([functional.linear(x, w, _own(bias, client)) for x, w, client in own], input)


def _batched(input: Tensor, stacked: Tensor) -> Tensor:  # torch's name
    """Return x W^T as one batched product: all clients have as many rows."""
    rows = input.reshape(len(stacked), -1, input.shape[-1])
    return torch.bmm(rows, stacked.transpose(1, 2)).reshape(*input.shape[:-1], stacked.shape[1])


def _by_client(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    """Apply a function of rows and parameters to each client's rows, and join what comes out."""
    grouped = next(value for value in [*args, *kwargs.values()] if isinstance(value, Grouped))
    here, rows = (
        grouped.here,
        next(value for value in args if isinstance(value, Tensor) and not isinstance(value, Grouped)),
    )
    parts = here.split(rows)
    found = []
    for client, part in enumerate(parts):
        own = [part if value is rows else _own(value, client) for value in args]
        found.append(func(*own, **{key: _own(value, client) for key, value in kwargs.items()}))
    return here.join(found, rows)


_RULES: dict[Any, Callable[[Callable[..., Any], Sequence[Any], dict[str, Any]], Tensor]] = {
    functional.linear: _linear,
    functional.layer_norm: _by_client,
    functional.embedding: _embedding,
    torch.add: _by_client,
    torch.mul: _by_client,
    Tensor.add: _by_client,
    Tensor.mul: _by_client,
    Tensor.__add__: _by_client,
    Tensor.__mul__: _by_client,
    Tensor.__radd__: _by_client,
    Tensor.__rmul__: _by_client,
}
